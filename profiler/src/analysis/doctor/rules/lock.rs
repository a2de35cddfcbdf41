//! Threads wait for a lock.

use super::Rule;
use crate::analysis::doctor::finding::{Confidence, Finding, Severity};
use crate::analysis::doctor::frames::{called, own};
use crate::analysis::doctor::patient::{Patient, Place};
use crate::analysis::doctor::waits::{self, Says, Spent};
use crate::model::units;
use crate::views::limits::Quota;

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
    let holder = Holder::of(patient);
    // Who is stopped with a lock in his hand keeps others waiting for it: then that is not the cause.
    let stopped_ns = patient.ns(Spent::Throttled);
    let is_stopped = stopped_ns > patient.ns(Spent::Runs) / 10
        && holder.as_ref().is_none_or(|it| !it.does_something_else());
    let severity = if share >= 0.5 && !is_stopped {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let is_meant = |_: &crate::model::Stack, spent| spent == Spent::Lock;
    let runtimes = RUNTIMES.iter().find(|it| {
        let begins = |stack| {
            patient
                .frames
                .any(stack, |name| name.starts_with(it.begins))
        };
        patient.stacks(is_meant).any(begins)
    });
    let waits = patient
        .groups
        .iter()
        .map(|it| it.waits[Spent::Lock as usize]);
    let times = waits.fold(0, u64::saturating_add);
    let place = patient.function(is_meant);
    let what = runtimes.map_or("a lock", |it| it.lock);
    let title = match (&place, &holder) {
        (
            Some(place),
            Some(Holder {
                function: Some(function),
                ..
            }),
        ) if *function != place.function => format!(
            "Its threads wait in {} for {what} that is held in {function}.",
            place.function
        ),
        (Some(place), _) => format!(
            "Its threads wait for {what}, most of them in {}.",
            place.function
        ),
        (None, _) => format!("Its threads wait for {what}."),
    };
    let threads = patient.threads(is_meant);
    let threads = threads.first().map(|it| {
        format!(
            "most of it by threads {} ({})",
            it.function,
            units::percent(it.ns, it.of_ns)
        )
    });
    let advice = match (&place, runtimes) {
        (_, Some(runtime)) => runtime.advice.iter().map(|&it| it.to_owned()).collect(),
        (Some(place), None) => {
            let holds = holder.as_ref().and_then(|it| it.function.clone());
            let holds = holds.filter(|it| *it != place.function);
            let who = holds.map_or(String::new(), |it| format!("let {it} "));
            let how = match holder.as_ref().and_then(|it| it.did.first()) {
                Some(Place { function, .. }) => format!("it {function} meanwhile"),
                None => "nothing slow while it is held".to_owned(),
            };
            vec![format!(
                "{who}hold the lock that {} takes for less: {how}, or a lock for each part of the data",
                place.function
            )]
        }
        (None, None) => vec![LESS.to_owned()],
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
            .shown_by(holder.iter().map(Holder::words))
            .advising(advice)
            .gaining(
                format!(
                    "up to {:.1} times as much work a second",
                    speedup(patient, share)
                ),
                None,
            ),
    )
}

/// How many times as much it can do when nobody waits for the lock: all of the time that it waited is work, if CPUs and its quota
/// let it run for so much longer.
fn speedup(patient: &Patient<'_>, share: f64) -> f64 {
    let quota = patient.limits().and_then(|it| it.cpu.quota.as_ref());
    let quota = quota.map_or(f64::INFINITY, Quota::cores);
    let cpus = (patient.cpus_allowed() as f64).min(quota);
    let by_cpus = cpus / patient.used_cores().max(0.01);
    (1.0 / (1.0 - share).max(0.02)).min(by_cpus).max(1.0)
}

/// What to do where nothing else is known.
const LESS: &str = "hold the lock for less, or have a lock for each part of the data";

/// A lock that a language has of its own.
struct Runtime {
    /// How a function begins that takes it.
    begins: &'static str,
    lock: &'static str,
    advice: &'static [&'static str],
}

const RUNTIMES: &[Runtime] = &[
    Runtime {
        begins: "take_gil",
        lock: "Python's global interpreter lock",
        advice: &[
            "processes in place of threads (multiprocessing, more workers), or code that releases the lock while it computes",
        ],
    },
    Runtime {
        begins: "ObjectMonitor::",
        lock: "a Java monitor (synchronized)",
        advice: &[
            LESS,
            "jcmd PID Thread.print says which: threads that are \"waiting to lock\" it, and where the one is that \"locked\" it",
        ],
    },
    Runtime {
        begins: "gvl_acquire",
        lock: RUBY,
        advice: &[FOR_RUBY],
    },
    Runtime {
        begins: "thread_sched_",
        lock: RUBY,
        advice: &[FOR_RUBY],
    },
];

