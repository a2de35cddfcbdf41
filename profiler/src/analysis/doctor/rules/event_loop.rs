//! A thread that serves many keeps them waiting while it computes.

use super::Rule;
use crate::analysis::doctor::finding::{Confidence, Finding, Severity};
use crate::analysis::doctor::group::Group;
use crate::analysis::doctor::patient::Patient;
use crate::analysis::doctor::unnamed;
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
    // One that always has something to do looks for events without a wait: those looks are calls, and no waits.
    let looks = looks(patient);
    let node = is_node(patient).filter(|_| looks > 0);
    let is_loop = |it: &&Group| it.polls > 0 || node.is_some_and(|name| it.name == name);
    let busiest = patient.groups.iter().filter(is_loop);
    let busiest = busiest.max_by_key(|it| it.of(Spent::Runs))?;
    let runs_ns = busiest.of(Spent::Runs);
    let polls = busiest.polls.max(looks);
    let mean_ns = runs_ns / polls.max(1);
    let longest = patient.moments().map_or(&[][..], |it| &it.longest).iter();
    let longest = longest.filter(|(thread, _)| without_digits(thread) == busiest.name);
    // A stretch without a wait is one without a look only where looks were seen that do not wait, unless all are short.
    let longest = longest.filter(|_| looks > 0 || mean_ns >= SLOW_NS / 10);
    let longest_ns = longest.map(|(_, ns)| *ns).max().unwrap_or(0);
    let stretch_ns = mean_ns.max(longest_ns);
    if runs_ns < patient.window_ns / 20 || stretch_ns < SLOW_NS || !is_single(patient, busiest) {
        return None;
    }
    // One that never waits for events is not kept from them: it does something else.
    if runs_ns > patient.window_ns / 100 * 98 && polls < 3 {
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
    let is_node = is_node(patient).is_some();
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
                    "ran for {} and looked for events {}: {} between two looks on average",
                    units::duration(runs_ns),
                    units::counted(polls, "time"),
                    units::duration(mean_ns)
                ),
                format!(
                    "whatever came then waited: the loop was busy for {:.0}% of the time",
                    waited * 100.0
                ),
            ])
            .shown_by((longest_ns > 0).then(|| {
                format!(
                    "the longest stretch without a {} took {}",
                    if looks > 0 { "look" } else { "wait" },
                    units::duration(longest_ns)
                )
            }))
            .shown_by(patient.mostly(is_meant).map(|words| format!("ran {words}")))
            .advising([how.to_owned()])
            .advising(unnamed::of(patient).map(|it| it.advice))
            .gaining(
                if longest_ns > mean_ns {
                    format!("an event waits up to {} less", units::duration(longest_ns))
                } else {
                    format!(
                        "an event waits {} less, half of a stretch, on average",
                        units::duration(mean_ns / 2)
                    )
                },
                None,
            ),
    )
}

/// How often the container looked for events.
fn looks(patient: &Patient<'_>) -> u64 {
    let calls = patient.calls().map_or(&[][..], |it| &it.0);
    let looks = calls
        .iter()
        .filter(|it| it.name.starts_with("epoll_") && it.name.contains("wait"));
    looks.fold(0, |sum, it| sum.saturating_add(it.count))
}

/// The name of its Node.js processes, if it has any.
fn is_node<'p>(patient: &Patient<'p>) -> Option<&'p str> {
    let mut programs = patient.workload()?.programs.iter();
    let node = programs.find(|it| it.language == Language::Node)?;
    Some(&node.name)
}

/// Threads of a pool wait for events, too; a loop is one thread. Others of its name may wait for something else.
fn is_single(patient: &Patient<'_>, group: &Group) -> bool {
    let parts = [Spent::Runs, Spent::Queues, Spent::Throttled].map(|spent| group.of(spent));
    let ns = parts
        .iter()
        .fold(group.polls_ns, |sum, ns| sum.saturating_add(*ns));
    ns <= patient.window_ns.saturating_mul(3) / 2
}
