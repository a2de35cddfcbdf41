//! Whose is it: task -> slot, and slots for cgroups that are born while recording.

use aya_ebpf::Global;
use core::intrinsics::{AtomicOrdering, atomic_xadd};
use ctprof_ebpf::abi::{
    loss::Loss,
    scope::{RECORDED, SLOT_HOST, SLOT_KERNEL, is_recorded, slot},
};

use crate::{
    kernel::{self, Object},
    loss,
    maps::{BORN, FREED, SCOPE},
};

#[unsafe(no_mangle)]
static RECORD_HOST: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static FIRST_BORN: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static SLOTS: Global<u32> = Global::new(0);

/// The slot that a task belongs to, with its flags (see `ctprof_ebpf::abi::scope`).
#[inline(always)]
pub(crate) fn find(task: Object) -> u32 {
    find_in(task, kernel::group(task))
}

/// The same of a task with this [`kernel::group`].
#[inline(always)]
pub(crate) fn find_in(task: Object, group: Object) -> u32 {
    let flags = if RECORD_HOST.load() == 1 { RECORDED } else { 0 };
    if kernel::is_kernel_thread(task) {
        return SLOT_KERNEL | flags;
    }
    let id = kernel::cgroup_id_of(group);
    // SAFETY: values are written once, before the entry can be found.
    match unsafe { SCOPE.get(id) } {
        Some(value) => *value,
        None => SLOT_HOST | flags,
    }
}

/// The slot under which a task is recorded; `None` if it is not.
#[inline(always)]
pub(crate) fn slot_of(task: Object) -> Option<u32> {
    let value = find(task);
    is_recorded(value).then_some(slot(value))
}

/// Gives a newborn cgroup a slot if its parent has one, and records it if its parent is recorded.
#[inline(always)]
pub(crate) fn adopt(id: u64, parent: u64) -> Option<u32> {
    // SAFETY: values are written once, before the entry can be found.
    let parent = unsafe { SCOPE.get(parent) }?;
    let flags = *parent & RECORDED;
    let Some(slot) = free_slot() else {
        loss::count(Loss::ScopeFull);
        return None;
    };
    if SCOPE.insert(id, slot | flags, 0).is_err() {
        loss::count(Loss::ScopeFull);
        return None;
    }
    Some(slot)
}

/// A slot that no cgroup had yet; when there is none left, the one that has been free for longest.
#[inline(always)]
fn free_slot() -> Option<u32> {
    let born = BORN.get_ptr_mut(0)?;
    let first = FIRST_BORN.load();
    let range = SLOTS.load().saturating_sub(first);
    // SAFETY: the pointer is to a live array element. The ordering has to be SeqCst: for a relaxed addition
    // LLVM's BPF backend picks the instruction that does not fetch, and the "old value" is then the operand.
    unsafe {
        // Looked at first, so that the number does not wrap in a life of years.
        if *born < range {
            let number = atomic_xadd::<u32, u32, { AtomicOrdering::SeqCst }>(born, 1);
            if number < range {
                return Some(first + number);
            }
        }
    }
    FREED.pop().ok().flatten()
}
