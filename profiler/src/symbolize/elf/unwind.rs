//! Function boundaries from `.eh_frame_hdr`, which stripped files keep: addresses in one nameless function
//! get one name, and the functions that unwind tables mark as outermost are known.
//!
//! Format: Linux Standard Base, "Exception Frames"; only the encodings that linkers write are read.

use super::caller;
use super::header::Header;
use super::packed::section_bytes;
use super::source::{Numbers as _, Source};
use crate::model::CallerAt;

/// `DW_EH_PE_udata4`, and `DW_EH_PE_datarel | DW_EH_PE_sdata4`.
const COUNT_ENCODING: u8 = 0x03;
const TABLE_ENCODING: u8 = 0x3b;
const ENTRY: usize = 8;

/// The table of functions.
#[derive(Debug, Default)]
pub(crate) struct UnwindTable {
    /// `.eh_frame_hdr` whole: pairs of (function, frame description), relative to `base`.
    bytes: Vec<u8>,
    base: u64,
    count: usize,
}

/// A function without a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) start: u64,
    /// The caller's address is marked undefined: threads start here (`_start`, `clone3`).
    pub(crate) is_outermost: bool,
}

impl UnwindTable {
    /// The table, empty if the file has none that can be read.
    pub(crate) fn read(source: &Source, header: &Header, limit: u64) -> Self {
        let Some(section) = header.section(".eh_frame_hdr") else {
            return Self::default();
        };
        let bytes = section_bytes(source, header, section, limit).unwrap_or_default();
        // Version 1, a four-byte pointer to .eh_frame, then the count and the table.
        if bytes.get(2..4) != Some(&[COUNT_ENCODING, TABLE_ENCODING]) || bytes.first() != Some(&1) {
            return Self::default();
        }
        let room = bytes.len().saturating_sub(12) / ENTRY;
        let count = bytes.u32_at(8).map_or(0, |count| count as usize).min(room);
        Self {
            bytes,
            base: section.address,
            count,
        }
    }

    /// Where the function that contains `address` has its caller's address at that point.
    pub(crate) fn caller_at(&self, address: u64, source: &Source, header: &Header) -> CallerAt {
        let description = self.last(address).and_then(|at| self.address(at, 4));
        description
            .and_then(|it| caller::caller_at(it, address, source, header))
            .unwrap_or_default()
    }

    /// The last function that does not begin behind `address`.
    fn last(&self, address: u64) -> Option<usize> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.address(middle, 0)? <= address {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low.checked_sub(1)
    }

    /// The function that contains `address`.
    pub(crate) fn find(&self, address: u64, source: &Source, header: &Header) -> Option<Bounds> {
        let at = self.last(address)?;
        let start = self.address(at, 0)?;
        let description = self.address(at, 4)?;
        let offset = header.offset_of(description)?;
        let raw = source.read_some(offset, 64).ok()?;
        // Length, distance to the common part, start relative to its own place, size.
        let relative = raw.i32_at(8)?;
        let size = raw.u32_at(12)?;
        let told = description
            .wrapping_add(8)
            .wrapping_add_signed(relative.into());
        if told != start || address - start >= u64::from(size) {
            return None;
        }
        Some(Bounds {
            start,
            is_outermost: is_outermost(&raw, header.machine),
        })
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    fn address(&self, entry: usize, field: usize) -> Option<u64> {
        let value = self.bytes.i32_at(12 + entry * ENTRY + field)?;
        Some(self.base.wrapping_add_signed(value.into()))
    }
}

/// The instructions begin with `DW_CFA_undefined` of the return address.
fn is_outermost(description: &[u8], machine: u16) -> bool {
    const DW_CFA_UNDEFINED: u8 = 0x07;
    const EM_X86_64: u16 = 62;
    const EM_AARCH64: u16 = 183;
    let register = match machine {
        EM_X86_64 => 16,
        EM_AARCH64 => 30,
        _ => return false,
    };
    // Augmentation data (its length, usually 0) precedes the instructions.
    let Some(augmentation) = description.get(16) else {
        return false;
    };
    let at = 17 + usize::from(*augmentation);
    description.get(at..at + 2) == Some(&[DW_CFA_UNDEFINED, register])
}
