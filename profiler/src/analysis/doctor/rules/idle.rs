//! It waits for work.

use super::Rule;
use crate::analysis::doctor::finding::{Confidence, Finding, Severity};
use crate::analysis::doctor::patient::Patient;
use crate::analysis::doctor::waits::Spent;
use crate::model::units;

pub(super) const RULE: Rule = Rule {
    id: "idle",
    about: "it waits for work",
    when: "its active time is less than 5% of the window",
    judge,
};

fn judge(patient: &Patient<'_>) -> Option<Finding> {
    let active = patient.active_ns();
    if active > patient.window_ns / 20 {
        return None;
    }
    let threads = patient.row.threads.unwrap_or(0);
    Some(
        Finding::new(RULE.id, Severity::Info, "It waits for work.".to_owned())
            .about(patient.ns(Spent::Idle), 0.0)
            .sure(Confidence::Likely)
            .shown_by([format!(
                "{} was active for {} of {} (ledger)",
                units::counted(threads, "thread"),
                units::duration(active),
                units::duration(patient.window_ns)
            )]),
    )
}
