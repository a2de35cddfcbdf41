//! The long-running mode: one agent a host, scraped by Prometheus.
//!
//! - `core`: keeps the ledger running and answers with readings
//! - `handle`: how the rest of the agent asks the core
//! - `metrics`: what Prometheus is told

pub mod core;
pub mod handle;
pub mod metrics;

pub use core::{CorePlan, run};
pub use handle::{Handle, Requests, channel};
