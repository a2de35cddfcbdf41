//! Asleep until a disk answers. `folder` is to be on one.

use std::fs::{File, OpenOptions};
use std::io::{Result, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Instant;

use super::{Pace, check};
use crate::workload::clock::{Meter, Spent};
use crate::workload::{PAGE, map};

/// Pages of the file.
const PAGES: usize = 8 << 10;

/// A file on the disk that has no page in memory.
fn file(folder: &str) -> Result<File> {
    let mut file = tempfile::tempfile_in(folder)?;
    for _ in 0..PAGES / 256 {
        file.write_all(&vec![1; 256 * PAGE])?;
    }
    file.sync_all()?;
    forget(&file);
    Ok(file)
}

/// Drops the pages that are not mapped.
fn forget(file: &File) {
    // SAFETY: an advice on an open file; no memory is touched.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
}

/// Every page over and over, in an order that no read-ahead guesses.
fn order() -> impl Iterator<Item = usize> {
    (0_usize..).map(|index| index.wrapping_mul(4099) % PAGES)
}

/// Until what was written has reached the disk.
pub(super) fn fsync(folder: &str, pace: Pace) -> Result<Spent> {
    let mut file = tempfile::tempfile_in(folder)?;
    let block = vec![2; 64 * PAGE];
    let end = Instant::now() + pace.total();
    let mut failed = Ok(());
    // Writing blocks now and then, too, while the file system writes to the disk.
    let spent = Meter::around(|| {
        while Instant::now() < end && failed.is_ok() {
            failed = file.write_all(&block).and_then(|()| file.sync_all());
        }
    });
    failed.map(|()| spent)
}

/// Until a page of a mapped file is there.
pub(super) fn fault(folder: &str, pace: Pace) -> Result<Spent> {
    let file = file(folder)?;
    let end = Instant::now() + pace.total();
    let mut spent = Spent::default();
    while Instant::now() < end {
        forget(&file);
        // SAFETY: a new mapping of the file at an address of the kernel's choice, advised on and released here.
        unsafe {
            let (size, protection) = (PAGES * PAGE, libc::PROT_READ);
            let fd = file.as_raw_fd();
            let memory = libc::mmap(
                std::ptr::null_mut(),
                size,
                protection,
                libc::MAP_SHARED,
                fd,
                0,
            );
            if memory == libc::MAP_FAILED {
                return Err(std::io::Error::last_os_error());
            }
            libc::madvise(memory, size, libc::MADV_RANDOM);
            spent += Meter::around(|| {
                for page in order().take(PAGES).take_while(|_| Instant::now() < end) {
                    memory.cast::<u8>().add(page * PAGE).read_volatile();
                }
            });
            libc::munmap(memory, size);
        }
    }
    Ok(spent)
}

/// Until a block that is in no cache is there.
pub(super) fn direct_read(folder: &str, pace: Pace) -> Result<Spent> {
    let written = file(folder)?;
    let path = format!("/proc/self/fd/{}", written.as_raw_fd());
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(libc::O_DIRECT).open(path)?;
    let memory = map(1)?;
    let end = Instant::now() + pace.total();
    let mut failed = Ok(0);
    let spent = Meter::around(|| {
        for page in order().take_while(|_| Instant::now() < end) {
            let offset = i64::try_from(page * PAGE).unwrap_or_default();
            // SAFETY: one page of memory, aligned as the device wants it.
            failed =
                check(unsafe { libc::pread(file.as_raw_fd(), memory.cast(), PAGE, offset) } as i64);
            if failed.is_err() {
                break;
            }
        }
    });
    failed.map(|_| spent)
}
