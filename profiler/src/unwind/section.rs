//! The frame descriptions of a file: where they are, and their bytes, piece by piece.

use gimli::{BaseAddresses, EhFrameHdr, LittleEndian, Pointer};

use super::{Limits, NoTable};
use crate::symbolize::elf::{self, Header, Source, Window, section_bytes};

const PT_GNU_EH_FRAME: u32 = 0x6474_e550;

/// More is not needed of `.eh_frame_hdr`: its version, encodings, pointer and count.
const HDR_BYTES: u64 = 64;

/// Read at once to go through all of it, and for a single entry.
const PIECE: u64 = 256 << 10;
const SMALL_PIECE: u64 = 16;

/// How entries are linked, and their addresses encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `.eh_frame`: a common part is so many bytes before the entry that uses it.
    EhFrame,
    /// `.debug_frame`: it is at this offset of the section.
    DebugFrame,
}

/// Where descriptions may be.
pub(super) enum Place<'a> {
    /// In `.eh_frame` or `.debug_frame`.
    Named(Kind, &'a elf::Section),
    /// In `.eh_frame`, which `.eh_frame_hdr` at this offset points to.
    Pointed {
        offset: u64,
        address: u64,
        size: u64,
    },
}

/// Bytes of a section of descriptions.
pub(super) struct Section<'a> {
    pub(super) kind: Kind,
    source: Bytes<'a>,
    offset: u64,
    pub(super) size: u64,
    pub(super) address: u64,
    /// Its size is what the segment has left: entries end with an empty one.
    pub(super) is_open: bool,
}

enum Bytes<'a> {
    Borrowed(&'a Source),
    Unpacked(Source),
}

impl Section<'_> {
    /// One to go through all of it.
    pub(super) fn window(&self) -> Window<'_> {
        self.window_of(PIECE)
    }

    /// One for a single entry.
    pub(super) fn small_window(&self) -> Window<'_> {
        self.window_of(SMALL_PIECE)
    }

    fn window_of(&self, piece: u64) -> Window<'_> {
        let source = match &self.source {
            Bytes::Borrowed(source) => source,
            Bytes::Unpacked(source) => source,
        };
        Window::new(source, self.offset, self.size, piece)
    }
}

impl<'a> Place<'a> {
    /// Where the descriptions of a file may be, the best first. Those for debuggers mostly are of code that those for
    /// exceptions are not of.
    pub(super) fn all(header: &'a Header) -> impl Iterator<Item = Self> {
        let named = header
            .section(".eh_frame")
            .map(|section| Self::Named(Kind::EhFrame, section));
        let pointed = || {
            let segments = &header.segments;
            let segment = segments.iter().find(|it| it.kind == PT_GNU_EH_FRAME)?;
            Some(Self::Pointed {
                offset: segment.offset,
                address: segment.address,
                size: segment.file_size,
            })
        };
        let debug = header
            .debug_section(".debug_frame")
            .map(|section| Self::Named(Kind::DebugFrame, section));
        named.or_else(pointed).into_iter().chain(debug)
    }

    /// Whether only debuggers need what is there.
    pub(super) const fn is_for_debuggers(&self) -> bool {
        matches!(self, Self::Named(Kind::DebugFrame, _))
    }

    pub(super) fn open<'s>(
        self,
        source: &'s Source,
        header: &Header,
        limits: &Limits,
    ) -> Result<Section<'s>, NoTable> {
        match self {
            Self::Named(kind, section) if section.is_packed() => {
                let bytes = section_bytes(source, header, section, limits.bytes)?;
                Ok(Section {
                    kind,
                    offset: 0,
                    size: bytes.len() as u64,
                    source: Bytes::Unpacked(Source::Bytes(bytes)),
                    address: section.address,
                    is_open: false,
                })
            }
            Self::Named(kind, section) => {
                let (offset, size) = (section.offset, section.size);
                let end = offset.checked_add(size).ok_or(NoTable::Unreadable)?;
                if end > source.size() {
                    return Err(NoTable::Unreadable);
                }
                if size > limits.bytes {
                    return Err(NoTable::TooLarge);
                }
                Ok(Section {
                    kind,
                    source: Bytes::Borrowed(source),
                    offset,
                    size,
                    address: section.address,
                    is_open: false,
                })
            }
            Self::Pointed {
                offset,
                address,
                size,
            } => {
                let bytes = source.read_some(offset, size.min(HDR_BYTES))?;
                let bases = BaseAddresses::default().set_eh_frame_hdr(address);
                let parsed = EhFrameHdr::new(&bytes, LittleEndian).parse(&bases, 8);
                let address = match parsed.map(|it| it.eh_frame_ptr()) {
                    Ok(Pointer::Direct(address)) => address,
                    _ => return Err(NoTable::Unreadable),
                };
                let offset = header.offset_of(address).ok_or(NoTable::Unreadable)?;
                let rest = header.bytes_from(address).ok_or(NoTable::Unreadable)?;
                let rest = rest.min(source.size().saturating_sub(offset));
                Ok(Section {
                    kind: Kind::EhFrame,
                    source: Bytes::Borrowed(source),
                    offset,
                    size: rest.min(limits.bytes),
                    address,
                    is_open: true,
                })
            }
        }
    }
}
