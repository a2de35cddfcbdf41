//! Whether a file is debug information of a build.

use std::fs::File;

use crate::symbolize::binary::{Elf, guarded};
use crate::symbolize::elf::{Header, Source};

/// The file, if it has the build id, is whole as far as its headers tell, and has anything to say.
pub(super) fn elf(file: &File, build_id: &str) -> Option<Elf> {
    guarded(|| {
        let source = Source::file(file.try_clone().ok()?).ok()?;
        let header = Header::read(&source).ok()?;
        let is_whole = header.sections_lost.is_none();
        let says_something =
            header.debug_section(".debug_info").is_some() || header.section(".symtab").is_some();
        let is_right = is_whole && says_something && header.build_id(&source) == build_id;
        is_right.then_some((source, header))
    })
    .flatten()
}
