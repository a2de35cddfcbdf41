//! The kernel's own description of its types, and what ctprof needs to know from it.

mod layout;
mod reader;

pub use layout::{FIELDS, Field, Layout, MissingField, Throttle};
pub use reader::{Btf, BtfError, Member};
