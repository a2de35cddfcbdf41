//! Asleep in page faults that a helper answers (userfaultfd).

use std::fs::File;
use std::io::{Read, Result};
use std::os::fd::{AsRawFd, FromRawFd};

use super::{Pace, check};
use crate::workload::clock::{Meter, Spent};
use crate::workload::{PAGE, map};

// The kernel's `linux/userfaultfd.h`.
const API: u64 = 0xaa;
const REGISTER_MISSING: u64 = 1;
const IOCTL_API: libc::Ioctl = 0xc018_aa3f;
const IOCTL_REGISTER: libc::Ioctl = 0xc020_aa00;
const IOCTL_ZERO: libc::Ioctl = 0xc020_aa04;
/// Size of `struct uffd_msg`, and where the address is in one of a fault.
const MESSAGE: usize = 32;
const ADDRESS: usize = 16;

/// New memory whose faults are read from the file.
fn missing(pages: usize) -> Result<(*mut u8, File)> {
    let memory = map(pages)?;
    // SAFETY: creates a descriptor, touches no memory.
    let fd = check(unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC) })?;
    // SAFETY: the kernel has just made it, and nobody else knows it.
    let faults = unsafe { File::from_raw_fd(i32::try_from(fd).unwrap_or_default()) };
    control(&faults, IOCTL_API, [API, 0, 0, 0])?;
    let range = [memory as u64, (pages * PAGE) as u64];
    control(
        &faults,
        IOCTL_REGISTER,
        [range[0], range[1], REGISTER_MISSING, 0],
    )?;
    Ok((memory, faults))
}

/// The address of the next fault.
fn next(mut faults: &File) -> Result<u64> {
    let mut message = [0; MESSAGE];
    faults.read_exact(&mut message)?;
    let mut address = [0; 8];
    address.copy_from_slice(&message[ADDRESS..ADDRESS + 8]);
    Ok(u64::from_ne_bytes(address))
}

/// Puts the page there.
fn resolve(faults: &File, address: u64) -> Result<()> {
    let page = address & !(PAGE as u64 - 1);
    control(faults, IOCTL_ZERO, [page, PAGE as u64, 0, 0])
}

/// On pages that are not there until a helper, some time after the fault, puts them there.
pub(super) fn user(pace: Pace) -> Result<Spent> {
    let pages = pace.times as usize;
    let (memory, faults) = missing(pages)?;
    let helper = std::thread::spawn(move || -> Result<()> {
        for _ in 0..pages {
            let address = next(&faults)?;
            std::thread::sleep(pace.each);
            resolve(&faults, address)?;
        }
        Ok(())
    });
    let mut spent = Spent::default();
    for page in 0..pages {
        // SAFETY: inside of the mapping, which nobody else uses.
        spent += Meter::around(|| unsafe { memory.add(page * PAGE).read_volatile() });
    }
    let _ = helper.join();
    Ok(spent)
}

/// Until a helper comes to a page that is not there, which is then put there at once.
pub(super) fn handler(pace: Pace) -> Result<Spent> {
    let pages = pace.times as usize;
    let (memory, faults) = missing(pages)?;
    let first = memory as usize;
    let helper = std::thread::spawn(move || {
        let mut page = 0;
        pace.follow(|| {
            // SAFETY: inside of the mapping, which nobody else uses.
            unsafe { ((first + page * PAGE) as *const u8).read_volatile() };
            page += 1;
        });
    });
    let mut spent = Spent::default();
    for _ in 0..pages {
        let mut address = Ok(0);
        spent += Meter::around(|| address = next(&faults));
        resolve(&faults, address?)?;
    }
    let _ = helper.join();
    Ok(spent)
}

/// The three requests take up to four words.
fn control(faults: &File, request: libc::Ioctl, mut words: [u64; 4]) -> Result<()> {
    // SAFETY: each of the requests reads and writes at most so many bytes, which live.
    check(unsafe { libc::ioctl(faults.as_raw_fd(), request, words.as_mut_ptr()) }).map(drop)
}
