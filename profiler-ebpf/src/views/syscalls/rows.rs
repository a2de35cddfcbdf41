//! The rows that calls are counted in: few at a time, so each CPU has a cache of them, and all CPUs share the rest.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use ctprof_ebpf::views::syscalls::abi::{CachedRow, CallKey, CallRow, Lost};

use super::maps::{CALL_CACHE, CALLS};
use crate::loss;

const BPF_NOEXIST: u64 = 1;

/// One call, of which no time is known.
pub(super) const ONE: CallRow = CallRow {
    count: 1,
    sum_ns: 0,
    off_cpu_ns: 0,
    max_ns: 0,
};

/// Counts a call in this CPU's cache.
#[inline(always)]
pub(super) fn count(key: CallKey, ns: u64, off_cpu_ns: u64) {
    let Some(cached) = CALL_CACHE.get_ptr_mut(key.place()) else {
        return;
    };
    // SAFETY: this CPU's value; returns from system calls do not interrupt each other.
    let cached = unsafe { &mut *cached };
    if cached.key != key {
        give_back(cached);
        cached.key = key;
        cached.row = CallRow::default();
    }
    let row = &mut cached.row;
    row.count += 1;
    row.sum_ns += ns;
    row.off_cpu_ns += off_cpu_ns;
    if ns > row.max_ns {
        row.max_ns = ns;
    }
}

/// Makes a place in the cache free.
///
/// A global function: see `main.rs`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn give_back(cached: *const CachedRow) -> u32 {
    // SAFETY: the caller's pointer is to a live map value; it is checked because the verifier asks for that.
    if let Some(cached) = unsafe { cached.as_ref() }
        && cached.key.is_call()
    {
        add(cached.key, &cached.row);
    }
    0
}

/// Adds to a row that all CPUs share.
#[inline(always)]
pub(super) fn add(key: CallKey, more: &CallRow) {
    if CALLS.get_ptr(key).is_none() {
        // Another CPU may insert first (EEXIST): then both add to its row.
        let _ = CALLS.insert(key, CallRow::default(), BPF_NOEXIST);
    }
    let Some(row) = CALLS.get_ptr_mut(key) else {
        loss::add(Lost::MapFull, more.count);
        return;
    };
    // SAFETY: the pointer is to a live map value; other CPUs add to it atomically as well. A maximum that two CPUs
    // raise at once may be the smaller of theirs.
    unsafe {
        atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(&raw mut (*row).count, more.count);
        atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(&raw mut (*row).sum_ns, more.sum_ns);
        atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(
            &raw mut (*row).off_cpu_ns,
            more.off_cpu_ns,
        );
        if more.max_ns > (*row).max_ns {
            (*row).max_ns = more.max_ns;
        }
    }
}
