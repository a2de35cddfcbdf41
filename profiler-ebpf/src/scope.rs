//! Whose is it: task -> slot, and slots for cgroups that are born while recording.

use aya_ebpf::{Global, helpers::generated::bpf_loop};
use core::{
    ffi::c_void,
    intrinsics::{AtomicOrdering, atomic_xadd},
    ptr,
};
use ctprof_ebpf::abi::{
    loss::Loss,
    scope::{RECORDED, SLOT_HOST, SLOT_KERNEL, is_recorded, is_shared, of_thread, slot},
};

use crate::{
    kernel::{self, Object},
    loss,
    maps::{BORN, CHOSEN, FREED, RETURNED, SCOPE, SUBTREES, TAKEN},
    threads, wanted,
};

#[unsafe(no_mangle)]
static RECORD_HOST: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static BY_PROCESS: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static FIRST_BORN: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static SLOTS: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static SHARE: Global<u32> = Global::new(0);

/// How far up a cgroup without a slot looks for one that has a slot.
const LEVELS: u32 = 256;

/// The slot that a task belongs to, with whether it is recorded (see `ctprof_ebpf::abi::scope`).
#[inline(always)]
pub(crate) fn find(task: Object) -> u32 {
    find_in(task, kernel::group(task))
}

/// Slot and flags of the chosen process that a thread, which is being entered, is of or descends from; 0 for none. A
/// newborn one descends from its creator, which is the current thread. Visits, which enter the others, come to parents
/// before children, but for process ids that have wrapped: user space chooses descendants as well.
#[inline(always)]
pub(crate) fn process_of(task: Object, is_born: bool) -> u32 {
    if BY_PROCESS.load() == 0 {
        return 0;
    }
    let of = if is_born { kernel::current() } else { task };
    let above = if is_born { of } else { kernel::parent(task) };
    if let Some(thread) = threads::get(above) {
        // Does not change once the thread is in.
        let value = thread.process.get();
        if value != 0 {
            return value;
        }
    }
    // SAFETY: user space does not change entries while threads are entered.
    let chosen = unsafe { CHOSEN.get(kernel::tgid(of)) };
    chosen.copied().unwrap_or_default()
}

/// The same of a thread that is in the ledger.
#[inline(always)]
fn process(task: Object) -> Option<u32> {
    if BY_PROCESS.load() == 0 {
        return None;
    }
    let value = threads::get(task)?.process.get();
    (value != 0).then_some(value)
}

/// The same of a task with this [`kernel::group`].
#[inline(always)]
pub(crate) fn find_in(task: Object, group: Object) -> u32 {
    if let Some(value) = process(task) {
        return value;
    }
    let flags = if RECORD_HOST.load() == 1 { RECORDED } else { 0 };
    if kernel::is_kernel_thread(task) {
        return SLOT_KERNEL | flags;
    }
    let cgroup = kernel::cgroup_of(group);
    // SAFETY: the slot of an entry never changes.
    if let Some(value) = unsafe { SCOPE.get(kernel::cgroup_id(cgroup)) } {
        return of_thread(*value);
    }
    match nearest(kernel::cgroup_address(group)) {
        0 => SLOT_HOST | flags,
        value => of_thread(value),
    }
}

/// The slot under which a task is recorded; `None` if it is not.
#[inline(always)]
pub(crate) fn slot_of(task: Object) -> Option<u32> {
    let value = find(task);
    is_recorded(value).then_some(slot(value))
}

/// A climb from a cgroup towards the root, as [`climb`] sees it.
#[repr(C)]
struct Climb {
    cgroup: u64,
    value: u32,
    padding: u32,
}

/// The entry of the nearest cgroup above that has one; 0, which is no valid entry, if there is none.
///
/// A global function: see `main.rs`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn nearest(cgroup: u64) -> u32 {
    let mut climbing = Climb {
        cgroup,
        value: 0,
        padding: 0,
    };
    // SAFETY: the callback takes what it is given here.
    unsafe {
        bpf_loop(
            LEVELS,
            climb as *mut c_void,
            ptr::from_mut(&mut climbing).cast(),
            0,
        )
    };
    // The callback wrote it, which LLVM cannot know.
    // SAFETY: a reference to a live local.
    unsafe { ptr::read_volatile(&raw const climbing.value) }
}

/// One level up; 1 ends the climb.
extern "C" fn climb(_: u64, climbing: *mut Climb) -> i64 {
    // SAFETY: `nearest` passes its own local.
    let climbing = unsafe { &mut *climbing };
    let Some((cgroup, id)) = kernel::above(climbing.cgroup) else {
        return 1;
    };
    climbing.cgroup = cgroup;
    // SAFETY: the slot of an entry never changes.
    if let Some(value) = unsafe { SCOPE.get(id) } {
        climbing.value = *value;
        return 1;
    }
    0
}

/// Gives a newborn cgroup a slot if one above has one, and records it if that is recorded.
///
/// Births come one after the other: the kernel holds `cgroup_mutex`.
#[inline(always)]
pub(crate) fn adopt(cgroup: Object, id: u64) -> Option<u32> {
    // SAFETY: the slot of an entry never changes.
    let above = match unsafe { SCOPE.get(kernel::parent_cgroup_id(cgroup)) } {
        Some(value) => *value,
        None => match nearest(kernel::above(cgroup as u64)?.0) {
            // Not even the root has an entry yet: the listing will find this one.
            0 => return None,
            // Only user space knows which subtree it belongs to.
            value if is_shared(value) => {
                loss::count(Loss::ScopeFull);
                return None;
            }
            value => value,
        },
    };
    let subtree = if is_shared(above) {
        None
    } else {
        SUBTREES.get(slot(above)).copied()
    };
    if let Some(subtree) = subtree
        && !take(subtree)
    {
        loss::count(Loss::SubtreeFull);
        return None;
    }
    let slot = free_slot();
    if let Some(slot) = slot
        && let Some(entry) = SUBTREES.get_ptr_mut(slot)
        && {
            // SAFETY: the pointer is to a live array element. Written before the entry can be found.
            unsafe { *entry = subtree.unwrap_or(slot) };
            wanted::inherit(slot, above);
            SCOPE.insert(id, slot | above & RECORDED, 0).is_ok()
        }
    {
        return Some(slot);
    }
    if let Some(subtree) = subtree
        && let Some(taken) = TAKEN.get_ptr_mut(subtree)
    {
        // SAFETY: the pointer is to a live array element, which only births write to.
        unsafe { *taken = (*taken).wrapping_sub(1) };
    }
    loss::count(Loss::ScopeFull);
    None
}

/// Takes a slot out of this subtree's share for newborns; false if the share is used up.
#[inline(always)]
fn take(subtree: u32) -> bool {
    let returned = RETURNED.get(subtree).copied().unwrap_or_default();
    let Some(taken) = TAKEN.get_ptr_mut(subtree) else {
        return false;
    };
    // SAFETY: the pointer is to a live array element, which only births write to.
    unsafe {
        // Both counters may wrap after years of uptime.
        if (*taken).wrapping_sub(returned) >= SHARE.load() {
            return false;
        }
        *taken = (*taken).wrapping_add(1);
    }
    true
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
        // Read before it is raised, so that it does not wrap after years of uptime.
        if *born < range {
            let number = atomic_xadd::<u32, u32, { AtomicOrdering::SeqCst }>(born, 1);
            if number < range {
                return Some(first + number);
            }
        }
    }
    FREED.pop().ok().flatten()
}
