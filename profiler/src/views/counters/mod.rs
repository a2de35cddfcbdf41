//! What the hardware and the kernel count for a cgroup, by perf.
//!
//! An event of perf counts on one CPU, for one cgroup and all below it: a container costs (events x CPUs) files and
//! as many kernel objects, so there is a limit, and who is named first has counters first. A cgroup that is born
//! while others are counted has none: what it did before it could be opened would be missing.
//!
//! While any cgroup is counted, every switch of a CPU from one cgroup to another (idle is one, too) makes perf put
//! away one set of events and take out the other: 0.9 us measured, 0.1 us more per event, 0.1 us where both threads
//! are in one cgroup, however many cgroups are counted. That is more than the ledger costs: where cost matters most,
//! there should be no counters.
//!
//! - `event`: what is counted, and how perf is asked for it
//! - `counting`: the counters of some cgroups while they count
//! - `counted`: the result, and why some have none

mod counted;
mod counting;
mod event;

pub use counted::Counted;
pub use counting::Counting;

use serde::Serialize;

use super::recorder::{NOT_IN_PARTS, Prepared, Running, Scope, cgroup_rows};
use super::{Clean, RowView};
use crate::model::comparable::{Comparable, Dimension, Read, WAITING};
use crate::model::units::count;
use crate::model::{Container, Figures, Grouping, Op, Sums, Unavailable, ViewId};

/// Counters of a cgroup and all below it over the window, from perf. What the machine or kernel does not count is absent, never 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// CPU cycles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cycles: Option<u64>,
    /// Instructions retired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<u64>,
    /// Accesses that missed the last-level cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_misses: Option<u64>,
    /// Page faults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_faults: Option<u64>,
    /// Context switches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_switches: Option<u64>,
    /// Moves of threads to another CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migrations: Option<u64>,
}

impl Sums for Counters {
    fn combine(&mut self, other: &Self, op: Op) {
        let Self {
            cycles,
            instructions,
            cache_misses,
            page_faults,
            context_switches,
            migrations,
        } = other;
        op.on_optional(&mut self.cycles, *cycles);
        op.on_optional(&mut self.instructions, *instructions);
        op.on_optional(&mut self.cache_misses, *cache_misses);
        op.on_optional(&mut self.page_faults, *page_faults);
        op.on_optional(&mut self.context_switches, *context_switches);
        op.on_optional(&mut self.migrations, *migrations);
    }
}

impl Figures for Counters {
    const VIEW: ViewId = ViewId::new("counters");
}

const fn comparable(
    id: &'static str,
    meaning: &'static str,
    read: fn(&Container) -> Option<u64>,
) -> Comparable {
    Comparable {
        id,
        meaning,
        between_runs: WAITING,
        read: Read::Whole(Dimension::Number, read),
    }
}

impl RowView for Counters {
    const TITLE: &'static str = "counters";
    const COMPARED: &'static [Comparable] = &[
        comparable("counters.cycles", "cycles of the CPU", |row| {
            row.measured.get::<Self>()?.cycles
        }),
        comparable("counters.instructions", "instructions", |row| {
            row.measured.get::<Self>()?.instructions
        }),
        comparable("counters.cache_misses", "misses of the last cache", |row| {
            row.measured.get::<Self>()?.cache_misses
        }),
        comparable("counters.page_faults", "page faults", |row| {
            row.measured.get::<Self>()?.page_faults
        }),
    ];

    type Record = [Option<u64>; event::KINDS];

    fn record(&self) -> Self::Record {
        let Self {
            cycles,
            instructions,
            cache_misses,
            page_faults,
            context_switches,
            migrations,
        } = *self;
        [
            cycles,
            instructions,
            cache_misses,
            page_faults,
            context_switches,
            migrations,
        ]
    }

    fn restore(record: Self::Record, _: Clean) -> Option<Self> {
        Some(event::counters(record))
    }

    type Summary = Self;

    fn summary(&self, _: Option<u64>) -> Self {
        *self
    }

    fn line(&self, _: Option<u64>) -> Option<String> {
        let mut all = Vec::new();
        if let (Some(instructions), Some(cycles @ 1..)) = (self.instructions, self.cycles) {
            let ipc = instructions as f64 / cycles as f64;
            all.push(format!("{ipc:.2} instructions per cycle"));
        }
        if let (Some(misses), Some(instructions @ 1..)) = (self.cache_misses, self.instructions) {
            let rate = 1000.0 * misses as f64 / instructions as f64;
            all.push(format!("{rate:.2} cache misses per 1,000 instructions"));
        }
        let plural = |value: u64, one: &str, many: &str| match value {
            1 => format!("1 {one}"),
            _ => format!("{} {many}", count(value)),
        };
        for (value, one, many) in [
            (self.page_faults, "page fault", "page faults"),
            (self.context_switches, "context switch", "context switches"),
            (self.migrations, "CPU migration", "CPU migrations"),
        ] {
            all.extend(value.map(|value| plural(value, one, many)));
        }
        (!all.is_empty()).then(|| format!("{} (perf)", all.join(", ")))
    }

    fn prepare(scope: &Scope<'_>) -> Prepared {
        if scope.is_part {
            return Err(NOT_IN_PARTS.to_owned());
        }
        // Of other rows, none is a cgroup with all that is below it.
        if !matches!(scope.grouping, Grouping::Container | Grouping::Pod) {
            let by = scope.grouping.name();
            return Err(format!(
                "no counters by {by}: perf counts a cgroup with all below it"
            ));
        }
        if !scope.stacks {
            return Err(
                "no counters with --no-stacks: they add to the cost of every switch between containers"
                    .to_owned(),
            );
        }
        let owners = scope.owners.iter().map(String::as_str);
        Ok(Box::new(Run {
            counting: Some(Counting::open(scope.hierarchy, owners)),
            counted: Counted::default(),
        }))
    }
}

/// Counters of a recording.
struct Run {
    counting: Option<Counting>,
    counted: Counted,
}

impl Running for Run {
    fn start(&mut self, _: &[&str]) {
        if let Some(counting) = &mut self.counting {
            counting.start();
        }
    }

    fn follow(&mut self) {
        if let Some(counting) = &mut self.counting {
            counting.follow_cpus();
        }
    }

    fn stop(&mut self) {
        if let Some(counting) = self.counting.take() {
            self.counted = counting.stop();
        }
    }

    fn give(&mut self, rows: &mut [Container]) -> Vec<Unavailable> {
        let mut paths = Vec::new();
        for row in cgroup_rows(rows) {
            if let Some(counters) = self.counted.of(&row.identity.cgroup) {
                row.measured.insert(counters);
            }
            paths.push(row.identity.cgroup.clone());
        }
        self.counted.unavailable(paths.iter().map(String::as_str))
    }
}
