//! The figures.

use super::super::between_runs;
use super::{Kind, Metric, Read};
use crate::analysis::isolation::Layer;
use crate::model::{Container, Slice, State};
use crate::views::counters::Counters;
use crate::views::psi::Psi;

const fn metric(id: &'static str, meaning: &'static str, read: Read) -> Metric {
    Metric {
        id,
        meaning,
        between_runs: between_runs::of(id),
        read,
    }
}

macro_rules! state {
    ($id:literal, $meaning:literal, $state:ident) => {
        metric(
            $id,
            $meaning,
            Read::Sum(Kind::State, |_, slice| {
                let times = slice.off_cpu_ns.iter();
                let own = times.filter(|(state, _)| *state == State::$state);
                own.map(|(_, ns)| *ns as f64).sum()
            }),
        )
    };
}

macro_rules! whole {
    ($id:literal, $meaning:literal, $kind:ident, $read:expr) => {
        metric($id, $meaning, Read::Whole(Kind::$kind, $read))
    };
}

macro_rules! isolation {
    ($id:literal, $meaning:literal, $layer:expr) => {
        metric($id, $meaning, Read::Isolation($layer))
    };
}

/// All that every row may have.
pub const METRICS: &[Metric] = &[
    metric(
        "cpu",
        "time on the CPU",
        Read::Sum(Kind::Time, |_, slice| slice.on_cpu_ns as f64),
    ),
    metric(
        "cpu.user",
        "time on the CPU in the program",
        Read::OnCpu(false),
    ),
    metric(
        "cpu.kernel",
        "time on the CPU in the kernel",
        Read::OnCpu(true),
    ),
    metric(
        "threads",
        "time of threads, in whatever state",
        Read::Sum(Kind::Time, |_, slice| {
            let off_cpu: u64 = slice.off_cpu_ns.iter().map(|(_, ns)| *ns).sum();
            (slice.on_cpu_ns + off_cpu) as f64
        }),
    ),
    state!("run_queue", "waiting for a CPU", RunQueue),
    state!("throttled", "stopped by a CPU quota", Throttled),
    state!("blocked_disk", "asleep until a disk answers", BlockedDisk),
    state!("blocked_lock", "asleep on a lock", BlockedLock),
    state!("blocked_net", "asleep on a socket", BlockedNet),
    state!("blocked_poll", "asleep until a file is ready", BlockedPoll),
    state!("blocked_sleep", "asleep on purpose", BlockedSleep),
    state!("blocked_pipe", "asleep on a pipe", BlockedPipe),
    state!("blocked_fault", "asleep in a page fault", BlockedFault),
    state!("blocked_child", "asleep until a child exits", BlockedChild),
    state!("blocked_other", "asleep for another reason", BlockedOther),
    metric(
        "run_queue.mean",
        "length of a wait for a CPU",
        Read::Mean(
            |_, slice| slice.run_queue_latency.sum_ns as f64,
            |_, slice| slice.run_queue_latency.count as f64,
        ),
    ),
    metric(
        "run_queue.p50",
        "waits for a CPU: half are shorter",
        Read::RunQueue(0.5),
    ),
    metric(
        "run_queue.p99",
        "waits for a CPU: 99 of 100 are shorter",
        Read::RunQueue(0.99),
    ),
    metric(
        "throttled.count",
        "times that a quota stopped a thread",
        Read::Sum(Kind::Number, |_, slice| slice.stops as f64),
    ),
    metric(
        "switches.voluntary",
        "context switches away from threads that blocked",
        Read::Sum(Kind::Number, |_, slice| slice.voluntary_switches as f64),
    ),
    metric(
        "switches.involuntary",
        "context switches away from threads that could have gone on",
        Read::Sum(Kind::Number, |_, slice| slice.involuntary_switches as f64),
    ),
    metric(
        "migrations",
        "moves of waiting threads to another CPU",
        Read::Sum(Kind::Number, |_, slice| slice.migrations as f64),
    ),
    metric(
        "syscalls.total",
        "system calls",
        Read::Sum(Kind::Number, calls),
    ),
    metric(
        "syscalls.time",
        "time in system calls",
        Read::Sum(Kind::State, call_ns),
    ),
    metric(
        "syscalls.mean",
        "length of a system call",
        Read::Mean(call_ns, calls),
    ),
    isolation!(
        "isolation",
        "time on the CPU that only containers pay for, all layers",
        None
    ),
    isolation!(
        "isolation.overlayfs",
        "of it, in overlayfs",
        Some(Layer::Overlayfs)
    ),
    isolation!(
        "isolation.network",
        "of it, in virtual network devices",
        Some(Layer::Network)
    ),
    isolation!(
        "isolation.netfilter",
        "of it, in packet filters and connection tracking",
        Some(Layer::Netfilter)
    ),
    isolation!(
        "isolation.seccomp",
        "of it, in system call filters",
        Some(Layer::Seccomp)
    ),
    isolation!(
        "isolation.memory",
        "of it, charging memory",
        Some(Layer::Memory)
    ),
    isolation!(
        "isolation.cpu_bandwidth",
        "of it, for CPU quotas",
        Some(Layer::CpuBandwidth)
    ),
    isolation!(
        "isolation.cgroup_accounting",
        "of it, counting by cgroup",
        Some(Layer::CgroupAccounting)
    ),
    isolation!(
        "isolation.user_namespaces",
        "of it, mapping ids",
        Some(Layer::UserNamespaces)
    ),
    isolation!(
        "isolation.block_throttling",
        "of it, for limits on block I/O",
        Some(Layer::BlockThrottling)
    ),
    isolation!(
        "isolation.bpf",
        "of it, in BPF programs of others",
        Some(Layer::Bpf)
    ),
    isolation!(
        "isolation.lsm",
        "time in LSM hooks, which every process pays for",
        Some(Layer::Lsm)
    ),
    whole!("psi.cpu", "pressure: some thread had no CPU", Time, |row| {
        Some(row.measured.get::<Psi>()?.cpu?.some_ns)
    }),
    whole!(
        "psi.io",
        "pressure: some thread waited for a disk",
        Time,
        |row| Some(row.measured.get::<Psi>()?.io?.some_ns)
    ),
    whole!(
        "psi.memory",
        "pressure: some thread waited for memory",
        Time,
        |row| Some(row.measured.get::<Psi>()?.memory?.some_ns)
    ),
    whole!("counters.cycles", "cycles of the CPU", Number, |row| row
        .measured
        .get::<Counters>()?
        .cycles),
    whole!("counters.instructions", "instructions", Number, |row| row
        .measured
        .get::<Counters>()?
        .instructions),
    whole!(
        "counters.cache_misses",
        "misses of the last cache",
        Number,
        |row| row.measured.get::<Counters>()?.cache_misses
    ),
    whole!("counters.page_faults", "page faults", Number, |row| row
        .measured
        .get::<Counters>()?
        .page_faults),
];

fn calls(_: &Container, slice: &Slice) -> f64 {
    slice.calls.iter().map(|part| part.count as f64).sum()
}

fn call_ns(_: &Container, slice: &Slice) -> f64 {
    slice.calls.iter().map(|part| part.ns as f64).sum()
}
