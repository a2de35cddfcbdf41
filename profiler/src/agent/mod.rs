//! The long-running mode: one agent a host, scraped by Prometheus.
//!
//! - `core`: keeps the ledger running and answers with readings
//! - `handle`: how the rest of the agent asks the core
//! - `metrics`: what Prometheus is told
//! - `groups`: slots as the rows of a reading
//! - `naming`: which row a cgroup belongs to
//! - `kept`: what is remembered of a row
//! - `followed`: what the kernel counts by itself, since the agent began
//! - `culprits`: who is told by name
//! - `settings`: what it can be told, and by whom
//! - `service`: core and HTTP from start to end: signals, reload
//! - `http`: what it answers
//! - `web`: TLS and passwords
//! - `confinement`: system calls that it gives up
//! - `privileges`: what it may do, and what it gives up
//! - `profiles`: recordings on demand
//! - `self_figures`: what it knows of itself

mod confinement;
pub mod core;
mod culprits;
mod followed;
mod groups;
pub mod handle;
pub mod http;
mod kept;
pub mod metrics;
mod naming;
mod privileges;
pub mod profiles;
pub mod self_figures;
pub mod service;
pub mod settings;
pub mod web;

pub use core::{CorePlan, run};
pub use handle::{Handle, Requests, channel};
