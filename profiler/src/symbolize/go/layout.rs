//! Where the `.gopclntab` of a file is, and where its parts are in it.

use super::moduledata::{self, ModuleData};
use crate::symbolize::elf::{Header, Numbers as _, Source, section_bytes};

const MAGIC_118: u32 = 0xffff_fff0;
const MAGIC_120: u32 = 0xffff_fff1;

/// Largest `.gopclntab`: that of a large program (Kubernetes) is 40 MB.
pub(super) const MAX_TABLE: u64 = 256 << 20;

/// Bytes of the header: magic number and units, then eight words.
const HEAD: u64 = 8 + 8 * 8;

/// A part of a file that begins with a `.gopclntab`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) address: u64,
    pub(super) size: u64,
}

impl Place {
    /// It has a section of its own, except in position-independent executables that the system's linker made of what Go
    /// up to 1.25 compiled: there it is one of many parts of `.data.rel.ro`.
    pub(super) fn find(source: &Source, header: &Header) -> Option<Self> {
        let own = [".gopclntab", ".data.rel.ro.gopclntab"];
        if let Some(section) = own.iter().find_map(|name| header.section(name)) {
            return Some(Self {
                offset: section.offset,
                address: section.address,
                size: section.size,
            });
        }
        header.section(".go.buildinfo")?;
        let section = header.section(".data.rel.ro")?;
        let bytes = section_bytes(source, header, section, MAX_TABLE).ok()?;
        let at = (0..bytes.len())
            .step_by(16)
            .find(|at| starts_table(&bytes[*at..]))? as u64;
        Some(Self {
            offset: section.offset.checked_add(at)?,
            address: section.address.checked_add(at)?,
            size: section.size.checked_sub(at)?,
        })
    }
}

/// A header: magic number, two zero bytes, the smallest instruction, the size of a pointer.
fn starts_table(bytes: &[u8]) -> bool {
    matches!(bytes.u32_at(0), Some(MAGIC_118 | MAGIC_120))
        && bytes.get(4..6) == Some(&[0, 0])
        && matches!(bytes.get(6), Some(1 | 2 | 4))
        && bytes.get(7) == Some(&8)
}

/// What its header says, and `moduledata`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Functions, by address.
    pub(super) count: usize,
    pub(super) since_120: bool,
    /// Smallest instruction: unit of the addresses in the programs.
    pub(super) quantum: u64,
    /// Address that function offsets count from.
    pub(super) text: u64,
    pub(super) module: Option<ModuleData>,
    // Parts, by offset.
    pub(super) names: usize,
    pub(super) units: usize,
    pub(super) files: usize,
    pub(super) programs: usize,
    pub(super) functions: usize,
}

impl Layout {
    pub(super) fn read(source: &Source, header: &Header, place: &Place) -> Option<Self> {
        let head = source.read(place.offset, HEAD.min(place.size), HEAD).ok()?;
        if !starts_table(&head) {
            return None;
        }
        let since_120 = head.u32_at(0)? == MAGIC_120;
        let word = |number: usize| usize::try_from(head.u64_at(8 + 8 * number)?).ok();
        let (names, functions) = (word(3)?, word(7)?);
        let room = usize::try_from(place.size).ok()?.checked_sub(functions)? / PAIR;
        let names_address = place.address.checked_add(names as u64)?;
        let module = moduledata::find(source, header, (place.address, names_address), since_120);
        let text = match module {
            Some(ModuleData { text, .. }) => text,
            // Stored here up to Go 1.25; the only hope if `moduledata` is not where it should be.
            None => match head.u64_at(8 + 8 * 2)? {
                0 => header.section(".text")?.address,
                text => text,
            },
        };
        Some(Self {
            count: word(0)?.min(room.checked_sub(1)?),
            since_120,
            quantum: u64::from(*head.get(6)?),
            text,
            module,
            names,
            units: word(4)?,
            files: word(5)?,
            programs: word(6)?,
            functions,
        })
    }

    /// Size of a function's record before its variable part; Go 1.20 added `startLine`.
    pub(super) const fn fixed_size(&self) -> usize {
        if self.since_120 { 44 } else { 40 }
    }
}

/// Size of a pair of (function, record), by which records are found.
pub(super) const PAIR: usize = 8;

/// The `number`th 32-bit field of a record.
pub(super) mod field {
    /// Where the function begins.
    pub(in crate::symbolize::go) const ENTRY: usize = 0;
    pub(in crate::symbolize::go) const NAME: usize = 1;
    /// The program that gives how far the stack pointer has moved.
    pub(in crate::symbolize::go) const STACK: usize = 4;
    pub(in crate::symbolize::go) const FILE: usize = 5;
    pub(in crate::symbolize::go) const LINE: usize = 6;
    /// How many programs there are beside these.
    pub(in crate::symbolize::go) const PROGRAMS: usize = 7;
    pub(in crate::symbolize::go) const UNIT: usize = 8;
}

/// Bits of a record's flags, which are so many bytes before the end of its fixed part.
pub(super) mod flags {
    pub(in crate::symbolize::go) const BEFORE_END: usize = 3;
    /// The runtime ends stacks here.
    pub(in crate::symbolize::go) const TOP_FRAME: u8 = 1;
    /// Assembly that changes the stack pointer in ways that its program does not tell.
    pub(in crate::symbolize::go) const WRITES_SP: u8 = 2;
    /// Assembly.
    pub(in crate::symbolize::go) const ASSEMBLY: u8 = 4;
}
