//! Every map of the object but for those of views. Sizes marked "set at load" are computed by the loader from the plan.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    btf_maps::ArrayOfMaps,
    macros::{btf_map, map},
    maps::{Array, HashMap, LruHashMap, PerCpuArray, Queue, RingBuf},
};
use ctprof_ebpf::{
    abi::{
        count_key::{Count, CountKey},
        ledger::{Account, DelayKey, Present, SYSCALLS, Thread, ThrottleClock},
        loss::Cause,
        stack::StackRecord,
        unwind::{LookedUp, Mappings, Shown, ShownTable},
        wanted::Wanted,
    },
    histogram::BUCKETS,
    timeline::Timeline,
};

mod tables;
mod task_storage;

use tables::Blocks;
use task_storage::TaskStorage;

use crate::walk::{Nearby, Unwound};

/// Cgroup id -> slot and flags. User space fills it, the kernel half adds cgroups that are born below a known
/// one. Set at load.
#[map]
pub(crate) static SCOPE: HashMap<u64, u32> = HashMap::with_max_entries(8_192, 0);

/// Process -> slot and flags of the chosen one that it is or descends from. User space fills it before threads are entered, and
/// empties it afterwards, because process ids are reused. Set at load.
#[map]
pub(crate) static CHOSEN: HashMap<u32, u32> = HashMap::with_max_entries(1, 0);

/// The next slot for a cgroup born while recording, counted from 0.
#[map]
pub(crate) static BORN: Array<u32> = Array::with_max_entries(1, 0);

/// Slot -> the slot of the subtree that its cgroup belongs to. The kernel half fills it at a birth, user space where it
/// gives a slot, or knows better. Set at load.
#[map]
pub(crate) static SUBTREES: Array<u32> = Array::with_max_entries(1, 0);

/// Slot of a subtree -> slots for newborn cgroups that it has taken so far. Set at load.
#[map]
pub(crate) static TAKEN: Array<u32> = Array::with_max_entries(1, 0);

/// Slot of a subtree -> how many of them it has given back so far. User space alone writes it: neither side ever changes
/// what the other counts. Set at load.
#[map]
pub(crate) static RETURNED: Array<u32> = Array::with_max_entries(1, 0);

/// Slots whose cgroups are gone and whose figures user space has taken, the longest free first. Set at load.
#[map]
pub(crate) static FREED: Queue<u32> = Queue::with_max_entries(1, 0);

/// Slot -> its threads, counted by visits; see `ctprof_ebpf::abi::ledger::population`. Set at load.
#[map]
pub(crate) static POPULATION: Array<u64> = Array::with_max_entries(1, 0);

/// What was sampled or waited for -> how often and how long, in two halves: while one counts, user space empties the other. Set at
/// load; preallocated, so that an insert in interrupt context never waits for memory.
#[map]
pub(crate) static COUNTS_A: HashMap<CountKey, Count> = HashMap::with_max_entries(8_192, 0);

/// See [`COUNTS_A`].
#[map]
pub(crate) static COUNTS_B: HashMap<CountKey, Count> = HashMap::with_max_entries(8_192, 0);

/// Which half counts: 0 is A.
#[map]
pub(crate) static ACTIVE: Array<u32> = Array::with_max_entries(1, 0);

/// Hash of a stack -> its addresses. Set at load; 1 KiB an entry. User space empties it while recording.
#[map]
pub(crate) static STACKS: HashMap<u64, StackRecord> = HashMap::with_max_entries(8_192, 0);

/// Slot -> whose stacks are wanted, where that changes while recording. Set at load.
#[map]
pub(crate) static WANTED: Array<Wanted> = Array::with_max_entries(1, 0);

/// Where a stack is assembled before it is stored: entry 0 for user, 1 for kernel, two more for the scheduler's
/// hooks, which a sample may interrupt, one for the task iterator, which both may, one for views, and for samples
/// and the scheduler one each for words of the stack.
#[map]
pub(crate) static SCRATCH: PerCpuArray<StackRecord> = PerCpuArray::with_max_entries(8, 0);

/// Where user stacks are walked before they are stored: by samples, by the scheduler's hooks, by views, and by the task
/// iterator that completes stacks.
#[map]
pub(crate) static UNWOUND: PerCpuArray<Unwound> = PerCpuArray::with_max_entries(4, 0);

