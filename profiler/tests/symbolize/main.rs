//! The symbolizer against real programs, built here with the system's compilers and run. Where a compiler or a
//! privilege is missing, the test says that it is skipped, and why.

mod files;
mod go;
mod hostile;
mod kernel;
mod measure;
mod native;
mod perf_map;
mod support;
