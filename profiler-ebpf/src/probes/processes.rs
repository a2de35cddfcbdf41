//! Tells user space which program images exist, early enough to open their binaries before they exit.

use aya_ebpf::{helpers::bpf_ktime_get_ns, macros::btf_tracepoint, programs::BtfTracePointContext};
use ctprof_ebpf::abi::{
    event::{Event, PROCESS_EXEC, PROCESS_SEEN, THREADS_MOVED},
    loss::Loss,
};

use crate::{
    kernel::{self, Object},
    loss,
    maps::{EVENTS, PROCESSES},
    scope,
};

/// Announces a process image the first time it is sampled.
#[inline(always)]
pub(crate) fn announce(task: Object, slot: u32, tgid: u32, exec_id: u32) {
    let key = u64::from(exec_id) << 32 | u64::from(tgid);
    if PROCESSES.get_ptr(key).is_none() {
        let _ = PROCESSES.insert(key, 1, 0);
        send(PROCESS_SEEN, task, slot);
    }
}

/// Announces a process image once more.
#[inline(always)]
pub(crate) fn announce_again(task: Object, slot: u32) {
    send(PROCESS_SEEN, task, slot);
}

/// A watched process replaced its image. Arguments: task, old pid, binary.
#[btf_tracepoint(function = "sched_process_exec")]
fn process_exec(ctx: BtfTracePointContext) -> i32 {
    let task: Object = ctx.arg(0);
    if let Some(slot) = scope::slot_of(task) {
        send(PROCESS_EXEC, task, slot);
    }
    0
}

/// Threads of this process were moved to another cgroup.
#[inline(always)]
pub(crate) fn moved(task: Object) {
    send(THREADS_MOVED, task, 0);
}

#[inline(always)]
fn send(kind: u32, task: Object, slot: u32) {
    let Some(mut entry) = EVENTS.reserve::<Event>(0) else {
        loss::count(Loss::EventDropped);
        return;
    };
    let (parent_tgid, parent_exec_id) = kernel::same_parent(task).unwrap_or_default();
    let event = entry.as_mut_ptr();
    // SAFETY: the entry is ours until it is submitted, and large enough for an `Event`.
    unsafe {
        (*event).kind = kind;
        (*event).slot = slot;
        (*event).tgid = kernel::tgid(task);
        (*event).exec_id = kernel::exec_id(task);
        (*event).parent_tgid = parent_tgid;
        (*event).parent_exec_id = parent_exec_id;
        (*event).id = bpf_ktime_get_ns();
        (*event).path[0] = 0;
    }
    entry.submit(0);
}
