//! One file per family of hooks.

mod cgroups;
mod isolation;
mod on_cpu;
pub(crate) mod processes;
mod sched;
mod syscalls;
mod throttle;
mod visit;
