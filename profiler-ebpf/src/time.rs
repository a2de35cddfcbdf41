//! What time it is.

use aya_ebpf::helpers::bpf_ktime_get_ns;

/// Now, in ns of `CLOCK_MONOTONIC`.
#[inline(always)]
pub(crate) fn now_ns() -> u64 {
    // SAFETY: has no precondition.
    unsafe { bpf_ktime_get_ns() }
}