const RUBY: &str = "Ruby's global VM lock";
const FOR_RUBY: &str = "more worker processes with fewer threads each, or Ractors: one thread of a process runs Ruby at a time";

/// Whether somebody who waits in these functions, the innermost first, waits for a lock, and not for work.
fn is_for_lock(functions: &[String]) -> bool {
    let says = functions.iter().filter_map(|name| waits::function(name));
    waits::waited_for(says) == Some(Says::Lock)
}

/// Who had the lock, and what that thread did meanwhile.
struct Holder {
    thread: String,
    /// The function of the program that it let go of the lock in.
    function: Option<String>,
    /// Waits that it held up, and for how long.
    count: u64,
    ns: u64,
    of_ns: u64,
    /// Where its own time in that function went.
    did: Vec<Place>,
}

impl Holder {
    /// The one that had it for most of the time that was waited.
    fn of(patient: &Patient<'_>) -> Option<Self> {
        let wakers = patient.moments()?.wakers.iter();
        let wakers: Vec<_> = wakers.filter(|it| is_for_lock(&it.waited_in)).collect();
        let of_ns = wakers
            .iter()
            .fold(0_u64, |sum, it| sum.saturating_add(it.ns));
        let mut all: Vec<Self> = Vec::new();
        for waker in wakers {
            let function = own(&waker.functions);
            let known = all
                .iter_mut()
                .find(|it| it.thread == waker.thread && it.function.as_deref() == function);
            match known {
                Some(known) => {
                    (known.count, known.ns) = (known.count + waker.count, known.ns + waker.ns);
                }
                None => all.push(Self {
                    thread: waker.thread.clone(),
                    function: function.map(str::to_owned),
                    count: waker.count,
                    ns: waker.ns,
                    of_ns,
                    did: Vec::new(),
                }),
            }
        }
        let mut worst = all.into_iter().max_by_key(|it| it.ns)?;
        if let Some(function) = &worst.function {
            let is_meant = |stack: &crate::model::Stack, spent: Spent| {
                *stack.thread == *worst.thread
                    && spent != Spent::Lock
                    && patient.frames.has(stack, function)
            };
            let mut did: Vec<Place> = Vec::new();
            for (spent, word) in DID {
                let stacks = patient.stacks(|stack, it| it == *spent && is_meant(stack, it));
                let ns = stacks.fold(0_u64, |sum, it| sum.saturating_add(it.time_ns));
                let place = patient.function(|stack, it| it == *spent && is_meant(stack, it));
                let place = place.filter(|it| it.function != called(function));
                let place = place.map_or(String::new(), |it| format!(" in {}", it.function));
                did.push(Place {
                    function: format!("{word}{place}"),
                    ns,
                    of_ns: patient.window_ns,
                });
            }
            did.retain(|it| it.ns > patient.window_ns / 100);
            did.sort_by_key(|it| std::cmp::Reverse(it.ns));
            worst.did = did;
        }
        worst.function = worst.function.map(|it| called(&it));
        Some(worst)
    }

    /// Whether it mostly does what no quota makes longer.
    fn does_something_else(&self) -> bool {
        let others = [
            "sleeps on purpose",
            "waits for a disk",
            "waits for a peer on the network",
        ];
        self.did
            .first()
            .is_some_and(|it| others.iter().any(|other| it.function.starts_with(other)))
    }

    fn words(&self) -> String {
        let whence = self
            .function
            .as_ref()
            .map_or(String::new(), |it| format!(" in {it}"));
        let did: Vec<String> = self
            .did
            .iter()
            .map(|it| format!("{} for {}", it.function, units::duration(it.ns)))
            .collect();
        let did = if did.is_empty() {
            String::new()
        } else {
            format!("; in there it {}", did.join(", "))
        };
        format!(
            "thread {} had it{whence} in {}, for {} of the time that was waited{did}",
            self.thread,
            units::counted(self.count, "wait"),
            units::percent(self.ns, self.of_ns)
        )
    }
}

/// What somebody does who holds a lock.
const DID: &[(Spent, &str)] = &[
    (Spent::Sleep, "sleeps on purpose"),
    (Spent::Runs, "computes"),
    (Spent::Disk, "waits for a disk"),
    (Spent::Network, "waits for a peer on the network"),
    (Spent::Queues, "waits for a CPU"),
    (Spent::Throttled, "is stopped by the quota"),
    (Spent::Pipe, "waits for a pipe"),
    (Spent::Child, "waits for a child"),
    (Spent::Fault, "waits for its memory"),
];
