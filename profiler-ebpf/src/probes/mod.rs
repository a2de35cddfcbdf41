//! One file per family of hooks.

mod cgroups;
mod on_cpu;
mod processes;
