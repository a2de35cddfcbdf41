//! What the kernel and the hardware themselves count for a cgroup, beside the ledger.

use serde::Serialize;

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
