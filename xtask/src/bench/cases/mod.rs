//! What is measured, in the order of docs/overhead.md.
//!
//! - `accuracy`: whether the ledger adds up
//! - `syscalls`: a thread that calls the kernel on one CPU
//! - `sched`: two threads that wake each other through pipes on one CPU
//! - `messaging`: many processes that talk on all CPUs
//! - `sampling`: samples of a program that computes
//! - `unwinding`: user stacks of code without frame pointers
//! - `pipeline`: from samples to flame graphs
//! - `symbols`: addresses to names
//! - `startup`: from the start of a program to everything attached
//! - `scale`: many cgroups, many threads
//! - `in_kernel`: each program, as the kernel measures it

mod accuracy;
mod in_kernel;
mod messaging;
mod pipeline;
mod sampling;
mod scale;
mod sched;
mod startup;
mod symbols;
mod syscalls;
mod unwinding;

use anyhow::Result;

use super::Effort;
use super::report::Table;

/// A part of the bench that can be run on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Case {
    /// What the ledger leaves over, and its time on the CPU against the kernel's own account.
    Accuracy,
    /// The hooks of system calls, against bpftrace, perf trace and strace.
    Syscalls,
    /// The scheduler's hooks, against bpftrace and perf sched.
    Sched,
    /// The same with `perf bench sched messaging` as the load.
    Messaging,
    /// Samples of a program that computes, against perf record.
    Sampling,
    /// User stacks by tables, against by frame pointers.
    Unwinding,
    /// From samples to flame graphs, against perf script and inferno.
    Pipeline,
    /// Addresses to names.
    Symbols,
    /// From the start of a program to everything attached, against bpftrace.
    Startup,
    /// 1 to 4,096 cgroups: cost of an event; start-up, scrapes and memory of the agent.
    Cgroups,
    /// 10 to 20,000 sleeping threads: the same.
    Threads,
    /// Run time of each program, and the instructions that the verifier walks through.
    InKernel,
}

impl Case {
    /// Measures it. Every table's id begins with the case's name.
    pub(super) fn run(self, effort: Effort) -> Result<Vec<Table>> {
        match self {
            Self::Accuracy => accuracy::run(effort),
            Self::Syscalls => syscalls::run(effort),
            Self::Sched => sched::run(effort),
            Self::Messaging => messaging::run(effort),
            Self::Sampling => sampling::run(effort),
            Self::Unwinding => unwinding::run(effort),
            Self::Pipeline => pipeline::run(effort),
            Self::Symbols => symbols::run(effort),
            Self::Startup => startup::run(effort),
            Self::Cgroups => scale::cgroups(effort),
            Self::Threads => scale::threads(effort),
            Self::InKernel => in_kernel::run(effort),
        }
    }
}
