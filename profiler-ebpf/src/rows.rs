//! The rows that samples and intervals are counted in.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use aya_ebpf::maps::HashMap;
use ctprof_ebpf::abi::{
    count_key::{Count, CountKey},
    loss::Loss,
};

use crate::{
    loss,
    maps::{ACTIVE, COUNTS_A, COUNTS_B},
};

const BPF_NOEXIST: u64 = 1;

/// Adds so many to the row of this key, which took `ns` in all.
#[inline(always)]
pub(crate) fn add(key: &CountKey, times: u64, ns: u64) {
    count_row(key, times, ns);
}

/// A global function: see `main.rs`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn count_row(key: *const CountKey, times: u64, ns: u64) -> u32 {
    // SAFETY: the callers' key is on their stack; it is checked because the verifier asks for that.
    let Some(key) = (unsafe { key.as_ref() }) else {
        return 0;
    };
    // Before 6.2 an argument cannot be a map's key, something on the stack can.
    let key = &{ *key };
    let half = ACTIVE.get(0).copied().unwrap_or_default();
    if half == 0 {
        add_to(&COUNTS_A, key, times, ns)
    } else {
        add_to(&COUNTS_B, key, times, ns)
    }
    0
}

#[inline(always)]
fn add_to(counts: &HashMap<CountKey, Count>, key: &CountKey, times: u64, ns: u64) {
    let row = counts.get_ptr_mut(key).or_else(|| {
        // Another CPU may insert first (EEXIST): then both add to its row.
        let _ = counts.insert(key, Count::default(), BPF_NOEXIST);
        counts.get_ptr_mut(key)
    });
    match row {
        // SAFETY: the pointer is to a live map value; other CPUs add to it atomically as well.
        Some(row) => unsafe {
            atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(&raw mut (*row).count, times);
            atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(&raw mut (*row).ns, ns);
        },
        None => loss::count(Loss::CountMapFull),
    }
}
