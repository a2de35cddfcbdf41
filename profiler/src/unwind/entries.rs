//! The frame descriptions in a section, one after the other: which code they are of, and what they say of it.

use std::collections::HashMap;

use gimli::{
    BaseAddresses, DebugFrame, EhFrame, EndianSlice, FrameDescriptionEntry, LittleEndian,
    UnwindContext, UnwindSection,
};

use super::code::{Claim, Clipped, Code, Found};
use super::look::Look;
use super::rows::Rows;
use super::rule::{self, NONE, UNKNOWN};
use super::section::{Kind, Section};
use super::{Limits, NoTable};
use crate::symbolize::elf::{Header, Window};

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// Larger entries are left out: functions of megabytes of code have some 100 KiB.
const MAX_ENTRY: u64 = 1 << 20;
/// A common part has some 30 bytes; most files have less than ten of them.
const MAX_COMMON: u64 = 4 << 10;
/// Common parts that are kept.
const MAX_KEPT: usize = 256;

/// A section of descriptions of a file.
pub(super) struct Entries<'a> {
    section: &'a Section<'a>,
    bases: BaseAddresses,
    limits: &'a Limits,
}

impl<'a> Entries<'a> {
    pub(super) fn new(section: &'a Section<'a>, header: &Header, limits: &'a Limits) -> Self {
        let mut bases = BaseAddresses::default();
        if let Some(text) = header.section(".text") {
            bases = bases.set_text(text.address);
        }
        if let Some(got) = header.section(".got") {
            bases = bases.set_got(got.address);
        }
        Self {
            section,
            bases,
            limits,
        }
    }

    /// Adds the code that is described.
    pub(super) fn code(&self, found: &mut Found<'_>) -> Result<(), NoTable> {
        self.each(&mut |joined, _| {
            if let Some(range) = joined.range(&self.bases) {
                found.add(range)?;
            }
            Ok(true)
        })?;
        Ok(())
    }

    /// Adds the rows of all of it; says how many descriptions are damaged.
    pub(super) fn rows(&self, code: &mut Code<'_>, rows: &mut Rows) -> Result<usize, NoTable> {
        let mut context = UnwindContext::new();
        self.each(&mut |joined, look| {
            let Some(range) = joined.range(&self.bases) else {
                return Ok(false);
            };
            match code.claim(range) {
                Claim::Rows(clipped) => joined.rows(&self.bases, &mut context, clipped, rows, look),
                Claim::Nothing => Ok(true),
                Claim::Changed => Ok(false),
            }
        })
    }

    /// Calls `visit` with each description, which says if it made sense; says how many did not.
    fn each(
        &self,
        visit: &mut dyn FnMut(&Joined<'_>, &mut Look) -> Result<bool, NoTable>,
    ) -> Result<usize, NoTable> {
        let section = self.section;
        let mut window = section.window();
        let mut commons: HashMap<u64, Vec<u8>> = HashMap::new();
        let mut look = Look::new(self.limits.deadline);
        let (mut at, mut damaged) = (0, 0);
        let mut bytes = Vec::new();
        while let Some(entry) = Entry::at(&mut window, at, section.kind)? {
            look.one()?;
            let position = at;
            at = entry.end;
            let size = entry.end - position;
            let common = match entry.common {
                Link::Empty if section.is_open => break,
                Link::Empty | Link::Common => continue,
                Link::To(common) => common,
                Link::Damaged => {
                    damaged += 1;
                    continue;
                }
            };
            if size > MAX_ENTRY {
                damaged += 1;
                continue;
            }
            if !commons.contains_key(&common) {
                let Some(bytes) = Entry::common(section, common)? else {
                    damaged += 1;
                    continue;
                };
                if commons.len() >= MAX_KEPT {
                    commons.clear();
                }
                commons.insert(common, bytes);
            }
            let Some(common) = commons.get(&common) else {
                continue;
            };
            // The two alone, one behind the other, are a section.
            bytes.clear();
            bytes.extend_from_slice(common);
            let start = bytes.len();
            bytes.extend_from_slice(window.get(position, size)?);
            let link = start + entry.link_at;
            let distance = match section.kind {
                Kind::EhFrame => link as u64,
                Kind::DebugFrame => 0,
            };
            for (slot, byte) in bytes[link..][..entry.link_size]
                .iter_mut()
                .zip(distance.to_le_bytes())
            {
                *slot = byte;
            }
            let joined = Joined {
                kind: section.kind,
                bytes: &bytes,
                start,
                address: section
                    .address
                    .wrapping_add(position)
                    .wrapping_sub(start as u64),
            };
            if !visit(&joined, &mut look)? {
                damaged += 1;
            }
        }
        Ok(damaged)
    }
}

/// What an entry is, by its second word.
enum Link {
    /// Without contents.
    Empty,
    /// A common part (CIE).
    Common,
    /// A description (FDE) whose common part is there.
    To(u64),
    /// Neither.
    Damaged,
}

/// An entry of a section.
struct Entry {
    end: u64,
    common: Link,
    /// Where the link to its common part is in it.
    link_at: usize,
    link_size: usize,
}

impl Entry {
    /// The entry at `at`; `None` at the end of the section or of what makes sense.
    fn at(window: &mut Window<'_>, at: u64, kind: Kind) -> Result<Option<Self>, NoTable> {
        let size = window.size();
        if size.saturating_sub(at) < 4 {
            return Ok(None);
        }
        let (length, head) = match window.u32(at)? {
            u32::MAX if size - at >= 12 => (window.u64(at + 4)?, 12),
            u32::MAX => return Ok(None),
            length => (length.into(), 4),
        };
        let link_size = match kind {
            Kind::DebugFrame if head == 12 => 8,
            _ => 4,
        };
        let Some(end) = (at + head).checked_add(length).filter(|end| *end <= size) else {
            return Ok(None);
        };
        let link_at = at + head;
        let common = if length == 0 {
            Link::Empty
        } else if length < link_size {
            Link::Damaged
        } else {
            let link = match link_size {
                8 => window.u64(link_at)?,
                _ => window.u32(link_at)?.into(),
            };
            let is_common = match kind {
                Kind::EhFrame => link == 0,
                Kind::DebugFrame => {
                    link == if link_size == 8 {
                        u64::MAX
                    } else {
                        u32::MAX.into()
                    }
                }
            };
            match kind {
                _ if is_common => Link::Common,
                Kind::EhFrame => link_at.checked_sub(link).map_or(Link::Damaged, Link::To),
                Kind::DebugFrame => Link::To(link),
            }
        };
        Ok(Some(Self {
            end,
            common,
            link_at: head as usize,
            link_size: link_size as usize,
        }))
    }

