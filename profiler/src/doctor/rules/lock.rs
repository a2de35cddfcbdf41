//! Threads wait for a lock.

use super::Rule;
use crate::doctor::finding::{Confidence, Finding, Severity};
use crate::doctor::patient::Patient;
use crate::doctor::waits::Spent;
use crate::model::units;

pub(super) const RULE: Rule = Rule {
    id: "lock",
    about: "threads wait for a lock that another holds",
    when: "they do for 10% of its active time; critical from 50% on",
    judge,
};

fn judge(patient: &Patient<'_>) -> Option<Finding> {
    let ns = patient.ns(Spent::Lock);
    let share = patient.share(ns);
    if !patient.is_notable(ns) || share < 0.1 {
        return None;
    }
    let severity = if share >= 0.5 {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let is_meant = |_: &crate::model::Stack, spent| spent == Spent::Lock;
    let is_gil = patient
        .stacks(is_meant)
        .any(|stack| patient.frames.has(stack, "take_gil"));
    let waits = patient
        .groups
        .iter()
        .map(|it| it.waits[Spent::Lock as usize]);
    let times = waits.fold(0, u64::saturating_add);
    let place = patient.places(is_meant).into_iter().next();
    let what = if is_gil {
        "Python's global interpreter lock"
    } else {
        "a lock"
    };
    let title = match &place {
        Some(place) => format!(
            "Its threads wait for {what}, most of them in {}.",
            place.function
        ),
        None => format!("Its threads wait for {what}."),
    };
    let threads = patient.threads(is_meant);
    let threads = threads.first().map(|it| {
        format!(
            "most of it by threads {} ({})",
            it.function,
            units::percent(it.ns, it.of_ns)
        )
    });
    let advice = match (&place, is_gil) {
        (_, true) => vec!["processes in place of threads (multiprocessing, more workers), or code that releases the lock while it computes".to_owned()],
        (Some(place), false) => vec![format!(
            "hold the lock that {} takes for less: nothing slow while it is held, or a lock for each part of the data",
            place.function
        )],
        (None, false) => vec!["hold the lock for less, or have a lock for each part of the data".to_owned()],
    };
    Some(
        Finding::new(RULE.id, severity, title)
            .about(ns, share)
            .sure(Confidence::Certain)
            .shown_by([format!(
                "waited {} in {} for locks (ledger)",
                units::duration(ns),
                units::counted(times, "sleep")
            )])
            .shown_by(
                patient
                    .mostly(is_meant)
                    .map(|words| format!("by the function that takes it: {words}")),
            )
            .shown_by(threads)
            .advising(advice)
            .gaining(
                format!(
                    "up to {:.1} times as much work a second, as far as CPUs allow",
                    1.0 / (1.0 - share).max(0.02)
                ),
                None,
            ),
    )
}
