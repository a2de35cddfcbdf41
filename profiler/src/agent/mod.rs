//! The long-running mode: one agent a host, scraped by Prometheus.
//!
//! - `core`: keeps the ledger running and answers with readings
//! - `handle`: how the rest of the agent asks the core
//! - `metrics`: what Prometheus is told
//! - `groups`: slots as the rows of a reading
//! - `naming`: which row a cgroup belongs to
//! - `kept`: what is remembered of a row
//! - `culprits`: who is told by name

pub mod core;
mod culprits;
mod groups;
pub mod handle;
mod kept;
pub mod metrics;
mod naming;

pub use core::{CorePlan, run};
pub use handle::{Handle, Requests, channel};