    /// The bytes of the common part at `at`; `None` if there is none.
    fn common(section: &Section<'_>, at: u64) -> Result<Option<Vec<u8>>, NoTable> {
        // The window stays where the descriptions are.
        let mut window = section.small_window();
        match Self::at(&mut window, at, section.kind)? {
            Some(entry) if matches!(entry.common, Link::Common) && entry.end - at <= MAX_COMMON => {
                Ok(Some(window.get(at, entry.end - at)?.to_vec()))
            }
            _ => Ok(None),
        }
    }
}

/// A description and its common part before it.
struct Joined<'a> {
    kind: Kind,
    bytes: &'a [u8],
    /// Where the description is.
    start: usize,
    /// Address at which `bytes` would have to lie.
    address: u64,
}

impl Joined<'_> {
    /// First address, and the one behind the last.
    fn range(&self, bases: &BaseAddresses) -> Option<(u64, u64)> {
        fn of<'a, S: UnwindSection<Slice<'a>>>(
            section: &S,
            bases: &BaseAddresses,
            start: usize,
        ) -> Option<(u64, u64)> {
            let fde = fde(section, bases, start)?;
            Some((fde.initial_address(), fde.end_address()))
        }
        let bases = bases.clone().set_eh_frame(self.address);
        match self.kind {
            Kind::EhFrame => of(&EhFrame::new(self.bytes, LittleEndian), &bases, self.start),
            Kind::DebugFrame => of(
                &DebugFrame::new(self.bytes, LittleEndian),
                &bases,
                self.start,
            ),
        }
    }

    /// Adds its rows; says if all of them make sense.
    fn rows(
        &self,
        bases: &BaseAddresses,
        context: &mut UnwindContext<usize>,
        code: Clipped,
        rows: &mut Rows,
        look: &mut Look,
    ) -> Result<bool, NoTable> {
        let bases = bases.clone().set_eh_frame(self.address);
        match self.kind {
            Kind::EhFrame => {
                let section = EhFrame::new(self.bytes, LittleEndian);
                self.rows_in(&section, &bases, context, code, rows, look)
            }
            Kind::DebugFrame => {
                let section = DebugFrame::new(self.bytes, LittleEndian);
                self.rows_in(&section, &bases, context, code, rows, look)
            }
        }
    }

    fn rows_in<'s, S: UnwindSection<Slice<'s>>>(
        &self,
        section: &S,
        bases: &BaseAddresses,
        context: &mut UnwindContext<usize>,
        Clipped { origin, begin, end }: Clipped,
        rows: &mut Rows,
        look: &mut Look,
    ) -> Result<bool, NoTable> {
        let relative = |address: u64| (address - origin) as u32;
        let mut is_sound = true;
        let mut last = None;
        // Up to here something has been said.
        let mut at = begin;
        let add = |at: u64, rule| rows.add(relative(at), rule);
        let mut add = add;
        if let Some(fde) = fde(section, bases, self.start)
            && fde.cie().return_address_register() == gimli::X86_64::RA
            && let Ok(mut table) = fde.rows(section, bases, context)
        {
            loop {
                look.one()?;
                let row = match table.next_row() {
                    Ok(Some(row)) => row,
                    Ok(None) => break,
                    Err(_) => {
                        is_sound = false;
                        break;
                    }
                };
                let until = row.end_address().min(end);
                if row.start_address() != at || until < at {
                    is_sound = false;
                    break;
                }
                if until > at {
                    let rule = rule::of_row(row, self.bytes);
                    if last != Some(rule) {
                        add(at, rule)?;
                        last = Some(rule);
                    }
                    at = until;
                }
                if until == end {
                    break;
                }
            }
        } else {
            is_sound = false;
        }
        if at < end {
            add(at, UNKNOWN)?;
        }
        add(end, NONE)?;
        Ok(is_sound)
    }
}

fn fde<'s, S: UnwindSection<Slice<'s>>>(
    section: &S,
    bases: &BaseAddresses,
    start: usize,
) -> Option<FrameDescriptionEntry<Slice<'s>>> {
    section
        .fde_from_offset(bases, start.into(), S::cie_from_offset)
        .ok()
}
