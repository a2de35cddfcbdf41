//! Where the bytes of an ELF file come from.
//!
//! Files are read with `pread` into memory, section by section and only those needed, and never mapped: whoever
//! may write a mapped file can truncate it at any moment, and touching the lost pages would kill ctprof
//! with SIGBUS. A read just comes out short. Every size is checked against the file's real size and
//! a limit before memory is allocated.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Why bytes could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadError {
    /// Not an ELF file, or one for another byte order.
    Foreign,
    /// Outside the file, or not what the format demands.
    Malformed,
    /// More than the limit.
    TooLarge,
    /// Well-formed as far as can be told, but in a way that is not read here: an unknown compression, for instance.
    Unsupported,
    /// The read failed.
    Io,
}

/// The bytes of a file.
#[derive(Debug)]
pub(crate) enum Source {
    /// A file, of this size when it was opened.
    File { file: File, size: u64 },
    /// Bytes in memory.
    Bytes(Vec<u8>),
}

impl Source {
    pub(crate) fn file(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self::File { file, size })
    }

    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::File { size, .. } => *size,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }

    /// `len` bytes at `offset`, if that is at most `limit` and all of them are there.
    pub(crate) fn read(&self, offset: u64, len: u64, limit: u64) -> Result<Vec<u8>, ReadError> {
        let end = offset.checked_add(len).ok_or(ReadError::Malformed)?;
        if end > self.size() {
            return Err(ReadError::Malformed);
        }
        if len > limit {
            return Err(ReadError::TooLarge);
        }
        let len = usize::try_from(len).map_err(|_| ReadError::TooLarge)?;
        match self {
            Self::File { file, .. } => {
                let mut bytes = vec![0; len];
                file.read_exact_at(&mut bytes, offset)
                    .map_err(|_| ReadError::Io)?;
                Ok(bytes)
            }
            Self::Bytes(bytes) => {
                let offset = usize::try_from(offset).map_err(|_| ReadError::Malformed)?;
                let part = bytes.get(offset..offset + len);
                part.map(<[u8]>::to_vec).ok_or(ReadError::Malformed)
            }
        }
    }

    /// Up to `len` bytes at `offset`, less at the end of the file.
    pub(crate) fn read_some(&self, offset: u64, len: u64) -> Result<Vec<u8>, ReadError> {
        let there = self.size().saturating_sub(offset).min(len);
        self.read(offset, there, len)
    }
}

/// Little-endian numbers at an offset, `None` outside the bytes.
pub(crate) trait Numbers {
    fn bytes_at<const N: usize>(&self, at: usize) -> Option<[u8; N]>;

    fn u16_at(&self, at: usize) -> Option<u16> {
        self.bytes_at(at).map(u16::from_le_bytes)
    }

    fn u32_at(&self, at: usize) -> Option<u32> {
        self.bytes_at(at).map(u32::from_le_bytes)
    }

    fn i32_at(&self, at: usize) -> Option<i32> {
        self.bytes_at(at).map(i32::from_le_bytes)
    }

    fn u64_at(&self, at: usize) -> Option<u64> {
        self.bytes_at(at).map(u64::from_le_bytes)
    }
}

impl Numbers for [u8] {
    fn bytes_at<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.get(at..at.checked_add(N)?)?.try_into().ok()
    }
}

/// The bytes from `at` up to the next NUL, which has to come within 64 KiB.
pub(crate) fn c_string(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let rest = bytes.get(at..)?;
    let rest = &rest[..rest.len().min(64 * 1024)];
    let len = rest.iter().position(|byte| *byte == 0)?;
    Some(&rest[..len])
}
