//! Which row a cgroup belongs to: decided once, for recordings and the agent.
//!
//! - `naming`: what a cgroup's row is told from others by, and who it is
//! - `fold`: slots to the rows of a recording

mod fold;
mod naming;

pub use fold::{owner, owners};
pub use naming::{Named, Naming, fixed_identity};
