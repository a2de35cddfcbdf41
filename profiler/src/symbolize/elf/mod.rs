//! ELF files, read defensively: nothing in them is trusted, whatever is wrong just has no names.

mod caller;
mod header;
mod packed;
mod source;
mod symbols;
mod unwind;

pub(super) use header::Header;
#[cfg(test)]
pub(super) use header::Section;
pub(super) use packed::{section_bytes, xz};
pub(super) use source::{Numbers, ReadError, Source, c_string};
pub(super) use symbols::{SymbolTables, Symbols};
pub(super) use unwind::UnwindTable;
