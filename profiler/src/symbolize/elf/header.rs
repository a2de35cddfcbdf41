//! ELF headers, program headers and section headers, 64 and 32 bit, little-endian.

use super::parts::{PT_LOAD, Section, Segment};
use super::source::{Numbers as _, ReadError, Source, c_string};

/// More sections or segments than any linker writes (`-ffunction-sections` objects are not mapped).
const MAX_HEADERS: u64 = 16_384;
const MAX_SECTION_NAMES: u64 = 1 << 20;
const MAX_NOTES: u64 = 64 * 1024;

const PT_NOTE: u32 = 4;
const NT_GNU_BUILD_ID: u32 = 3;
/// The structure of an ELF file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Header {
    pub(crate) is_64: bool,
    pub(crate) machine: u16,
    /// Address of the first instruction.
    pub(crate) entry: u64,
    pub(crate) segments: Vec<Segment>,
    pub(crate) sections: Vec<Section>,
    /// Why there are no sections, or none with names, although the file says that it has them.
    pub(crate) sections_lost: Option<ReadError>,
}

impl Header {
    /// Reads the headers. Sections that cannot be read are left out: a program runs without them.
    pub(crate) fn read(source: &Source) -> Result<Self, ReadError> {
        let ident = source.read_some(0, 64)?;
        if ident.get(..4) != Some(b"\x7fELF") || ident.get(5) != Some(&1) {
            return Err(ReadError::Foreign);
        }
        let header = match ident.get(4) {
            Some(2) => Self::read_64(source, &ident),
            Some(1) => Self::read_32(source, &ident),
            _ => None,
        };
        header.ok_or(ReadError::Malformed)
    }

    fn read_64(source: &Source, ident: &[u8]) -> Option<Self> {
        let (programs, sections) = (ident.u64_at(32)?, ident.u64_at(40)?);
        let segments = table(
            source,
            programs,
            (ident.u16_at(54)?, 56),
            ident.u16_at(56)?.into(),
        )
        .ok()?;
        let segment = |raw: &[u8]| {
            Some(Segment {
                kind: raw.u32_at(0)?,
                flags: raw.u32_at(4)?,
                offset: raw.u64_at(8)?,
                address: raw.u64_at(16)?,
                file_size: raw.u64_at(32)?,
            })
        };
        let mut count = u64::from(ident.u16_at(60)?);
        if count == 0 && sections != 0 {
            count = source
                .read(sections.checked_add(32)?, 8, 8)
                .ok()?
                .u64_at(0)?;
        }
        let (raw_sections, lost) =
            table_or_reason(source, sections, (ident.u16_at(58)?, 64), count);
        let section = |raw: &[u8]| {
            Some((
                raw.u32_at(0)?,
                Section {
                    name: String::new(),
                    kind: raw.u32_at(4)?,
                    flags: raw.u64_at(8)?,
                    address: raw.u64_at(16)?,
                    offset: raw.u64_at(24)?,
                    size: raw.u64_at(32)?,
                    link: raw.u32_at(40)?,
                },
            ))
        };
        let (sections, unnamed) = named(
            source,
            raw_sections.chunks_exact(64).filter_map(section).collect(),
            ident.u16_at(62)?,
        );
        Some(Self {
            is_64: true,
            machine: ident.u16_at(18)?,
            entry: ident.u64_at(24)?,
            segments: segments.chunks_exact(56).filter_map(segment).collect(),
            sections,
            sections_lost: lost.or(unnamed),
        })
    }

    fn read_32(source: &Source, ident: &[u8]) -> Option<Self> {
        let wide = |at: usize| ident.u32_at(at).map(u64::from);
        let segments = table(
            source,
            wide(28)?,
            (ident.u16_at(42)?, 32),
            ident.u16_at(44)?.into(),
        )
        .ok()?;
        let segment = |raw: &[u8]| {
            Some(Segment {
                kind: raw.u32_at(0)?,
                flags: raw.u32_at(24)?,
                offset: raw.u32_at(4)?.into(),
                address: raw.u32_at(8)?.into(),
                file_size: raw.u32_at(16)?.into(),
            })
        };
        let count = ident.u16_at(48)?.into();
        let (raw_sections, lost) =
            table_or_reason(source, wide(32)?, (ident.u16_at(46)?, 40), count);
        let section = |raw: &[u8]| {
            Some((
                raw.u32_at(0)?,
                Section {
                    name: String::new(),
                    kind: raw.u32_at(4)?,
                    flags: raw.u32_at(8)?.into(),
                    address: raw.u32_at(12)?.into(),
                    offset: raw.u32_at(16)?.into(),
                    size: raw.u32_at(20)?.into(),
                    link: raw.u32_at(24)?,
                },
            ))
        };
        let (sections, unnamed) = named(
            source,
            raw_sections.chunks_exact(40).filter_map(section).collect(),
            ident.u16_at(50)?,
        );
        Some(Self {
            is_64: false,
            machine: ident.u16_at(18)?,
            entry: wide(24)?,
            segments: segments.chunks_exact(32).filter_map(segment).collect(),
            sections,
            sections_lost: lost.or(unnamed),
        })
    }

