//! The sections of debug information, in memory.

use gimli::{Dwarf, EndianSlice, LittleEndian, SectionId};

use crate::symbolize::elf::{Header, ReadError, Source, section_bytes};

/// Borrowed bytes of a section.
pub(super) type Bytes<'a> = EndianSlice<'a, LittleEndian>;

const IDS: [SectionId; 9] = [
    SectionId::DebugInfo,
    SectionId::DebugAbbrev,
    SectionId::DebugLine,
    SectionId::DebugStr,
    SectionId::DebugLineStr,
    SectionId::DebugRanges,
    SectionId::DebugRngLists,
    SectionId::DebugAddr,
    SectionId::DebugStrOffsets,
];

/// What of the debug information names functions and lines.
#[derive(Debug, Default)]
pub(super) struct Sections(Vec<Vec<u8>>);

impl Sections {
    /// Reads the sections, together at most `limit` bytes.
    pub(super) fn read(source: &Source, header: &Header, limit: u64) -> Result<Self, ReadError> {
        let mut left = limit;
        let mut all = Vec::with_capacity(IDS.len());
        for id in IDS {
            let bytes = match header.debug_section(id.name()) {
                Some(section) => section_bytes(source, header, section, left)?,
                None => Vec::new(),
            };
            left = left.saturating_sub(bytes.len() as u64);
            all.push(bytes);
        }
        Ok(Self(all))
    }

    pub(super) fn get(&self, id: SectionId) -> &[u8] {
        let at = IDS.iter().position(|known| *known == id);
        at.and_then(|at| self.0.get(at)).map_or(&[], Vec::as_slice)
    }

    /// A parser of these bytes; making one costs nothing.
    pub(super) fn dwarf(&self) -> Dwarf<Bytes<'_>> {
        let load = |id| Ok::<_, ()>(Bytes::new(self.get(id), LittleEndian));
        Dwarf::load(load).unwrap_or_default()
    }

    /// Memory that they occupy.
    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }
}
