//! Notices to user space, through the `EVENTS` ring buffer: the only place that writes to it.

use core::{ffi::c_char, mem::MaybeUninit};

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use ctprof_ebpf::abi::{
    event::{Event, PATH_BYTES},
    loss::{Cause, Loss},
};

use crate::{loss, maps::EVENTS};

/// An [`Event`] without its path.
#[derive(Clone, Copy, Default)]
pub(crate) struct Notice {
    pub(crate) kind: u32,
    pub(crate) slot: u32,
    pub(crate) tgid: u32,
    pub(crate) exec_id: u32,
    pub(crate) parent_tgid: u32,
    pub(crate) parent_exec_id: u32,
    pub(crate) id: u64,
}

/// Sends a notice without a path. What it says is asked for only if there is room for it.
#[inline(always)]
pub(crate) fn send(notice: impl FnOnce() -> Notice) {
    send_event(notice, |event| {
        // SAFETY: the pointer is to an entry that is ours until it is submitted.
        unsafe { (*event).path[0] = 0 };
    });
}

/// The same with a path: a string of the kernel's.
#[inline(always)]
pub(crate) fn send_with_path(notice: impl FnOnce() -> Notice, path: *const c_char) {
    send_event(notice, |event| {
        // SAFETY: the pointer is to an entry that is ours until it is submitted; the helper writes at most PATH_BYTES and
        // ends the string with NUL.
        unsafe {
            bpf_probe_read_kernel_str(
                (&raw mut (*event).path).cast(),
                PATH_BYTES as u32,
                path.cast(),
            );
        }
    });
}

#[inline(always)]
fn send_event(notice: impl FnOnce() -> Notice, write_path: impl FnOnce(*mut Event)) {
    send_as::<Event>(Loss::EventDropped, |entry| {
        let notice = notice();
        let event = entry.as_mut_ptr();
        // SAFETY: the entry is large enough for an `Event`.
        unsafe {
            (*event).kind = notice.kind;
            (*event).slot = notice.slot;
            (*event).tgid = notice.tgid;
            (*event).exec_id = notice.exec_id;
            (*event).parent_tgid = notice.parent_tgid;
            (*event).parent_exec_id = notice.parent_exec_id;
            (*event).id = notice.id;
        }
        write_path(event);
    });
}

/// Sends what `write` makes of an entry, all of which it has to set; one more lost to `cause` if there is no room.
#[inline(always)]
pub(crate) fn send_as<T: 'static>(
    cause: impl Into<Cause>,
    write: impl FnOnce(&mut MaybeUninit<T>),
) {
    let Some(mut entry) = EVENTS.reserve::<T>(0) else {
        loss::count(cause);
        return;
    };
    write(&mut entry);
    entry.submit(0);
}
