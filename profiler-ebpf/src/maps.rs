//! Every map of the object. Sizes marked "set at load" are computed by the loader from the plan.

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use ctprof_ebpf::abi::{count_key::CountKey, loss::Loss, scope, stack::StackRecord};

/// Cgroup id -> slot. User space fills it, the kernel half adds cgroups that are born below a known one.
#[map]
pub(crate) static SCOPE: HashMap<u64, u32> = HashMap::with_max_entries(scope::SLOTS, 0);

/// The next slot for a cgroup born while recording, counted from 0.
#[map]
pub(crate) static BORN: Array<u32> = Array::with_max_entries(1, 0);

/// What was sampled -> how often, in two halves: while one counts, user space empties the other. Set at
/// load; preallocated, so that an insert in interrupt context never waits for memory.
#[map]
pub(crate) static COUNTS_A: HashMap<CountKey, u64> = HashMap::with_max_entries(8_192, 0);

/// See [`COUNTS_A`].
#[map]
pub(crate) static COUNTS_B: HashMap<CountKey, u64> = HashMap::with_max_entries(8_192, 0);

/// Which half counts: 0 is A.
#[map]
pub(crate) static ACTIVE: Array<u32> = Array::with_max_entries(1, 0);

/// Hash of a stack -> its addresses. Set at load; 1 KiB an entry. User space empties it while recording.
#[map]
pub(crate) static STACKS: HashMap<u64, StackRecord> = HashMap::with_max_entries(8_192, 0);

/// Where a stack is assembled before it is stored: entry 0 for user, 1 for kernel.
#[map]
pub(crate) static SCRATCH: PerCpuArray<StackRecord> = PerCpuArray::with_max_entries(2, 0);

/// (exec id, tgid) of processes already announced. LRU: forgetting one only announces it again.
#[map]
pub(crate) static PROCESSES: LruHashMap<u64, u8> = LruHashMap::with_max_entries(8_192, 0);

/// Notices to user space: births of cgroups and processes. 256 KiB hold about 480 of them.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(256 * 1024, 0);

/// One counter a cause of loss.
#[map]
pub(crate) static LOSSES: PerCpuArray<u64> = PerCpuArray::with_max_entries(Loss::COUNT, 0);
