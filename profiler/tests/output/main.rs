//! The files and the report of a recording, from profiles made up here: golden files, hostile names, other
//! people's parsers, full disks. Needs no privilege; what a missing tool or right prevents is named and
//! skipped.

#![allow(
    clippy::unwrap_used,
    reason = "a test's helpers may panic as the test does"
)]

mod browser;
mod cost;
mod directory;
#[cfg(test)]
#[path = "../../src/fuzz.rs"]
mod fuzz;
mod fuzzed;
mod golden;
mod hostile;
mod pprof;
mod reading;
mod report;
mod synthetic;
