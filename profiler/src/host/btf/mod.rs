//! The kernel's own description of its types, and what ctprof needs to know from it.

mod fields;
mod layout;
mod member;
mod only;
mod reader;

pub use fields::{FIELDS, Field};
pub use layout::{Layout, MissingField, Throttle};
pub use member::Member;
pub use reader::{Btf, BtfError};
