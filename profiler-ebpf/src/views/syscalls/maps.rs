//! The maps of system calls. Sizes marked "set at load" are computed by the loader from the plan.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    macros::map,
    maps::{Array, HashMap, PerCpuArray},
};
use ctprof_ebpf::views::syscalls::abi::{
    CachedRow, CallKey, CallRow, Running, SLOW_RATES, SlowRate,
};

/// What became of system calls. Set at load; memory is taken as rows are used, 96 bytes a row.
#[map]
pub(super) static CALLS: HashMap<CallKey, CallRow> =
    HashMap::with_max_entries(1, BPF_F_NO_PREALLOC);

/// The rows of [`CALLS`] that this CPU counts in now: a hit costs no hash lookup and no atomic addition. 20 KiB a
/// CPU. Set at load.
#[map]
pub(super) static CALL_CACHE: PerCpuArray<CachedRow> = PerCpuArray::with_max_entries(1, 0);

/// The call that this CPU's thread is in: `sched_switch` exchanges it, so that calls need no task storage.
#[map]
pub(super) static RUNNING: PerCpuArray<Running> = PerCpuArray::with_max_entries(1, 0);

/// How many slow calls of a slot this CPU has sent, by the rest of its number: see `SLOW_RATES`.
#[map]
pub(super) static SLOW_RATE: PerCpuArray<SlowRate> = PerCpuArray::with_max_entries(SLOW_RATES, 0);

/// 1 for calls that the profile in question would deny. User space fills it. Set at load.
#[map]
pub(super) static JUDGED_CALLS: Array<u32> = Array::with_max_entries(1, 0);
