//! The userspace half of ctprof. See `docs/architecture.md` for the map of this crate.

pub mod agent;
pub mod aggregate;
pub mod analysis;
pub mod bpf;
pub mod cli;
pub mod collect;
pub mod compare;
pub mod error;
#[cfg(test)]
pub(crate) mod fuzz;
pub mod grouping;
pub mod host;
pub mod memory;
pub mod model;
pub mod output;
pub mod recording;
pub mod requirements;
pub mod seccomp;
pub mod store;
pub mod symbolize;
pub mod table;
pub mod target;
pub mod unwind;
pub mod views;

pub use error::{Error, Result};
