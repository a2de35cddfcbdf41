//! It computes.

use super::Rule;
use crate::analysis::doctor::finding::{Confidence, Finding, Severity};
use crate::analysis::doctor::group::Group;
use crate::analysis::doctor::patient::Patient;
use crate::analysis::doctor::unnamed;
use crate::analysis::doctor::waits::Spent;
use crate::model::units;

pub(super) const RULE: Rule = Rule {
    id: "cpu-bound",
    about: "it computes: which function, and whether one thread has a whole CPU",
    when: "it runs for half of its active time, and 5% of a CPU",
    judge,
};

fn judge(patient: &Patient<'_>) -> Option<Finding> {
    let ns = patient.ns(Spent::Runs);
    let share = patient.share(ns);
    if ns < patient.window_ns / 20 || share < 0.5 {
        return None;
    }
    let is_meant = |_: &crate::model::Stack, spent| spent == Spent::Runs;
    let place = patient.function(is_meant);
    let inner = patient.innermost(is_meant).into_iter().next();
    let whole = patient.groups.iter().find(|it| is_whole_cpu(patient, it));
    let used = patient.used_cores();
    let title = match (&place, whole) {
        (Some(place), Some(group)) => format!(
            "It computes: one thread, {}, has a CPU of its own all the time, mostly in {}.",
            group.name, place.function
        ),
        (Some(place), None) => format!("It computes, mostly in {}.", place.function),
        (None, _) => "It computes.".to_owned(),
    };
    let (nameless, names) = unnamed::of(patient)
        .map(|it| (it.evidence, it.advice))
        .unzip();
    let part = place
        .as_ref()
        .map_or(0.0, |it| it.ns as f64 / it.of_ns.max(1) as f64);
    let speedup = 1.0 / (1.0 - part / 2.0);
    let finding = Finding::new(RULE.id, Severity::Info, title)
        .about(ns, share)
        .sure(Confidence::Certain)
        .shown_by([
            format!(
                "ran for {}, {used:.2} CPUs of {} (ledger)",
                units::duration(ns),
                patient.cpus_allowed()
            ),
            format!(
                "{} of it in the kernel",
                units::percent(
                    patient
                        .row
                        .time_ns
                        .get(&crate::model::State::OnCpuKernel)
                        .copied()
                        .unwrap_or(0),
                    ns
                )
            ),
        ])
        .shown_by(
            patient
                .mostly(is_meant)
                .map(|words| format!("by the program's functions: {words}")),
        )
        .shown_by(
            inner
                .filter(|inner| {
                    place
                        .as_ref()
                        .is_none_or(|it| it.function != inner.function)
                })
                .map(|it| format!("innermost: {}", it.words())),
        )
        .shown_by(nameless)
        .advising(place.as_ref().map(|place| {
            format!(
                "make {} cheaper: it has {} of the CPU time",
                place.function,
                units::percent(place.ns, place.of_ns)
            )
        }))
        .advising(
            whole
                .filter(|_| patient.cpus_allowed() > 1)
                .map(|group| format!("divide the work of thread {} among several", group.name)),
        )
        .advising(names);
    Some(match place {
        Some(_) => finding.gaining(
            format!("{speedup:.1} times as much work a second if that took half as long"),
            None,
        ),
        None => finding,
    })
}

/// One thread that runs nearly all the time.
fn is_whole_cpu(patient: &Patient<'_>, group: &Group) -> bool {
    let runs = group.of(Spent::Runs) as f64;
    let window = patient.window_ns as f64;
    runs > window * 0.9 && (group.all_ns() as f64) < window * 1.5
}
