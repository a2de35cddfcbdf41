//! The memory limit has the container throw out pages that it soon needs again.

use super::Rule;
use crate::analysis::doctor::advice;
use crate::analysis::doctor::finding::{Confidence, Finding, Severity};
use crate::analysis::doctor::patient::Patient;
use crate::analysis::doctor::waits::Spent;
use crate::model::units;

pub(super) const RULE: Rule = Rule {
    id: "memory-limit",
    about: "the memory limit makes it wait: pages are thrown out and needed again, or garbage is collected all the time",
    when: "it ran into the limit, pages came back, and waits for them with the reclaim take 10% of its active time; critical from \
           40% on",
    judge,
};

/// Kernel functions that make room below a limit, and bring back what had to go.
const RECLAIM: [&str; 4] = [
    "try_to_free_mem_cgroup_pages",
    "shrink_lruvec",
    "mem_cgroup_handle_over_high",
    // A page of a file that was there, and will be there again.
    "filemap_fault",
];

fn judge(patient: &Patient<'_>) -> Option<Finding> {
    let memory = patient.limits()?.memory.as_ref()?;
    let limit = memory.limit.or(memory.high)?;
    if memory.limit_hits + memory.high_hits == 0 || memory.refaults + memory.major_faults < 100 {
        return None;
    }
    let reclaims =
        |stack: &crate::model::Stack| RECLAIM.iter().any(|it| patient.frames.has(stack, it));
    let reclaim = patient.stacks(|stack, spent| spent == Spent::Runs && reclaims(stack));
    let reclaim_ns = reclaim.fold(0_u64, |sum, it| sum.saturating_add(it.time_ns));
    // A page of a file that was thrown out is read with the file's call, or in a page fault.
    let waited_ns = patient.ns(Spent::Fault) + patient.ns(Spent::Disk);
    let ns = waited_ns + reclaim_ns;
    let share = patient.share(ns);
    if !patient.is_notable(ns) || share < 0.1 {
        return None;
    }
    let severity = if share >= 0.4 {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let pages = memory.refaults.max(memory.major_faults);
    // What it has mapped would be there, or twice as much as now, where it reads its files.
    let programs = patient.programs();
    let mapped = programs.iter().map(|it| it.mapped).max().unwrap_or(0);
    let anonymous = memory.used.saturating_sub(memory.files);
    let mapped = anonymous.saturating_add(mapped / 10 * 11);
    let wanted = if mapped > limit { mapped } else { limit * 2 };
    let where_waited = patient.mostly(|stack, spent| {
        matches!(spent, Spent::Fault | Spent::Disk) || spent == Spent::Runs && reclaims(stack)
    });
    Some(
        Finding::new(
            RULE.id,
            severity,
            format!(
                "Its memory limit of {} makes it wait for its own pages: {} were thrown out and needed again.",
                units::bytes(limit),
                units::count(pages)
            ),
        )
        .about(ns, share)
        .sure(Confidence::Certain)
        .shown_by([
            format!("in use {} of {}, {} of it pages of files (memory.stat)", units::bytes(memory.used), units::bytes(limit), units::bytes(memory.files)),
            format!("{} at the limit, {} pages needed again, {} major faults (memory.events, memory.stat)", units::counted(memory.limit_hits + memory.high_hits, "time"), units::count(memory.refaults), units::count(memory.major_faults)),
            format!("waited {} for pages and disks, and spent {} making room (ledger, samples)", units::duration(waited_ns), units::duration(reclaim_ns)),
        ])
        .shown_by(patient.pressure(|it| it.memory, "memory.pressure"))
        .shown_by(where_waited.map(|words| format!("mostly {words}")))
        .advising([advice::memory_limit(patient, wanted)])
        .gaining(
            format!("up to {:.1} times as much work a second, if what it uses fits", 1.0 / (1.0 - share).max(0.02)),
            Some(1.0 / (1.0 - share).max(0.02)),
        ),
    )
}
