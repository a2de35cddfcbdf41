//! Facts about this host, no policy.

pub mod cgroup;
pub mod containers;
pub mod proc;
pub mod text;

pub use proc::Host;