    /// The address that the linker gave to the byte at `offset` of the file.
    pub(crate) fn address_of(&self, offset: u64) -> Option<u64> {
        let segment = self.loads().find(|segment| {
            segment.offset <= offset && offset - segment.offset < segment.file_size
        })?;
        segment.address.checked_add(offset - segment.offset)
    }

    /// Where in the file the byte at `address` is.
    pub(crate) fn offset_of(&self, address: u64) -> Option<u64> {
        let segment = self.loads().find(|segment| {
            segment.address <= address && address - segment.address < segment.file_size
        })?;
        segment.offset.checked_add(address - segment.address)
    }

    /// How many bytes of the file are mapped from `address` on.
    pub(crate) fn bytes_from(&self, address: u64) -> Option<u64> {
        let mut distances = self.loads().filter_map(|segment| {
            let distance = address.checked_sub(segment.address)?;
            segment.file_size.checked_sub(distance)
        });
        distances.find(|left| *left > 0)
    }

    fn loads(&self) -> impl Iterator<Item = &Segment> {
        self.segments
            .iter()
            .filter(|segment| segment.kind == PT_LOAD)
    }

    pub(crate) fn section(&self, name: &str) -> Option<&Section> {
        self.sections
            .iter()
            .find(|section| section.name == name && section.has_bytes())
    }

    /// A section of debug information, `.debug_info` for instance, which old tools pack as `.zdebug_info`.
    pub(crate) fn debug_section(&self, name: &str) -> Option<&Section> {
        self.section(name).or_else(|| {
            let packed = format!(".z{}", name.strip_prefix('.')?);
            self.section(&packed)
        })
    }

    /// Where its code is: first address of each part and the one behind its last, by sections if it has them.
    pub(crate) fn code(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let sections = self.sections.iter();
        let sections = sections.filter(|it| it.is_code() && it.has_bytes() && it.address != 0);
        let mut sections = sections.map(|it| (it.address, it.size)).peekable();
        let segments = self.segments.iter().filter(|it| it.is_code());
        let segments = segments.map(|it| (it.address, it.file_size));
        let has_sections = sections.peek().is_some();
        let segments = segments.filter(move |_| !has_sections);
        let all = sections.chain(segments);
        all.filter_map(|(begin, size)| Some((begin, begin.checked_add(size)?)))
    }

    /// Offset of the code at `address` of a process that has this file loaded, as mappings of other parts of it show
    /// (`(start, offset, is_code)` each); `None` if they do not agree, or if no code of the file belongs there.
    pub(crate) fn offset_beside(
        &self,
        parts: impl Iterator<Item = (u64, u64, bool)>,
        address: u64,
    ) -> Option<u64> {
        let page = rustix::param::page_size() as u64;
        let mut distances: Option<Vec<u64>> = None;
        for (start, offset, is_code) in parts {
            // Mappings begin at the page in which a segment does.
            let segments = self.loads().filter(|segment| {
                segment.is_code() == is_code
                    && segment.offset - segment.offset % page <= offset
                    && offset < segment.offset.saturating_add(segment.file_size)
            });
            let all = segments.map(|segment| {
                let given = segment.address.wrapping_sub(segment.offset);
                start.wrapping_sub(given.wrapping_add(offset))
            });
            let known = distances.take();
            let is_known = |distance: &u64| known.as_ref().is_none_or(|it| it.contains(distance));
            distances = Some(all.filter(is_known).collect());
        }
        let mut distances = distances?;
        distances.dedup();
        let [distance] = distances.as_slice() else {
            return None;
        };
        let address = address.wrapping_sub(*distance);
        let segment = self.loads().find(|segment| {
            segment.is_code()
                && segment.address <= address
                && address - segment.address < segment.file_size
        })?;
        segment.offset.checked_add(address - segment.address)
    }

