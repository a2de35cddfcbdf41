//! Raw samples + containers + symbols -> [`crate::model::Profile`]. Pure functions.
//!
//! - `addresses`: which addresses need a name
//! - `stacks`: rows of raw samples as stacks of containers

mod addresses;
mod stacks;

pub use addresses::{Addresses, Names, kernel_call_sites, user_call_sites};
pub use stacks::{Owners, container_stacks};
