//! A part of a file that is read piece by piece.

use super::source::{Numbers as _, ReadError, Source};

/// A part of a file, of which a piece is in memory that moves along with what is asked for.
pub(crate) struct Window<'a> {
    source: &'a Source,
    /// Where the part begins in the file.
    offset: u64,
    size: u64,
    /// Where the piece begins in the part.
    start: u64,
    /// Read at once.
    piece: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    /// One over `size` bytes from `offset` on, `piece` of them at a time.
    pub(crate) const fn new(source: &'a Source, offset: u64, size: u64, piece: u64) -> Self {
        Self {
            source,
            offset,
            size,
            start: 0,
            piece,
            bytes: Vec::new(),
        }
    }

    /// Bytes of the whole part.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// `size` bytes from `at` on, counted from the beginning of the part.
    pub(crate) fn get(&mut self, at: u64, size: u64) -> Result<&[u8], ReadError> {
        let end = at.checked_add(size).ok_or(ReadError::Malformed)?;
        if end > self.size {
            return Err(ReadError::Malformed);
        }
        if at < self.start || end > self.start + self.bytes.len() as u64 {
            let size = size.max(self.piece.min(self.size - at));
            let offset = self.offset.checked_add(at).ok_or(ReadError::Malformed)?;
            // Not two at a time.
            self.bytes = Vec::new();
            self.bytes = self.source.read(offset, size, size)?;
            self.start = at;
        }
        let from = usize::try_from(at - self.start).map_err(|_| ReadError::Malformed)?;
        let size = usize::try_from(size).map_err(|_| ReadError::Malformed)?;
        self.bytes
            .get(from..from.saturating_add(size))
            .ok_or(ReadError::Malformed)
    }

    /// The number of 4 bytes at `at`.
    pub(crate) fn u32(&mut self, at: u64) -> Result<u32, ReadError> {
        self.get(at, 4)?.u32_at(0).ok_or(ReadError::Malformed)
    }

    /// The number of 8 bytes at `at`.
    pub(crate) fn u64(&mut self, at: u64) -> Result<u64, ReadError> {
        self.get(at, 8)?.u64_at(0).ok_or(ReadError::Malformed)
    }
}