/// What the task iterator has read of the memory of a thread whose stack it completes.
#[map]
pub(crate) static NEARBY: PerCpuArray<Nearby> = PerCpuArray::with_max_entries(1, 0);

/// Number of a table -> its blocks. User space makes an array for each file, of the size that it takes.
#[btf_map]
pub(crate) static TABLES: ArrayOfMaps<Blocks, 1> = ArrayOfMaps::new();

/// (exec id, tgid) of a process image -> what it has mapped, where that is to be unwound by tables. Memory is taken as user
/// space fills it, 8 KiB an entry. Set at load.
#[map]
pub(crate) static MAPPINGS: HashMap<u64, Mappings> =
    HashMap::with_max_entries(1, BPF_F_NO_PREALLOC);

/// What a mapping shows -> its table. User space fills it. Set at load.
#[map]
pub(crate) static SHOWN: HashMap<Shown, ShownTable> =
    HashMap::with_max_entries(1, BPF_F_NO_PREALLOC);

/// What user space's own mapping shows that it has asked of: see `probes::files`.
#[map]
pub(crate) static ASKED: Array<LookedUp> = Array::with_max_entries(1, 0);

/// (exec id, tgid) of processes already announced. LRU: an evicted process is only announced again.
#[map]
pub(crate) static PROCESSES: LruHashMap<u64, u8> = LruHashMap::with_max_entries(8_192, 0);

/// Notices to user space: births of cgroups and processes. 256 KiB hold about 480 of them.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(256 * 1024, 0);

/// One counter a cause of loss.
#[map]
pub(crate) static LOSSES: PerCpuArray<u64> = PerCpuArray::with_max_entries(Cause::COUNT, 0);

/// Thread -> its clock. The kernel frees an entry with its thread.
#[unsafe(link_section = ".maps")]
#[unsafe(no_mangle)]
pub(crate) static THREADS: TaskStorage<Thread> = TaskStorage::new();

/// Slot -> what this CPU has charged to it. Set at load.
#[map]
pub(crate) static ACCOUNTS: PerCpuArray<Account> = PerCpuArray::with_max_entries(1, 0);

/// Threads that this CPU has seen begin and end.
#[map]
pub(crate) static PRESENT: PerCpuArray<Present> = PerCpuArray::with_max_entries(1, 0);

/// Slot -> how long its threads waited for a CPU. Shared by all CPUs, because 1 KiB a slot and CPU would be too
/// much on large machines. Set at load.
#[map]
pub(crate) static WAITS: Array<[u64; BUCKETS]> = Array::with_max_entries(1, 0);

/// Slot -> how long its threads were stopped by a quota each time. Set at load.
#[map]
pub(crate) static STOPS: Array<[u64; BUCKETS]> = Array::with_max_entries(1, 0);

/// Who ran lately on this CPU.
#[map]
pub(crate) static TIMELINES: PerCpuArray<Timeline> = PerCpuArray::with_max_entries(1, 0);

/// The delay matrix: who waited while who ran. Pairs that meet, not all that could: 16,384 need 1.2 MiB.
#[map]
pub(crate) static DELAYS: HashMap<DelayKey, u64> = HashMap::with_max_entries(16_384, 0);

/// Number of a system call -> why a thread sleeps in it. User space fills it: numbers are the machine's.
#[map]
pub(crate) static CALL_REASONS: Array<u32> = Array::with_max_entries(SYSCALLS, 0);

/// Queue -> for how long it was stopped; used where the kernel does not keep that itself. Queues are groups x CPUs.
#[map]
pub(crate) static THROTTLES: HashMap<u64, ThrottleClock> = HashMap::with_max_entries(8_192, 0);

/// Quota periods in which a thread was stopped. User space empties it; evicting one only loses the quota colour of its samples.
#[map]
pub(crate) static BURNT: LruHashMap<u64, u8> = LruHashMap::with_max_entries(8_192, 0);

/// What the task iterator is to do, and the number of the visit.
#[map]
pub(crate) static CONTROL: Array<u32> = Array::with_max_entries(2, 0);
