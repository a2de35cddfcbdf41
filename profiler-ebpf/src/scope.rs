//! Whose is it: task -> slot, and slots for cgroups that are born while recording.

use aya_ebpf::Global;
use core::intrinsics::{AtomicOrdering, atomic_xadd};
use ctprof_ebpf::abi::{
    loss::Loss,
    scope::{SLOT_FIRST_BORN, SLOT_HOST, SLOT_KERNEL, SLOTS},
};

use crate::{
    kernel::{self, Object},
    loss,
    maps::{BORN, SCOPE},
};

#[unsafe(no_mangle)]
static RECORD_HOST: Global<u32> = Global::new(0);

/// The slot under which a task is recorded; `None` if it is not.
#[inline(always)]
pub(crate) fn slot_of(task: Object) -> Option<u32> {
    let everything = RECORD_HOST.load() == 1;
    if kernel::is_kernel_thread(task) {
        return everything.then_some(SLOT_KERNEL);
    }
    let id = kernel::cgroup_id_of_task(task);
    // SAFETY: slots are written once, before the entry can be found.
    match unsafe { SCOPE.get(id) } {
        Some(slot) => Some(*slot),
        None => everything.then_some(SLOT_HOST),
    }
}

/// Gives a newborn cgroup a slot if its parent has one.
#[inline(always)]
pub(crate) fn adopt(id: u64, parent: u64) -> Option<u32> {
    SCOPE.get_ptr(parent)?;
    let born = BORN.get_ptr_mut(0)?;
    // SAFETY: the pointer is to a live array element. The ordering has to be SeqCst: for a relaxed addition
    // LLVM's BPF backend picks the instruction that does not fetch, and the "old value" is then the operand.
    let number = unsafe { atomic_xadd::<u32, u32, { AtomicOrdering::SeqCst }>(born, 1) };
    let slot = SLOT_FIRST_BORN.saturating_add(number);
    if slot >= SLOTS || SCOPE.insert(id, slot, 0).is_err() {
        loss::count(Loss::ScopeFull);
        return None;
    }
    Some(slot)
}
