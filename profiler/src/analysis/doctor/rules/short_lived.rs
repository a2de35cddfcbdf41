//! Processes that live for a moment.

use std::collections::{HashMap, HashSet};

use super::Rule;
use crate::analysis::doctor::finding::{Confidence, Finding, Severity};
use crate::analysis::doctor::patient::Patient;
use crate::analysis::doctor::waits::Spent;
use crate::model::units;

pub(super) const RULE: Rule = Rule {
    id: "short-lived",
    about: "it starts processes again and again, and starting them is most of its work",
    when: "10 a second, with half of its time on the CPU; a warning from 20 a second on",
    judge,
};

fn judge(patient: &Patient<'_>) -> Option<Finding> {
    let ledger = patient.row.ledger.as_ref()?;
    let seconds = patient.window_ns.max(1) as f64 / 1e9;
    let born = ledger.threads_born.min(ledger.threads_exited);
    // Threads of a process are no processes: those are told by their ids.
    let mut processes: HashMap<u32, u64> = HashMap::new();
    let mut names: HashMap<&str, (HashSet<u32>, u64)> = HashMap::new();
    for stack in &patient.row.stacks {
        *processes.entry(stack.pid).or_default() += stack.time_ns;
        // One that has no name yet has not got to its program.
        if stack.thread.is_empty() {
            continue;
        }
        let (pids, ns) = names.entry(&stack.thread).or_default();
        pids.insert(stack.pid);
        *ns += stack.time_ns;
    }
    let brief = |pid: &u32| {
        processes
            .get(pid)
            .is_some_and(|ns| *ns < patient.window_ns / 20)
    };
    let count = processes.keys().filter(|pid| brief(pid)).count() as u64;
    let rate = count.min(born) as f64 / seconds;
    let runs = patient.stacks(|stack, spent| {
        matches!(spent, Spent::Runs | Spent::Queues | Spent::Throttled) && brief(&stack.pid)
    });
    let ns = runs.fold(0_u64, |sum, it| sum.saturating_add(it.time_ns));
    let share = patient.share(ns);
    if rate < 10.0 || !patient.is_notable(ns) || share < 0.5 {
        return None;
    }
    let mut most: Vec<(&str, usize)> = names
        .iter()
        .map(|(name, (pids, _))| (*name, pids.len()))
        .collect();
    most.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
    let named: Vec<String> = most
        .iter()
        .filter(|(_, count)| *count as f64 > seconds)
        .take(4)
        .map(|(name, count)| format!("{name} ({:.0} a second)", *count as f64 / seconds))
        .collect();
    let kernel = patient.stacks(|stack, spent| {
        spent == Spent::Runs && brief(&stack.pid) && stack.state == crate::model::State::OnCpuKernel
    });
    let kernel_ns = kernel.fold(0_u64, |sum, it| sum.saturating_add(it.time_ns));
    Some(
        Finding::new(
            RULE.id,
            if rate >= 20.0 { Severity::Warning } else { Severity::Info },
            format!("It starts {rate:.0} processes a second, which live for {} each.", units::duration((ns as f64 / count.max(1) as f64) as u64)),
        )
        .about(ns, share)
        .sure(Confidence::Certain)
        .shown_by([
            format!("{} threads born and {} ended (ledger)", units::count(ledger.threads_born), units::count(ledger.threads_exited)),
            format!("they took {} on the CPU or waiting for one, {} of it in the kernel", units::duration(ns), units::percent(kernel_ns, ns)),
        ])
        .shown_by((!named.is_empty()).then(|| format!("processes: {}", named.join(", "))))
        .advising([match most.first() {
            Some((name, _)) => format!("do in one process what {name} is started for each time: the shell's own words, one awk, a library"),
            None => "do in one process what they are started for".to_owned(),
        }])
        .gaining("starting a process costs a millisecond of CPU time or so".to_owned(), None),
    )
}
