//! ELF files, read defensively: nothing in them is trusted, whatever is wrong just has no names.
//!
//! Why not the `object` crate, which tests use: it is made for files that are mapped, and a mapped file that its owner truncates
//! is a SIGBUS here. Its `ReadCache` does read on demand and within the file's length, but has no limit below that (a sparse file says
//! it is as long as it likes), keeps all that it has read for as long as it lives, so that one section cannot be dropped before
//! the next is read, refuses names above 4 KiB, which C++ has, and tells a failed read, a damaged file and a large one
//! by the same `()`: here each is a cause of its own in the report.

mod caller;
mod header;
mod packed;
mod parts;
mod source;
mod symbols;
mod unwind;
mod variable;
mod window;

pub(crate) use header::Header;
pub(crate) use packed::section_bytes;
pub(super) use packed::xz;
pub(crate) use parts::{Section, Segment};
pub(super) use source::c_string;
pub(crate) use source::{Numbers, ReadError, Source};
pub(super) use symbols::{SymbolTables, Symbols};
pub(super) use unwind::UnwindTable;
pub(crate) use variable::variable;
pub(crate) use window::Window;
