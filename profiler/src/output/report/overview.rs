//! The report's table of containers: where their threads' time went, or without a ledger what they did on the CPU.

use super::MAX_LABEL;
use crate::analysis::states::Meaning;
use crate::analysis::summary::{ContainerSummary, Summary};
use crate::model::State;
use crate::model::units;
use crate::table::{Align, Table, cut};

/// Which states a column sums up.
type Belongs = fn(State) -> bool;

/// Above the table of the ledger.
pub(super) const LEDGER_HEADING: &str = "Where the time of their threads went, in seconds and percent of it.\n\
     STALLED: they had work, and no CPU, no quota, no disk. BLOCKED: asleep for anything else.";

/// A container's ledger in one line: every column but STALLED, which is a sum of the three before, adds up to TOTAL.
pub(super) fn ledger(summary: &Summary, positions: &[usize]) -> Table {
    let rows = || {
        positions
            .iter()
            .map(|position| &summary.containers[*position])
    };
    let mut table = Table::default();
    table.column("CONTAINER", Align::Left, rows(), |c| {
        cut(&c.label, MAX_LABEL)
    });
    table.column("TOTAL", Align::Right, rows(), |c| {
        c.thread_time_ns.map_or_else(|| "-".to_owned(), seconds)
    });
    let columns: [(&str, Belongs); 7] = [
        ("USER", |state| state == State::OnCpuUser),
        ("KERNEL", |state| state == State::OnCpuKernel),
        ("RUN QUEUE", |state| state == State::RunQueue),
        ("THROTTLED", |state| state == State::Throttled),
        ("DISK, FAULT", |state| {
            matches!(state, State::BlockedDisk | State::BlockedFault)
        }),
        ("STALLED", |state| Meaning::of(state) == Meaning::Stalled),
        ("BLOCKED", |state| Meaning::of(state) == Meaning::Blocked),
    ];
    for (heading, belongs) in columns {
        table.column(heading, Align::Right, rows(), |c| {
            time(sum(c, belongs), c.thread_time_ns)
        });
    }
    table
}

/// Time in the states that belong; `None` where none of them is measured.
fn sum(container: &ContainerSummary, belongs: Belongs) -> Option<u64> {
    container
        .time_ns
        .iter()
        .filter(|(state, _)| belongs(**state))
        .fold(None, |sum: Option<u64>, (_, ns)| {
            Some(sum.unwrap_or(0).saturating_add(*ns))
        })
}

/// `24.96  85%`; `-` for what is not measured.
fn time(ns: Option<u64>, whole: Option<u64>) -> String {
    match (ns, whole) {
        (None, _) => "-".to_owned(),
        (Some(0), _) => "0     ".to_owned(),
        (Some(ns), Some(whole)) if whole > 0 => {
            let percent = 100.0 * ns as f64 / whole as f64;
            let percent = match percent {
                ..0.5 => "<1%".to_owned(),
                _ => format!("{percent:.0}%"),
            };
            format!("{} {percent:>4}", seconds(ns))
        }
        (Some(ns), _) => format!("{}     ", seconds(ns)),
    }
}

fn seconds(ns: u64) -> String {
    format!("{:.2}", ns as f64 / 1e9)
}

/// On-CPU time as samples tell it.
pub(super) fn samples(summary: &Summary, positions: &[usize]) -> Table {
    let rows = || {
        positions
            .iter()
            .map(|position| &summary.containers[*position])
    };
    let all_ns = summary.on_cpu_ns();
    let mut table = Table::default();
    table.column("CONTAINER", Align::Left, rows(), |c| {
        cut(&c.label, MAX_LABEL)
    });
    table.column("CPU TIME", Align::Right, rows(), |c| {
        units::duration(c.on_cpu_ns())
    });
    table.column("CORES", Align::Right, rows(), |c| {
        if summary.window_ns == 0 {
            return "-".to_owned();
        }
        format!("{:.2}", c.on_cpu_ns() as f64 / summary.window_ns as f64)
    });
    table.column("SHARE", Align::Right, rows(), |c| {
        units::percent(c.on_cpu_ns(), all_ns)
    });
    table.column("KERNEL", Align::Right, rows(), |c| {
        units::percent(c.kernel_ns(), c.on_cpu_ns())
    });
    table.column("SAMPLES", Align::Right, rows(), |c| units::count(c.samples));
    if rows().any(|c| c.cpu_quota_cores.is_some()) {
        table.column("QUOTA", Align::Right, rows(), |c| {
            c.cpu_quota_cores
                .map_or_else(|| "-".to_owned(), |cores| format!("{cores:.2}"))
        });
    }
    if rows().any(|c| c.cfs.is_some_and(|cfs| cfs.throttled_periods > 0)) {
        table.column("THROTTLED PERIODS", Align::Right, rows(), |c| match c.cfs {
            Some(cfs) if cfs.periods > 0 => format!("{} of {}", cfs.throttled_periods, cfs.periods),
            _ => "-".to_owned(),
        });
    }
    if rows().any(|c| c.stacks.incomplete() > 0) {
        table.column("STACKS CUT", Align::Right, rows(), |c| {
            units::percent(c.stacks.incomplete(), c.stacks.all())
        });
    }
    table
}
