//! Asleep until a disk answers.

use std::fs::{File, OpenOptions};
use std::io::{Result, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Instant;

use super::{Pace, check};
use crate::workload::clock::{Meter, Spent};
use crate::workload::{PAGE, map};

/// Drops the pages that are not mapped.
fn forget(file: &File) {
    // SAFETY: an advice on an open file; no memory is touched.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
}

/// What is read at once: the more, the longer the disk takes.
const CHUNK: usize = 256;

/// The first pages of a file's chunks.
fn chunks(file: &File) -> Result<impl Iterator<Item = usize> + Clone> {
    let pages = usize::try_from(file.metadata()?.len()).unwrap_or_default() / PAGE;
    Ok((0..pages / CHUNK).map(|chunk| chunk * CHUNK))
}

/// Until what was written into a new file in `folder` has reached the disk.
pub(super) fn fsync(folder: &str, pace: Pace) -> Result<Spent> {
    let block = vec![2; 64 * PAGE];
    let end = Instant::now() + pace.total();
    let mut result = Ok(());
    // Creating, writing and removing a file block now and then, too.
    let spent = Meter::around(|| {
        result = tempfile::tempfile_in(folder).and_then(|mut file| {
            while Instant::now() < end {
                file.write_all(&block)?;
                file.sync_all()?;
            }
            Ok(())
        });
    });
    result.map(|()| spent)
}

/// Until a page of the mapped file is there.
pub(super) fn fault(path: &str, pace: Pace) -> Result<Spent> {
    let end = Instant::now() + pace.total();
    let mut spent = Spent::default();
    while Instant::now() < end {
        // Opened again each time: the kernel reads less ahead when that was in vain too often.
        let file = File::open(path)?;
        forget(&file);
        let size = usize::try_from(file.metadata()?.len()).unwrap_or_default();
        let (flags, fd) = (libc::MAP_SHARED, file.as_raw_fd());
        // SAFETY: a new mapping of the file at an address of the kernel's choice, which is released below.
        let memory =
            unsafe { libc::mmap(std::ptr::null_mut(), size, libc::PROT_READ, flags, fd, 0) };
        if memory == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        let chunks = chunks(&file)?;
        spent += Meter::around(|| {
            for page in chunks {
                // SAFETY: inside of the mapping.
                unsafe { memory.cast::<u8>().add(page * PAGE).read_volatile() };
            }
        });
        // SAFETY: the mapping from above, which is not used any more.
        unsafe { libc::munmap(memory, size) };
    }
    Ok(spent)
}

/// Until a part of the file, which is in no cache, is there.
pub(super) fn direct_read(path: &str, pace: Pace) -> Result<Spent> {
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(libc::O_DIRECT).open(path)?;
    let chunks = chunks(&file)?.cycle();
    let memory = map(CHUNK)?;
    let end = Instant::now() + pace.total();
    let mut result = Ok(0);
    let spent = Meter::around(|| {
        for page in chunks.take_while(|_| Instant::now() < end) {
            let (fd, offset) = (file.as_raw_fd(), (page * PAGE) as i64);
            // SAFETY: the memory is as large, and aligned as the device wants it.
            let read = unsafe { libc::pread(fd, memory.cast(), CHUNK * PAGE, offset) };
            result = check(read as i64);
            if result.is_err() {
                break;
            }
        }
    });
    result.map(|_| spent)
}