    /// How far from the addresses that the linker gave a process has the code that it has mapped at `start`, from `offset` of
    /// the file on; `None` if no code is there.
    pub(crate) fn bias_of(&self, start: u64, offset: u64) -> Option<u64> {
        let page = rustix::param::page_size() as u64;
        let segment = self.loads().find(|segment| {
            segment.is_code()
                && segment.offset - segment.offset % page <= offset
                && offset < segment.offset.saturating_add(segment.file_size)
        })?;
        let given = segment.address.wrapping_sub(segment.offset);
        Some(start.wrapping_sub(given.wrapping_add(offset)))
    }

    /// The offsets in the file from which its code is mapped.
    pub(crate) fn code_offsets(&self) -> impl Iterator<Item = u64> + '_ {
        let page = rustix::param::page_size() as u64;
        let code = self.loads().filter(|segment| segment.is_code());
        code.map(move |segment| segment.offset - segment.offset % page)
    }

    /// Without what only a reader of sections needs.
    #[must_use]
    pub(crate) fn without_sections(self) -> Self {
        Self {
            sections: Vec::new(),
            ..self
        }
    }

    /// The GNU build id in lower-case hex, empty if there is none.
    pub(crate) fn build_id(&self, source: &Source) -> String {
        let notes = self
            .segments
            .iter()
            .filter(|segment| segment.kind == PT_NOTE)
            .map(|segment| (segment.offset, segment.file_size));
        let section = self.section(".note.gnu.build-id");
        notes
            .chain(section.map(|section| (section.offset, section.size)))
            .take(64)
            .filter_map(|(offset, size)| source.read(offset, size, MAX_NOTES).ok())
            .find_map(|notes| build_id(&notes))
            .unwrap_or_default()
    }
}

/// `count` table entries, if they have the size that this format gives them.
fn table(
    source: &Source,
    offset: u64,
    (size, expected): (u16, u16),
    count: u64,
) -> Result<Vec<u8>, ReadError> {
    if count == 0 {
        return Ok(Vec::new());
    }
    if size != expected {
        return Err(ReadError::Malformed);
    }
    if count > MAX_HEADERS {
        return Err(ReadError::TooLarge);
    }
    let len = count * u64::from(size);
    source.read(offset, len, len)
}

/// As [`table`]; nothing, and why, where it cannot be read.
fn table_or_reason(
    source: &Source,
    offset: u64,
    sizes: (u16, u16),
    count: u64,
) -> (Vec<u8>, Option<ReadError>) {
    match table(source, offset, sizes, count) {
        Ok(raw) => (raw, None),
        Err(error) => (Vec::new(), Some(error)),
    }
}

fn named(
    source: &Source,
    raw: Vec<(u32, Section)>,
    names: u16,
) -> (Vec<Section>, Option<ReadError>) {
    let section = raw.get(usize::from(names));
    let names = section.map_or(Ok(Vec::new()), |(_, section)| {
        source.read(section.offset, section.size, MAX_SECTION_NAMES)
    });
    let lost = names.as_ref().err().copied();
    let names = names.unwrap_or_default();
    let sections = raw
        .into_iter()
        .map(|(name, mut section)| {
            let name = c_string(&names, name as usize).unwrap_or_default();
            section.name = String::from_utf8_lossy(&name[..name.len().min(64)]).into_owned();
            section
        })
        .collect();
    (sections, lost)
}

fn build_id(notes: &[u8]) -> Option<String> {
    let mut at = 0usize;
    loop {
        let name_len = notes.u32_at(at)? as usize;
        let value_len = notes.u32_at(at + 4)? as usize;
        let kind = notes.u32_at(at + 8)?;
        let name = at + 12;
        let value = name.checked_add(name_len.checked_next_multiple_of(4)?)?;
        let next = value.checked_add(value_len.checked_next_multiple_of(4)?)?;
        if kind == NT_GNU_BUILD_ID && notes.get(name..name + name_len)? == b"GNU\0" {
            let id = notes.get(value..value + value_len.min(64))?;
            return Some(id.iter().map(|byte| format!("{byte:02x}")).collect());
        }
        at = next;
    }
}
