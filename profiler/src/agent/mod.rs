//! The long-running mode: one agent a host, scraped by Prometheus.
//!
//! - `core`: keeps the ledger running and answers with readings
//! - `handle`: how the rest of the agent asks the core
//! - `metrics`: what Prometheus is told
//! - `groups`: a reading: slots, names, rows, and their cgroups' own counters
//! - `rows`: rows as sums that only grow
//! - `followed`: what the kernel counts by itself, since the agent began
//! - `cgroup_files`: the files that has to be read for it
//! - `settings`: what it can be told, and by whom
//! - `service`: core and HTTP from start to end: signals, reload
//! - `http`: what it answers
//! - `web`: TLS and passwords
//! - `confinement`: system calls that it gives up
//! - `privileges`: what it may do, and what it gives up
//! - `profiles`: recordings on demand
//! - `self_figures`: what it knows of itself

mod cgroup_files;
mod confinement;
pub mod core;
mod followed;
mod groups;
pub mod handle;
pub mod http;
mod looks;
pub mod metrics;
mod privileges;
pub mod profiles;
mod rows;
pub mod self_figures;
pub mod service;
pub mod settings;
pub mod web;
mod windows;

pub use core::{CorePlan, run};
pub use handle::{Handle, Requests, channel};
