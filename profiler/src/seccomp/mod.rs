//! Seccomp profiles in the form of the OCI runtime specification. Pure: nothing here touches the kernel or a file.
//!
//! - `called`: rows of the kernel half as what containers called
//! - `needs`: calls that a container needs before and beside its own
//! - `write`: what was called to a profile
//! - `read`: a profile's text, and what is wrong with it
//! - `filter`: what a profile does to a call
//! - `program`: a filter as the kernel takes it, for ctprof itself

mod called;
mod filter;
mod needs;
mod program;
mod read;
mod write;

pub use called::{CallId, Called, called};
pub use filter::{Denial, Filter, Verdict};
pub use needs::is_needed;
pub use program::{Rule, When, program};
pub use read::{Misread, read};
pub use write::{DefaultAction, Profile, to_json};
