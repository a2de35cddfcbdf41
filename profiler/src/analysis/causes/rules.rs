//! The causes that ctprof knows, as a table: what time each is about, how much that time counts, and what is said.

use super::Evidence;
use crate::analysis::states::ViewState;
use crate::analysis::summary::CulpritKind;
use crate::model::text::cut;
use crate::model::{State, units};

/// Longest name of a container in a sentence.
const MAX_LABEL: usize = 40;

/// What stops threads of the classes above the fair one.
const REAL_TIME_LIMIT: &str = "by a limit on real-time threads (cpu.rt_runtime_us, kernel.sched_rt_runtime_us) or a \
     deadline's budget";

/// System calls named in a sentence.
const MAX_SYSCALLS: usize = 2;

/// One cause.
pub(super) struct Rule {
    /// What it is called in JSON.
    pub(super) id: &'static str,
    /// Its time counts this many times less than stalled time when causes are put in order. A wait for another thread or
    /// a peer may be work that is not there; `poll` and sleep nearly always are; running is what a thread is for.
    pub(super) discount: u64,
    /// The time that it took; 0 where it does not apply.
    pub(super) ns: fn(&Evidence<'_>) -> u64,
    /// The sentence, from the evidence and the time.
    pub(super) words: fn(&Evidence<'_>, u64) -> String,
}

/// A rule about a state of being blocked.
macro_rules! blocked {
    ($id:literal, $state:expr, $discount:literal, $before:literal, $after:literal) => {
        Rule {
            id: $id,
            discount: $discount,
            ns: |it| it.ns($state),
            words: |it, ns| {
                let what = format!(concat!($before, " {}", $after), units::duration(ns));
                blocked(it, $state, what)
            },
        }
    };
}
/// Every cause.
pub(super) const ALL: [Rule; 12] = [
    Rule {
        id: "throttled",
        discount: 1,
        ns: |it| it.ns(State::Throttled),
        words: throttled,
    },
    Rule {
        id: "run_queue",
        discount: 1,
        ns: |it| it.ns(State::RunQueue),
        words: run_queue,
    },
    blocked!("disk", State::BlockedDisk, 1, "blocked on disk for", ""),
    blocked!(
        "page_fault",
        State::BlockedFault,
        1,
        "waited",
        " in page faults"
    ),
    blocked!(
        "lock",
        State::BlockedLock,
        2,
        "waited",
        " for locks or other threads"
    ),
    blocked!("net", State::BlockedNet, 2, "waited", " on sockets"),
    blocked!("pipe", State::BlockedPipe, 2, "waited", " on pipes"),
    blocked!(
        "child",
        State::BlockedChild,
        4,
        "waited",
        " for child processes"
    ),
    blocked!(
        "other",
        State::BlockedOther,
        8,
        "blocked for other reasons for",
        ""
    ),
    blocked!("poll", State::BlockedPoll, 10, "waited", " for events"),
    blocked!("sleep", State::BlockedSleep, 10, "slept", " on purpose"),
    Rule {
        id: "on_cpu",
        discount: 20,
        ns: on_cpu_ns,
        words: on_cpu,
    },
];

fn throttled(it: &Evidence<'_>, ns: u64) -> String {
    let mut text = format!(
        "throttled {} of the time its threads could run ({}): ",
        units::percent(ns, it.runnable_ns()),
        units::duration(ns)
    );
    text.push_str(&limits(it, ns));
    if it.window_ns > 0 {
        let threads = it.runnable_ns() as f64 / it.window_ns as f64;
        text.push_str(&format!(", {threads:.1} runnable threads"));
    }
    let mut parts = vec![text];
    if let Some(cfs) = it.container.cfs
        && cfs.throttled_periods > 0
    {
        parts.push(format!(
            "{} of {} periods",
            units::count(cfs.throttled_periods),
            units::count(cfs.periods)
        ));
    }
    let stopped = it.blamed(ViewState::THROTTLED);
    parts.extend(stopped.and_then(|blamed| blamed.words("mostly")));
    let burner = it
        .burner()
        .filter(|burner| stopped.is_none_or(|stopped| stopped.function != burner.function));
    parts.extend(burner.and_then(|blamed| blamed.words("quota burnt mostly")));
    parts.join("; ")
}

/// Which limits stopped it. The ledger knows those of real-time threads apart, so the rest was a quota; where none is set
/// for its cgroup or above, it was set below, or for a while.
fn limits(it: &Evidence<'_>, ns: u64) -> String {
    let limited_ns = it.container.limited_real_time_ns.unwrap_or(0).min(ns);
    let quota = || match it.container.cpu_quota_cores {
        Some(cores) => format!("quota {cores:.2} CPU"),
        None => "by a quota of a cgroup below, or one that was lifted".to_owned(),
    };
    match ns - limited_ns {
        _ if limited_ns == 0 => quota(),
        0 => REAL_TIME_LIMIT.to_owned(),
        _ => format!(
            "{} of it {REAL_TIME_LIMIT}, else {}",
            units::percent(limited_ns, ns),
            quota()
        ),
    }
}

fn run_queue(it: &Evidence<'_>, ns: u64) -> String {
    let mut parts = Vec::new();
    let first = it.container.delayed_by.iter().flatten().next();
    parts.extend(first.map(|delay| {
        let share = units::percent(delay.ns, ns);
        let name = cut(&delay.name, MAX_LABEL);
        match delay.kind {
            CulpritKind::Siblings => format!("{share} while its own threads ran"),
            CulpritKind::Container => format!("{share} while {name} ran"),
            CulpritKind::Host => format!("{share} while processes of the host ran"),
            CulpritKind::Kernel => format!("{share} while kernel threads ran"),
            CulpritKind::Idle => format!("{share} while a CPU woke up from idle"),
            CulpritKind::Unknown => format!("{share} for an unknown reason"),
        }
    }));
    if let Some(latency) = &it.container.run_queue_latency
        && let (Some(p99), Some(max)) = (latency.p99_ns, latency.max_ns)
    {
        parts.push(format!(
            "p99 {}, max {}",
            units::duration(p99),
            units::duration(max)
        ));
    }
    sentence(
        format!("waited {} for a CPU", units::duration(ns)),
        parts,
        it,
        ViewState::RUN_QUEUE,
    )
}

fn blocked(it: &Evidence<'_>, state: State, what: String) -> String {
    let calls = it
        .container
        .blocking_syscalls
        .iter()
        .filter(|call| call.state == state && call.count > 0)
        .take(MAX_SYSCALLS)
        .map(|call| {
            let times = units::counted(call.count, "time");
            let name = cut(&call.name, MAX_LABEL);
            match it.container.views.times(&call.name) {
                Some(calls) => {
                    let calls = units::counted(calls, "call");
                    format!("slept {times} in {calls} of {name}")
                }
                None => format!("slept {times} in {name}"),
            }
        })
        .collect::<Vec<_>>();
    let parts = if calls.is_empty() {
        Vec::new()
    } else {
        vec![calls.join(", ")]
    };
    sentence(what, parts, it, ViewState::of(state))
}

/// Running is a cause where it is most of what the threads did, and enough for anybody to notice.
fn on_cpu_ns(it: &Evidence<'_>) -> u64 {
    let ns = it
        .ns(State::OnCpuUser)
        .saturating_add(it.ns(State::OnCpuKernel));
    let applies = ns >= it.active_ns() / 2 && ns >= it.window_ns / 10;
    if applies { ns } else { 0 }
}

fn on_cpu(it: &Evidence<'_>, ns: u64) -> String {
    let kernel = it.ns(State::OnCpuKernel);
    let share = units::percent(kernel, ns);
    sentence(
        format!("ran for {}", units::duration(ns)),
        vec![format!("{share} of it in the kernel")],
        it,
        ViewState::ON_CPU,
    )
}

/// `what: part; part; mostly in f()`.
fn sentence(what: String, mut parts: Vec<String>, it: &Evidence<'_>, state: ViewState) -> String {
    parts.extend(it.blamed(state).and_then(|blamed| blamed.words("mostly")));
    if parts.is_empty() {
        what
    } else {
        format!("{what}: {}", parts.join("; "))
    }
}

#[cfg(test)]
mod tests;
