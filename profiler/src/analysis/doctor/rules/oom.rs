//! Workload were killed because memory was short.

use super::Rule;
use crate::analysis::doctor::advice;
use crate::analysis::doctor::finding::{Confidence, Finding, Severity};
use crate::analysis::doctor::patient::Patient;
use crate::model::units;

pub(super) const RULE: Rule = Rule {
    id: "oom-killed",
    about: "processes that the kernel killed because the container was out of memory",
    when: "one was, while it was recorded",
    judge,
};

fn judge(patient: &Patient<'_>) -> Option<Finding> {
    let memory = patient
        .limits()
        .and_then(|it| it.memory.clone())
        .unwrap_or_default();
    // The kernel's notice is there although the cgroup is gone, and names those of it that were killed one by one.
    let seen = patient.moments().map_or(0, |it| it.oom_kills);
    let kills = memory.oom_kills.max(seen);
    if kills == 0 {
        return None;
    }
    let times = match kills {
        1 => "a process".to_owned(),
        kills => format!("{} processes", units::count(kills)),
    };
    let limit = memory.limit.map(units::bytes);
    let at = limit
        .as_ref()
        .map_or(String::new(), |limit| format!(" at its limit of {limit}"));
    let mut advice = Vec::new();
    if let Some(limit) = memory.limit {
        let anonymous = memory.used.saturating_sub(memory.files);
        advice.push(advice::memory_limit(
            patient,
            limit.max(anonymous).saturating_mul(3) / 2,
        ));
    }
    advice.push("or have it use less: a limit for its heap below that of the container".to_owned());
    Some(
        Finding::new(
            RULE.id,
            Severity::Critical,
            format!("The kernel killed {times} of it: it was out of memory{at}."),
        )
        .about(0, 1.0)
        .sure(Confidence::Certain)
        .shown_by([format!(
            "{} killed ({})",
            units::count(kills),
            if seen > 0 {
                "mark_victim"
            } else {
                "memory.events"
            }
        )])
        .shown_by((memory.limit_hits > 0).then(|| {
            format!(
                "it ran into the limit {} (memory.events)",
                units::counted(memory.limit_hits, "time")
            )
        }))
        .advising(advice)
        .gaining("nothing is killed any more".to_owned(), None),
    )
}
