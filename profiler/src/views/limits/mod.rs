//! What a cgroup may use, and what became of it: CPU, memory, disk.
//!
//! - `files`: where that stands

mod files;

use serde::{Deserialize, Serialize};

use super::recorder::{Prepared, Readings, Scope};
use super::{Clean, RowView};
use crate::model::{Figures, Op, Sums, ViewId, units};

/// What a cgroup may use, as it was at the end of the window, and what it ran into over the window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// CPU time.
    pub cpu: Cpu,
    /// Memory; `None` where the cgroup is in no memory hierarchy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// What went to and came from disks; `None` where nothing counts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<Disk>,
}

/// What it may have of the CPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    /// The least quota of the cgroup and those above it; `None` without any.
    pub quota: Option<Quota>,
    /// Its weight against its siblings.
    pub weight: Option<Weight>,
    /// CPUs that its threads may run on, as the kernel lists them (`0-3,7`); `None` where that is all of them.
    pub cpus: Option<String>,
}

/// A CPU quota (kernel: `Documentation/scheduler/sched-bwc.rst`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// CPU time in each period.
    pub quota_us: u64,
    /// Length of a period.
    pub period_us: u64,
    /// CPU time that may be saved up for later periods.
    pub burst_us: u64,
    /// The cgroup that it is set for.
    pub cgroup: String,
    /// That is the cgroup itself, and not one above.
    pub is_own: bool,
}

impl Quota {
    /// CPUs' worth of time.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "2^52 us are 142 years")]
    pub fn cores(&self) -> f64 {
        self.quota_us as f64 / self.period_us.max(1) as f64
    }
}

/// A weight, in the kernel's own scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weight {
    /// `cpu.shares` (v1) or `cpu.weight` (v2).
    pub value: u64,
    /// What a cgroup has that nobody gave one: 1024 or 100.
    pub usual: u64,
}

/// Memory. Bytes and events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The least limit of the cgroup and those above it; `None` without any.
    pub limit: Option<u64>,
    /// That is the cgroup's own, and not of one above.
    pub is_own: bool,
    /// Where it is slowed down (`memory.high`, v2).
    pub high: Option<u64>,
    /// In use, pages of files included.
    pub used: u64,
    /// Of it, pages of files, which can be read again.
    pub files: u64,
    /// How often it wanted more than the limit.
    pub limit_hits: u64,
    /// How often it was slowed down for being above `high`.
    pub high_hits: u64,
    /// Processes that were killed because memory was short.
    pub oom_kills: u64,
    /// Pages that were thrown out and soon needed again.
    pub refaults: u64,
    /// Page faults that had to wait for a disk.
    pub major_faults: u64,
}

/// What went to and came from disks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Bytes.
    pub read: u64,
    /// Bytes.
    pub written: u64,
    /// Requests.
    pub reads: u64,
    /// Requests.
    pub writes: u64,
}

impl Sums for Limits {
    /// Limits are those at the end.
    fn combine(&mut self, other: &Self, op: Op) {
        if op == Op::Add {
            self.cpu.clone_from(&other.cpu);
        }
        self.memory.combine(&other.memory, op);
        self.disk.combine(&other.disk, op);
    }
}

impl Sums for Memory {
    fn combine(&mut self, other: &Self, op: Op) {
        if op == Op::Add {
            (self.limit, self.is_own, self.high) = (other.limit, other.is_own, other.high);
            (self.used, self.files) = (other.used, other.files);
        }
        op.on(&mut self.limit_hits, other.limit_hits);
        op.on(&mut self.high_hits, other.high_hits);
        op.on(&mut self.oom_kills, other.oom_kills);
        op.on(&mut self.refaults, other.refaults);
        op.on(&mut self.major_faults, other.major_faults);
    }
}

impl Sums for Disk {
    fn combine(&mut self, other: &Self, op: Op) {
        op.on(&mut self.read, other.read);
        op.on(&mut self.written, other.written);
        op.on(&mut self.reads, other.reads);
        op.on(&mut self.writes, other.writes);
    }
}

impl Figures for Limits {
    const VIEW: ViewId = ViewId::new("limits");
}

impl RowView for Limits {
    const TITLE: &'static str = "limits";
    type Record = (Cpu, Option<Memory>, Option<Disk>);

    fn record(&self) -> Self::Record {
        (self.cpu.clone(), self.memory.clone(), self.disk)
    }

    fn restore((mut cpu, memory, disk): Self::Record, clean: Clean) -> Option<Self> {
        cpu.cpus = cpu.cpus.map(|cpus| clean(&cpus));
        if let Some(quota) = &mut cpu.quota {
            quota.cgroup = clean(&quota.cgroup);
        }
        Some(Self { cpu, memory, disk })
    }

    type Summary = Self;

    fn summary(&self, _: Option<u64>) -> Self {
        self.clone()
    }

    fn line(&self, _: Option<u64>) -> Option<String> {
        let mut parts = Vec::new();
        if let Some(quota) = &self.cpu.quota {
            let of = if quota.is_own {
                ""
            } else {
                " of a cgroup above"
            };
            parts.push(format!("{:.2} CPU{of}", quota.cores()));
        }
        if let Some(weight) = self.cpu.weight.filter(|it| it.value != it.usual) {
            parts.push(format!("weight {} (usual {})", weight.value, weight.usual));
        }
        parts.extend(self.cpu.cpus.as_ref().map(|cpus| format!("CPUs {cpus}")));
        if let Some(memory) = &self.memory {
            let used = units::bytes(memory.used);
            parts.push(match memory.limit {
                Some(limit) => format!("memory {used} of {}", units::bytes(limit)),
                None => format!("memory {used}, no limit"),
            });
            let events = [
                (memory.oom_kills, "killed for want of memory"),
                (memory.limit_hits, "at the limit"),
                (memory.refaults, "pages read again"),
            ];
            let events = events.into_iter().filter(|(count, _)| *count > 0);
            parts.extend(events.map(|(count, what)| format!("{} {what}", units::count(count))));
        }
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// Not [`RowView::read`]: an agent would open seven files of every cgroup for each scrape, and others export these.
    fn prepare(scope: &Scope<'_>) -> Prepared {
        Ok(Box::new(
            Readings::by(scope.hierarchy, files::read).keeping(),
        ))
    }
}
