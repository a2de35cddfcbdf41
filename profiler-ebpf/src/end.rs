//! The moment at which the ledger ends. Hooks leave threads alone from then on, so that the visit that takes every thread
//! out has them for itself: a hook and a visit that close the same interval at once would charge it twice.

use ctprof_ebpf::shared::Shared;

use crate::time::now_ns;

/// In memory of the programs' own: no lookup.
#[unsafe(no_mangle)]
static END_NS: Shared<u64> = Shared::new(0);

/// When it was, by `CLOCK_MONOTONIC`; 0 while the ledger goes on.
#[inline(always)]
pub(crate) fn ns() -> u64 {
    END_NS.get()
}

/// Whether the ledger has ended.
#[inline(always)]
pub(crate) fn is_over() -> bool {
    ns() != 0
}

/// It ends now; there is one visit at a time that says so. Hooks that have begun before may still be at work: the next visit
/// has to come after an RCU grace period.
#[inline(always)]
pub(crate) fn begin() {
    if !is_over() {
        END_NS.set(now_ns());
    }
}
