//! Names of the kernel's functions, for states that no structure records. A lookup takes about a microsecond, so it is for rare
//! cases only.

use super::Object;
use aya_ebpf::helpers::generated::{bpf_get_task_stack, bpf_snprintf};
use core::ffi::c_char;

use crate::maps::SCRATCH;

/// How much of a name is read.
const NAME_BYTES: usize = 16;

/// In a read-only map, as the helper wants it.
#[unsafe(no_mangle)]
static SYMBOL_FORMAT: [u8; 4] = *b"%ps\0";

/// The beginning of the name of the function at, or around, this address.
#[inline(always)]
pub(super) fn symbol(address: u64) -> [u8; NAME_BYTES] {
    let mut name = [0; NAME_BYTES];
    let mut address = address;
    // SAFETY: the helper writes at most as many bytes as it is told, and reads one argument.
    unsafe {
        bpf_snprintf(
            name.as_mut_ptr().cast::<c_char>(),
            NAME_BYTES as u32,
            (&raw const SYMBOL_FORMAT).cast(),
            &raw mut address,
            size_of::<u64>() as u32,
        );
    }
    name
}

/// Why a thread sleeps in a system call, where no structure records it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inside {
    /// Unknown.
    Unknown,
    /// Opens a FIFO, whose other end is not open yet.
    Fifo,
    /// Opens a file on which another process has a lease.
    Lease,
    /// Waits for another process to decide about the call (`SECCOMP_RET_USER_NOTIF`).
    Supervisor,
    /// Waits for another process to allow that a file is opened, read or executed (fanotify's `FAN_OPEN_PERM` and the like).
    Fanotify,
    /// Releases a socket that was closed: it has data to send, and lingers.
    Socket,
    /// Releases another file that was closed.
    Release,
}

/// Frames of the kernel stack that are looked at, those of the hook itself included.
const FRAMES: usize = 24;

/// Finds out why a thread sleeps in a system call whose arguments name no open file, by the functions on its kernel stack.
/// `entry` is the scratch entry to use.
#[inline(always)]
pub(crate) fn inside(task: Object, entry: u32) -> Inside {
    let Some(record) = SCRATCH.get_ptr_mut(entry) else {
        return Inside::Unknown;
    };
    // SAFETY: the scratch entry belongs to this CPU, and the helper writes at most the given size.
    let bytes = unsafe {
        bpf_get_task_stack(
            task.cast_mut().cast(),
            (&raw mut (*record).addresses).cast(),
            (FRAMES * size_of::<u64>()) as u32,
            0,
        )
    };
    if bytes <= 0 {
        return Inside::Unknown;
    }
    match inside_by_name(entry, bytes as u64 / size_of::<u64>() as u64) {
        FIFO => Inside::Fifo,
        LEASE => Inside::Lease,
        SUPERVISOR => Inside::Supervisor,
        SOCKET => Inside::Socket,
        RELEASE => Inside::Release,
        FANOTIFY => Inside::Fanotify,
        _ => Inside::Unknown,
    }
}

// What [`inside_by_name`] returns: a global function takes and gives numbers.
const FIFO: u32 = 1;
const LEASE: u32 = 2;
const SUPERVISOR: u32 = 3;
const SOCKET: u32 = 4;
const RELEASE: u32 = 5;
const FANOTIFY: u32 = 6;

/// The same for this many addresses in the scratch entry, the innermost function first.
///
/// A global function: see `main.rs`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn inside_by_name(entry: u32, frames: u64) -> u32 {
    let Some(record) = SCRATCH.get_ptr(entry) else {
        return 0;
    };
    for index in 0..FRAMES {
        if index as u64 >= frames {
            break;
        }
        // SAFETY: the pointer is to a live map value, and the index is below the array's length.
        let name = symbol(unsafe { (*record).addresses[index] });
        match name {
            [b'f', b'i', b'f', b'o', b'_', b'o', b'p', b'e', b'n', ..] => return FIFO,
            [b'_', b'_', b'b', b'r', b'e', b'a', b'k', b'_', b'l', ..] => return LEASE,
            [b's', b'e', b'c', b'c', b'o', b'm', b'p', b'_', ..]
            | [b'_', b'_', b's', b'e', b'c', b'c', b'o', b'm', b'p', ..] => return SUPERVISOR,
            [b's', b'o', b'c', b'k', b'_', b'c', b'l', b'o', b's', ..]
            | [b'_', b'_', b's', b'o', b'c', b'k', b'_', b'r', b'e', ..] => return SOCKET,
            [b'_', b'_', b'f', b'p', b'u', b't', ..] => return RELEASE,
            [b'f', b'a', b'n', b'o', b't', b'i', b'f', b'y', b'_', ..] => return FANOTIFY,
            _ => {}
        }
    }
    0
}
