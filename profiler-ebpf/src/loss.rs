//! Counting what is lost.

use ctprof_ebpf::abi::loss::Cause;

use crate::maps::LOSSES;

/// One more event lost to `cause`.
#[inline(always)]
pub(crate) fn count(cause: impl Into<Cause>) {
    add(cause, 1);
}

/// Adds so many events lost to `cause`.
#[inline(always)]
pub(crate) fn add(cause: impl Into<Cause>, events: u64) {
    if let Some(counter) = LOSSES.get_ptr_mut(cause.into().0) {
        // SAFETY: the pointer is to this CPU's value. An interrupt between read and write may lose one
        // count of a loss, which is accepted.
        unsafe { *counter += events };
    }
}
