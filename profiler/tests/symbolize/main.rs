//! The symbolizer against real programs, built here with the system's compilers and run. Where a compiler or a
//! privilege is missing, the test says that it is skipped, and why.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in helpers of tests too, a panic is how a failure is reported"
)]

mod ahead;
mod debug_files;
mod debuginfod;
mod files;
mod go;
mod hostile;
mod kernel;
mod measure;
mod native;
mod packed;
mod perf_map;
mod records;
mod support;
mod unwinding;
