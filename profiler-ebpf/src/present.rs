//! How many threads have begun in the ledger and not ended, so that whoever closes it can wait for those that no visit sees: a
//! thread that exits is taken out of the kernel's tables well before its last switch, and a newborn one comes into them
//! before its parent has entered it.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use crate::maps::PRESENT;

/// A thread, or the division of a thread's time, begins. Called before anything of it is booked.
#[inline(always)]
pub(crate) fn begins() {
    if let Some(present) = PRESENT.get_ptr_mut(0) {
        // SAFETY: the pointer is to this CPU's value, and the addition is atomic because a hook may interrupt another.
        unsafe { add(&raw mut (*present).begun) };
    }
}

/// It has ended. Called after everything of it is booked.
#[inline(always)]
pub(crate) fn ends() {
    if let Some(present) = PRESENT.get_ptr_mut(0) {
        // SAFETY: as above.
        unsafe { add(&raw mut (*present).ended) };
    }
}

/// Sequentially consistent, because a beginning has to be visible before whoever counts it looks whether the ledger is open.
#[inline(always)]
unsafe fn add(counter: *mut u64) {
    // SAFETY: the caller's pointer is to this CPU's value.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::SeqCst }>(counter, 1) };
}
