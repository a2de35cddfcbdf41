//! The code that a file describes: where its functions begin, whoever describes them.

use ctprof_ebpf::abi::unwind::PAGE_SHIFT;

use super::NoTable;
use crate::symbolize::elf::{Header, Segment};

/// Functions as they are found, in any order.
pub(super) struct Found<'a> {
    /// Parts of the file that are code.
    segments: Vec<&'a Segment>,
    base: u64,
    begins: Vec<u32>,
    /// Pages of all code, described or not.
    pages: u32,
    /// Bytes of all code, and of what has been added.
    bytes: u64,
    described: u64,
    most: usize,
}

impl<'a> Found<'a> {
    /// None yet; more than `most` are too many.
    pub(super) fn new(header: &'a Header, most: usize) -> Result<Self, NoTable> {
        let (first, last) = header
            .code()
            .fold((u64::MAX, 0), |all, it| (all.0.min(it.0), all.1.max(it.1)));
        if first > last {
            return Err(NoTable::NoDescriptions);
        }
        let base = first >> PAGE_SHIFT << PAGE_SHIFT;
        // The rows of a table have addresses of 32 bits, and a page less than that.
        let size = u32::try_from(last - base).map_err(|_| NoTable::TooLarge)?;
        if size > u32::MAX >> PAGE_SHIFT << PAGE_SHIFT {
            return Err(NoTable::TooLarge);
        }
        Ok(Self {
            segments: header.segments.iter().filter(|it| it.is_code()).collect(),
            base,
            begins: Vec::new(),
            pages: size.div_ceil(1 << PAGE_SHIFT),
            bytes: header
                .code()
                .fold(0, |sum, (begin, end)| (end - begin).saturating_add(sum)),
            described: 0,
            most,
        })
    }

    /// Adds one, by its first address and the one behind its last. What is no code of the file is left out.
    pub(super) fn add(&mut self, range: (u64, u64)) -> Result<(), NoTable> {
        let Some((begin, end)) = within(&self.segments, range) else {
            return Ok(());
        };
        self.described = self.described.saturating_add(end - begin);
        let begin = begin.checked_sub(self.base).map(u32::try_from);
        let Some(Ok(begin)) = begin.filter(|_| self.begins.len() < self.most) else {
            return Err(NoTable::TooLarge);
        };
        self.begins.push(begin);
        Ok(())
    }

    /// Whether most code has been added.
    pub(super) const fn is_mostly_described(&self) -> bool {
        self.described > self.bytes / 2
    }

    /// All of them.
    pub(super) fn finish(mut self) -> Code<'a> {
        self.begins.sort_unstable();
        self.begins.dedup();
        Code {
            is_claimed: vec![false; self.begins.len()],
            at: 0,
            pages: self.pages,
            segments: self.segments,
            begins: self.begins,
            base: self.base,
        }
    }
}

/// All code that is described, and of which functions that has been used.
pub(super) struct Code<'a> {
    segments: Vec<&'a Segment>,
    /// Where functions begin, counted from `base`; in order, each once.
    begins: Vec<u32>,
    is_claimed: Vec<bool>,
    /// Behind the last that was claimed.
    at: usize,
    /// Address of the first page.
    base: u64,
    pages: u32,
}

/// What a description is good for.
pub(super) enum Claim {
    /// The rows of this code.
    Rows(Clipped),
    /// Nothing: its code is not of this file, or described already.
    Nothing,
    /// Nothing: it is not as it was when functions were looked for, so the file has changed.
    Changed,
}

/// Code that a description is used for.
pub(super) struct Clipped {
    /// Address that rows count from.
    pub(super) origin: u64,
    /// Its first address.
    pub(super) begin: u64,
    /// The address behind it.
    pub(super) end: u64,
}

impl Code<'_> {
    pub(super) const fn origin(&self) -> u64 {
        self.base
    }

    pub(super) const fn pages(&self) -> u32 {
        self.pages
    }

    pub(super) fn functions(&self) -> usize {
        self.begins.len()
    }

    /// What a description of this range is good for.
    ///
    /// Where two functions overlap, the one that begins later has the code from there on; of two that begin at the same
    /// place, the first that is described.
    pub(super) fn claim(&mut self, range: (u64, u64)) -> Claim {
        let Some((begin, end)) = within(&self.segments, range) else {
            return Claim::Nothing;
        };
        let Ok(offset) = u32::try_from(begin - self.base) else {
            return Claim::Changed;
        };
        // Descriptions mostly are in the order of their code.
        if self.begins.get(self.at) != Some(&offset) {
            let Ok(found) = self.begins.binary_search(&offset) else {
                return Claim::Changed;
            };
            self.at = found;
        }
        let next = self.begins.get(self.at + 1);
        let end = next.map_or(end, |next| end.min(self.base + u64::from(*next)));
        let is_claimed = std::mem::replace(&mut self.is_claimed[self.at], true);
        self.at += 1;
        if is_claimed {
            return Claim::Nothing;
        }
        Claim::Rows(Clipped {
            origin: self.base,
            begin,
            end: end.min(self.base + (u64::from(self.pages) << PAGE_SHIFT)),
        })
    }
}

/// The part of a range that is code of the file: the linker leaves descriptions of what it has thrown away.
fn within(segments: &[&Segment], (begin, end): (u64, u64)) -> Option<(u64, u64)> {
    let mut segments = segments.iter();
    let segment = segments
        .find(|segment| segment.address <= begin && begin - segment.address < segment.file_size)?;
    let end = end.min(segment.address.checked_add(segment.file_size)?);
    (begin < end).then_some((begin, end))
}
