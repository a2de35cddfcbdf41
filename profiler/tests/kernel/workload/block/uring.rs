//! Asleep in `io_uring_enter`, without a disk.

use std::io::{Error, Result, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Pace, check};
use crate::workload::PAGE;
use crate::workload::clock::{Meter, Spent};

/// Offsets into the ring of submissions; `io_sqring_offsets` in the kernel's `io_uring.h`.
#[repr(C)]
#[derive(Default)]
struct Submissions {
    head: u32,
    tail: u32,
    mask: u32,
    entries: u32,
    flags: u32,
    dropped: u32,
    array: u32,
    reserved: [u32; 3],
}

/// `io_uring_params`.
#[repr(C)]
#[derive(Default)]
struct Parameters {
    entries: u32,
    completions: u32,
    flags: u32,
    thread_cpu: u32,
    thread_idle: u32,
    features: u32,
    workers: u32,
    reserved: [u32; 3],
    submissions: Submissions,
    completion_offsets: [u32; 10],
}

/// `io_uring_sqe`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Entry {
    operation: u8,
    flags: u8,
    priority: u16,
    file: i32,
    offset: u64,
    address: u64,
    length: u32,
    rest: [u32; 9],
}

const _: () = assert!(size_of::<Parameters>() == 120 && size_of::<Entry>() == 64);

/// Offsets at which the rings are mapped.
const RING: i64 = 0;
const ENTRIES: i64 = 0x1000_0000;
const IORING_OP_READ: u8 = 22;
/// `IOSQE_ASYNC`: a worker of the kernel makes the call.
const BY_WORKER: u8 = 1 << 4;
const IORING_ENTER_GETEVENTS: u32 = 1;
const IORING_ENTER_SQ_WAKEUP: u32 = 2;
const IORING_SETUP_SQPOLL: u32 = 2;
/// Milliseconds without work after which the kernel's thread that polls goes to sleep.
const IDLE_MS: u32 = 1;

/// Who submits and makes a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The thread itself: what it waits for is polled for.
    Caller,
    /// A worker of the kernel sleeps in the call.
    Worker,
    /// A thread of the kernel takes what is submitted from the ring.
    Poller,
}

/// Reads from a pipe that a helper writes to, and waits for the completion.
pub(super) fn pipe_read(pace: Pace, by: By) -> Result<Spent> {
    let mut parameters = Parameters::default();
    if by == By::Poller {
        parameters.flags = IORING_SETUP_SQPOLL;
        parameters.thread_idle = IDLE_MS;
    }
    // SAFETY: the parameters live during the call.
    let ring = check(unsafe { libc::syscall(libc::SYS_io_uring_setup, 4, &raw mut parameters) })?;
    // SAFETY: the call has just returned it, and nobody else has it.
    let ring = unsafe { OwnedFd::from_raw_fd(i32::try_from(ring).unwrap_or(-1)) };
    let map = |offset| {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping, which touches nothing that exists.
        let memory = unsafe {
            let null = std::ptr::null_mut();
            let fd = ring.as_raw_fd();
            libc::mmap(null, PAGE, protection, libc::MAP_SHARED, fd, offset)
        };
        if memory == libc::MAP_FAILED {
            Err(Error::last_os_error())
        } else {
            Ok(memory.cast::<u8>())
        }
    };
    let (queue, entries) = (map(RING)?, map(ENTRIES)?.cast::<Entry>());
    let (reader, mut writer) = std::io::pipe()?;
    let helper = std::thread::spawn(move || pace.follow(|| drop(writer.write_all(b"x"))));
    let wakeup = if by == By::Poller {
        IORING_ENTER_SQ_WAKEUP
    } else {
        0
    };
    let mut byte = 0_u8;
    let mut spent = Spent::default();
    for _ in 0..pace.times {
        let entry = Entry {
            operation: IORING_OP_READ,
            flags: if by == By::Worker { BY_WORKER } else { 0 },
            file: reader.as_raw_fd(),
            address: &raw mut byte as u64,
            length: 1,
            ..Entry::default()
        };
        // SAFETY: the ring's memory, at the offsets that the kernel gave; only this thread submits.
        unsafe {
            entries.write(entry);
            let at = |offset: u32| queue.add(offset as usize).cast::<u32>();
            at(parameters.submissions.array).write(0);
            at(parameters.submissions.array).add(1).write(0);
            at(parameters.submissions.array).add(2).write(0);
            at(parameters.submissions.array).add(3).write(0);
            AtomicU32::from_ptr(at(parameters.submissions.tail)).fetch_add(1, Ordering::Release);
        }
        let mut result = Ok(0);
        spent += Meter::around(|| {
            // SAFETY: what the entry points to lives until the completion is there.
            result = check(unsafe {
                let (one, no_signals) = (1, 0_usize);
                let ring = ring.as_raw_fd();
                libc::syscall(
                    libc::SYS_io_uring_enter,
                    ring,
                    one,
                    one,
                    IORING_ENTER_GETEVENTS | wakeup,
                    no_signals,
                    no_signals,
                )
            });
        });
        result?;
        // SAFETY: the completion has been seen.
        unsafe {
            let head = queue.add(parameters.completion_offsets[0] as usize).cast();
            AtomicU32::from_ptr(head).fetch_add(1, Ordering::Release);
        }
    }
    let _ = helper.join();
    Ok(spent)
}
