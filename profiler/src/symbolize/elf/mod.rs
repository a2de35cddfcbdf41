//! ELF files, read defensively: nothing in them is trusted, whatever is wrong just has no names.

mod caller;
mod header;
mod packed;
mod source;
mod symbols;
mod unwind;
mod window;

pub(crate) use header::{Header, Section, Segment};
pub(crate) use packed::section_bytes;
pub(super) use packed::xz;
pub(super) use source::c_string;
pub(crate) use source::{Numbers, ReadError, Source};
pub(super) use symbols::{SymbolTables, Symbols};
pub(super) use unwind::UnwindTable;
pub(crate) use window::Window;
