//! Raw samples + containers + symbols -> [`crate::model::Window`]. Pure functions.
//!
//! - `addresses`: which addresses need a name
//! - `stacks`: rows of raw samples and intervals as stacks of containers
//! - `skipped`: callers that unwinding by frame pointers skips
//! - `ledger`: raw figures by slot as the ledgers of containers
//! - `delays`: who delayed whom
//! - `slices`: the same of each second
//! - `wakers`: who ended waits for locks
//! - `balance`: makes the two agree

mod addresses;
mod balance;
mod delays;
mod ledger;
mod skipped;
mod slices;
mod stacks;
mod wakers;

pub use addresses::{Addresses, Names, kernel_call_sites, user_call_sites};
pub use balance::balance;
pub(crate) use balance::part;
pub use ledger::{container_ledgers, retain_rows};
pub(crate) use ledger::{histogram, state_of};
pub use slices::{ItemName, container_slices};
pub use stacks::{Given, Owners, Placeholders, container_stacks, scheduler_frames};
pub use wakers::container_wakers;
