//! One file per family of hooks.

mod cgroups;
mod files;
mod on_cpu;
pub(crate) mod processes;
mod sched;
mod throttle;
mod visit;
