//! The ring of one CPU: pages that the kernel writes records into, and where each side is.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, FromRawFd as _};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use perf_event::Clock;
use perf_event::events::Software;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::record::{HEADER, Record, decode, length};

/// Bytes for records, a power of two: what is written in a tenth of a second when 2,000 programs start in it.
const DATA_BYTES: usize = 256 * 1024;

/// `PERF_SAMPLE_TIME`.
const SAMPLE_TIME: u64 = 1 << 2;
/// `PERF_FLAG_FD_CLOEXEC` of perf_event_open(2).
const CLOSE_ON_EXEC: libc::c_ulong = 1 << 3;

/// Where `data_head` and `data_tail` are in `struct perf_event_mmap_page`, which the kernel promises not to change.
const DATA_HEAD: usize = 1024;
const DATA_TAIL: usize = 1032;

/// The records of one CPU.
pub(super) struct Ring {
    pages: NonNull<u8>,
    page_bytes: usize,
    /// Kept open: the kernel writes as long as it is.
    _event: File,
}

// SAFETY: the pages belong to this value alone; the kernel, the only other writer, does not care which thread reads.
unsafe impl Send for Ring {}

impl Ring {
    /// Has the kernel write down what happens on `cpu` from now on.
    pub(super) fn open(cpu: u32) -> io::Result<Self> {
        let mut builder = perf_event::Builder::new().kind(Software::DUMMY);
        builder
            .enabled(true)
            .mmap(true)
            .mmap2(true)
            .comm(true)
            .comm_exec(true)
            .task(true)
            .build_id(true)
            .sample_id_all(true)
            .clockid(Clock::MONOTONIC);
        // Reading is by the clock: nobody is to be woken.
        builder.wakeup_watermark(DATA_BYTES);
        let attributes = builder.attrs_mut();
        attributes.sample_type = SAMPLE_TIME;
        attributes.read_format = 0;
        // SAFETY: perf_event_open(attr, pid, cpu, group, flags) reads `attr`, whose size is in itself and which lives
        // as long as the builder.
        let opened = unsafe {
            libc::syscall(
                libc::SYS_perf_event_open,
                std::ptr::from_ref(builder.attrs()),
                -1,
                cpu.cast_signed(),
                -1,
                CLOSE_ON_EXEC,
            )
        };
        let event = match i32::try_from(opened) {
            // SAFETY: the kernel has just made this descriptor, nobody else knows it.
            Ok(fd) if fd >= 0 => unsafe { File::from_raw_fd(fd) },
            _ => return Err(io::Error::last_os_error()),
        };
        let page_bytes = rustix::param::page_size();
        // SAFETY: a new mapping at an address that the kernel chooses changes nothing that is there.
        let pages = unsafe {
            mmap(
                std::ptr::null_mut(),
                page_bytes + DATA_BYTES,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                event.as_fd(),
                0,
            )
        }?;
        let pages = NonNull::new(pages.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self {
            pages,
            page_bytes,
            _event: event,
        })
    }

    fn position(&self, at: usize) -> &AtomicU64 {
        // SAFETY: the first page is mapped as long as this value lives; both positions are aligned, and the kernel and
        // we access them atomically.
        unsafe { self.pages.add(at).cast().as_ref() }
    }

    /// Hands over what was written until now: no more than the ring holds.
    pub(super) fn take(&mut self, mut to: impl FnMut(Record)) {
        let head = self.position(DATA_HEAD).load(Ordering::Acquire);
        let mut tail = self.position(DATA_TAIL).load(Ordering::Relaxed);
        let mut buffer = Vec::new();
        while tail < head {
            let mut header = [0; HEADER];
            self.copy(tail, &mut header);
            let length = length(header);
            if length < HEADER || length as u64 > head - tail {
                // Never seen; to go on from here would be to guess.
                tail = head;
                break;
            }
            buffer.resize(length, 0);
            self.copy(tail, &mut buffer);
            if let Some(record) = decode(&buffer) {
                to(record);
            }
            tail += length as u64;
        }
        self.position(DATA_TAIL).store(tail, Ordering::Release);
    }

    /// Copies out of the data, which begins again at its end.
    fn copy(&self, from: u64, to: &mut [u8]) {
        let from = usize::try_from(from % DATA_BYTES as u64).unwrap_or(0);
        let first = to.len().min(DATA_BYTES - from);
        // SAFETY: both parts lie within the data pages, which follow the first page; the kernel does not write
        // where we have not yet said that we have read.
        unsafe {
            let data = self.pages.add(self.page_bytes);
            let out = to.as_mut_ptr();
            data.add(from)
                .copy_to_nonoverlapping(NonNull::new_unchecked(out), first);
            let rest = NonNull::new_unchecked(out.add(first));
            data.copy_to_nonoverlapping(rest, to.len() - first);
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: nothing refers to the pages any more.
        let _ = unsafe { munmap(self.pages.as_ptr().cast(), self.page_bytes + DATA_BYTES) };
    }
}
