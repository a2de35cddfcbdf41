//! Where a variable is: programs are asked for few, so the table is read for each.

use super::header::Header;
use super::source::{Numbers as _, Source, c_string};

const STT_OBJECT: u8 = 1;

/// Largest table and largest names that are read: those of a Go program of 200 MB.
const LIMIT: u64 = 64 << 20;

/// The address that the linker gave the variable of this name, and its size; `None` where the symbol table has been
/// stripped, or has none of that name.
pub(crate) fn variable(source: &Source, header: &Header, name: &str) -> Option<(u64, u64)> {
    const ENTRY: usize = 24;
    if !header.is_64 {
        return None;
    }
    let section = header.section(".symtab")?;
    let strings = header.sections.get(section.link as usize)?;
    let names = source.read(strings.offset, strings.size, LIMIT).ok()?;
    let table = source.read(section.offset, section.size, LIMIT).ok()?;
    let mut entries = table.chunks_exact(ENTRY);
    let entry = entries.find(|entry| {
        let kind = entry.get(4).map(|info| info & 0xf);
        kind == Some(STT_OBJECT)
            && entry
                .u32_at(0)
                .and_then(|at| c_string(&names, at as usize))
                .is_some_and(|found| found == name.as_bytes())
    })?;
    Some((entry.u64_at(8)?, entry.u64_at(16)?))
}
