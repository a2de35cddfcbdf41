//! A thread that serves many keeps them waiting while it computes.

use super::Rule;
use crate::analysis::doctor::finding::{Confidence, Finding, Severity};
use crate::analysis::doctor::patient::{Group, Patient};
use crate::analysis::doctor::waits::Spent;
use crate::analysis::threads::without_digits;
use crate::model::units;
use crate::views::workload::Language;

pub(super) const RULE: Rule = Rule {
    id: "event-loop",
    about: "the thread that waits for all events computes for so long that they wait for it",
    when: "it runs for 50 ms between two waits, on average or once, and for 5% of the window; critical from 250 ms on",
    judge,
};

/// From here on somebody who waits for it notices.
const SLOW_NS: u64 = 50_000_000;

fn judge(patient: &Patient<'_>) -> Option<Finding> {
    let loops = patient.groups.iter().filter(|it| it.polls > 0);
    let busiest = loops.max_by_key(|it| it.of(Spent::Runs))?;
    let runs_ns = busiest.of(Spent::Runs);
    let mean_ns = runs_ns / busiest.polls.max(1);
    let longest = patient.moments().map_or(&[][..], |it| &it.longest).iter();
    let longest = longest.filter(|(thread, _)| without_digits(thread) == busiest.name);
    let longest_ns = longest.map(|(_, ns)| *ns).max().unwrap_or(0);
    let stretch_ns = mean_ns.max(longest_ns);
    if runs_ns < patient.window_ns / 20 || stretch_ns < SLOW_NS || !is_single(patient, busiest) {
        return None;
    }
    // One that never waits for events is not kept from them: it does something else.
    if runs_ns > patient.window_ns / 100 * 98 && busiest.polls < 3 {
        return None;
    }
    let severity = if stretch_ns >= 5 * SLOW_NS {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let name = busiest.name.clone();
    let is_meant = |stack: &crate::model::Stack, spent| {
        spent == Spent::Runs && without_digits(&stack.thread) == name
    };
    let place = patient.function(is_meant);
    let title = match &place {
        Some(place) => format!(
            "Its event loop (thread {}) is kept from events by {}.",
            busiest.name, place.function
        ),
        None => format!(
            "Its event loop (thread {}) computes instead of waiting for events.",
            busiest.name
        ),
    };
    let is_node = patient
        .workload()
        .is_some_and(|it| it.programs.iter().any(|it| it.language == Language::Node));
    let how = if is_node {
        "move the work to a worker thread (worker_threads) or cut it into pieces (setImmediate)"
    } else {
        "move the work to another thread or process, or cut it into pieces"
    };
    let waited = runs_ns as f64 / patient.window_ns.max(1) as f64;
    Some(
        Finding::new(RULE.id, severity, title)
            .about(runs_ns, patient.share(runs_ns))
            .sure(Confidence::Likely)
            .shown_by([
                format!(
                    "ran for {} and waited for events {}: {} between two waits on average",
                    units::duration(runs_ns),
                    units::counted(busiest.polls, "time"),
                    units::duration(mean_ns)
                ),
                format!(
                    "whatever came then waited: the loop was busy for {:.0}% of the time",
                    waited * 100.0
                ),
            ])
            .shown_by((longest_ns > 0).then(|| {
                format!(
                    "the longest stretch without a wait took {}",
                    units::duration(longest_ns)
                )
            }))
            .shown_by(patient.mostly(is_meant).map(|words| format!("ran {words}")))
            .advising([how.to_owned()])
            .advising(is_node.then(|| {
                "node --perf-basic-prof names the functions of scripts in flame graphs".to_owned()
            }))
            .gaining(
                format!(
                    "an event waits {} less, half of a stretch, on average",
                    units::duration(mean_ns / 2)
                ),
                None,
            ),
    )
}

/// Threads of a pool wait for events, too; a loop is one thread. Others of its name may wait for something else.
fn is_single(patient: &Patient<'_>, group: &Group) -> bool {
    let parts = [Spent::Runs, Spent::Queues, Spent::Throttled].map(|spent| group.of(spent));
    let ns = parts
        .iter()
        .fold(group.polls_ns, |sum, ns| sum.saturating_add(*ns));
    ns <= patient.window_ns.saturating_mul(3) / 2
}
