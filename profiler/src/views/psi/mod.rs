//! Stall times of cgroups (PSI).

mod files;

use serde::Serialize;

use super::{Clean, RowView};
use crate::host::cgroup::Hierarchy;
use crate::model::comparable::{Comparable, Dimension, Read, WAITING};
use crate::model::metric::{Emit, Kind, Metric, OfRow, Value, label};
use crate::model::units::duration;
use crate::model::{Container, Figures, Op, Sums, ViewId};

/// Stall times of a cgroup over the window, from its pressure files (PSI). Wall-clock time, not thread time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Psi {
    /// `cpu.pressure`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Stall>,
    /// `io.pressure`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io: Option<Stall>,
    /// `memory.pressure`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Stall>,
}

/// One resource of [`Psi`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stall {
    /// Time in which at least one task waited for the resource.
    pub some_ns: u64,
    /// Time in which all tasks that were not idle waited at once.
    pub full_ns: u64,
}

impl Sums for Psi {
    fn combine(&mut self, other: &Self, op: Op) {
        let Self { cpu, io, memory } = other;
        self.cpu.combine(cpu, op);
        self.io.combine(io, op);
        self.memory.combine(memory, op);
    }
}

impl Sums for Stall {
    fn combine(&mut self, other: &Self, op: Op) {
        let Self { some_ns, full_ns } = other;
        op.on(&mut self.some_ns, *some_ns);
        op.on(&mut self.full_ns, *full_ns);
    }
}

impl Figures for Psi {
    const VIEW: ViewId = ViewId::new("psi");

    /// Of resources that both have: one whose file came since has no beginning.
    fn since(&self, earlier: &Self) -> Self {
        let since = |now: Option<Stall>, then: Option<Stall>| {
            let (mut now, then) = (now?, then?);
            now.combine(&then, Op::Subtract);
            Some(now)
        };
        Self {
            cpu: since(self.cpu, earlier.cpu),
            io: since(self.io, earlier.io),
            memory: since(self.memory, earlier.memory),
        }
    }
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
        read: Read::Whole(Dimension::Time, read),
    }
}

impl RowView for Psi {
    const TITLE: &'static str = "pressure";
    const COMPARED: &'static [Comparable] = &[
        comparable("psi.cpu", "pressure: some thread had no CPU", |row| {
            Some(row.measured.get::<Self>()?.cpu?.some_ns)
        }),
        comparable("psi.io", "pressure: some thread waited for a disk", |row| {
            Some(row.measured.get::<Self>()?.io?.some_ns)
        }),
        comparable(
            "psi.memory",
            "pressure: some thread waited for memory",
            |row| Some(row.measured.get::<Self>()?.memory?.some_ns),
        ),
    ];
    const METRICS: &'static [Metric<OfRow>] = &[Metric {
        name: "ctprof_pressure_seconds_total",
        help: "Time in which some or all (full) tasks of the cgroup waited for a resource (PSI); where a row is several cgroups, their sum",
        kind: Kind::Counter,
        unit: "seconds",
        labels: &[
            label("resource", "`cpu`, `io`, `memory`"),
            label("kind", "`some`, `full`"),
        ],
        view: Some("psi"),
        source: |row, emit| {
            if let Some(psi) = row.measured.get::<Self>() {
                psi.emit(emit);
            }
        },
    }];

    type Record = [Option<(u64, u64)>; 3];

    fn record(&self) -> Self::Record {
        self.resources()
            .map(|(_, stall)| stall.map(|stall| (stall.some_ns, stall.full_ns)))
    }

    fn restore(record: Self::Record, _: Clean) -> Option<Self> {
        let [cpu, io, memory] =
            record.map(|stall| stall.map(|(some_ns, full_ns)| Stall { some_ns, full_ns }));
        Some(Self { cpu, io, memory })
    }

    type Summary = Self;

    fn summary(&self, _: Option<u64>) -> Self {
        *self
    }

    fn line(&self, _: Option<u64>) -> Option<String> {
        let stalls = self.resources().into_iter().filter_map(|(name, stall)| {
            let stall = stall.filter(|stall| stall.some_ns > 0)?;
            let (some, full) = (duration(stall.some_ns), duration(stall.full_ns));
            Some(format!("{name} {some}, all at once {full}"))
        });
        let all: Vec<String> = stalls.collect();
        (!all.is_empty()).then(|| format!("{} (PSI, wall clock)", all.join("; ")))
    }

    fn read(hierarchy: &Hierarchy, path: &str) -> Option<Self> {
        files::read(hierarchy, path)
    }

    fn cannot_read(hierarchy: &Hierarchy) -> Option<String> {
        files::missing(hierarchy).map(|cause| format!("no stall times: {cause}"))
    }
}

impl Psi {
    const fn resources(&self) -> [(&'static str, Option<Stall>); 3] {
        [("cpu", self.cpu), ("io", self.io), ("memory", self.memory)]
    }

    fn emit(&self, emit: Emit<'_>) {
        for (resource, stall) in self.resources() {
            if let Some(Stall { some_ns, full_ns }) = stall {
                emit(&[resource, "some"], Value::Nanoseconds(some_ns));
                emit(&[resource, "full"], Value::Nanoseconds(full_ns));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Psi, Stall};
    use crate::model::Figures as _;

    #[test]
    fn windows_have_what_both_readings_have() {
        let stall = |some_ns, full_ns| Some(Stall { some_ns, full_ns });
        let start = Psi {
            cpu: stall(10, 5),
            io: None,
            memory: stall(7, 7),
        };
        let end = Psi {
            cpu: stall(25, 4),
            io: stall(1, 1),
            memory: None,
        };
        assert_eq!(
            end.since(&start),
            Psi {
                cpu: stall(15, 0),
                io: None,
                memory: None,
            }
        );
    }
}
