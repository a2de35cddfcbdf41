//! Code of a file as any process can have it mapped, and a mapping of our own of the same file: asked what that shows, the kernel
//! half recognises the code in processes of which it was told nothing.

use std::fs::File;
use std::ptr::NonNull;

use ctprof_ebpf::abi::unwind::PAGE_SHIFT;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::symbolize::elf::Header;

/// A mapping of our own of a file with a table, and where that describes the file's code.
#[derive(Debug)]
pub struct Own {
    mapping: Mapping,
    pieces: Vec<Piece>,
}

/// A piece of code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// First page of the file that it is mapped from, of 4 KiB.
    pub page: u64,
    /// Where the table's origin lies, counted from the beginning of such a mapping.
    pub origin: u64,
}

#[derive(Debug)]
enum Mapping {
    /// One page of a file, which nobody reads.
    File(NonNull<u8>),
    /// The vDSO is mapped into every process.
    Vdso(u64),
}

// SAFETY: nobody reads or writes what is mapped; only its address is asked for.
unsafe impl Send for Mapping {}

impl Own {
    /// Maps a page of a file whose table has this origin. `None` where that cannot be: its code is recognised only in processes
    /// that were looked at.
    pub(crate) fn of_file(file: &File, header: &Header, origin: u64) -> Option<Self> {
        // SAFETY: a new mapping at an address that the kernel chooses changes nothing that is there.
        let page = unsafe {
            mmap(
                std::ptr::null_mut(),
                page_bytes(),
                ProtFlags::READ,
                MapFlags::PRIVATE,
                file,
                0,
            )
        };
        let mapping = Mapping::File(NonNull::new(page.ok()?.cast())?);
        Some(Self::new(mapping, header, origin))
    }

    /// The same of the vDSO, which lies at this address of our own.
    pub(crate) fn of_vdso(address: u64, header: &Header, origin: u64) -> Self {
        Self::new(Mapping::Vdso(address), header, origin)
    }

    fn new(mapping: Mapping, header: &Header, origin: u64) -> Self {
        let pieces = header.code_offsets().filter_map(|offset| {
            Some(Piece {
                page: offset >> PAGE_SHIFT,
                origin: header.bias_of(0, offset)?.wrapping_add(origin),
            })
        });
        Self {
            pieces: pieces.collect(),
            mapping,
        }
    }

    /// An address in the mapping.
    #[must_use]
    pub fn address(&self) -> u64 {
        match self.mapping {
            Mapping::File(page) => page.as_ptr() as u64,
            Mapping::Vdso(address) => address,
        }
    }

    /// Where code of the file can be mapped from.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if let Self::File(page) = self {
            // SAFETY: nothing refers to the page.
            let _ = unsafe { munmap(page.as_ptr().cast(), page_bytes()) };
        }
    }
}

fn page_bytes() -> usize {
    rustix::param::page_size()
}
