//! It waits for work.

use super::Rule;
use crate::analysis::doctor::finding::{Confidence, Finding, Severity};
use crate::analysis::doctor::patient::Patient;
use crate::analysis::doctor::waits::Spent;
use crate::model::units;
use crate::views::workload::Language;

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
    let programs = patient.programs();
    let is_go = programs.iter().any(|it| it.language == Language::Go);
    let (title, sure) = if is_go {
        ("Its threads wait for work.", Confidence::Possible)
    } else {
        ("It waits for work.", Confidence::Likely)
    };
    Some(
        Finding::new(RULE.id, Severity::Info, title.to_owned())
            .about(patient.ns(Spent::Idle), 0.0)
            .sure(sure)
            .shown_by([format!(
                "{} ran or had something to wait for in {} of {} (ledger)",
                units::counted(threads, "thread"),
                units::duration(active),
                units::duration(patient.window_ns)
            )])
            .shown_by(is_go.then(|| GOROUTINES.to_owned()))
            .advising(is_go.then(|| ASK_GO.to_owned())),
    )
}

/// What threads do not say of a program that schedules by itself.
const GOROUTINES: &str = "goroutines that wait for each other (a mutex, a channel, a timer) hold no thread: of those, nothing is known here";
const ASK_GO: &str = "if it is slow all the same: /debug/pprof/goroutine?debug=2 of net/http/pprof says where goroutines wait, the mutex profile (runtime.SetMutexProfileFraction) for how long";
