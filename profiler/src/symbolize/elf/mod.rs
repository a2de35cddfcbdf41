//! ELF files, read defensively: nothing in them is trusted, whatever is wrong just has no names.

mod caller;
mod header;
mod source;
mod symbols;
mod unwind;

#[cfg(test)]
pub(super) use header::Section;
pub(super) use header::{Header, section_bytes};
pub(super) use source::{Numbers, ReadError, Source, c_string};
pub(super) use symbols::Symbols;
pub(super) use unwind::UnwindTable;
