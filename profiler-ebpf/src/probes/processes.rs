//! Tells user space which program images exist, early enough to open their binaries before they exit.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use ctprof_ebpf::abi::{
    event::{PROCESS_EXEC, PROCESS_SEEN, THREADS_MOVED},
    scope::RECORDED,
    unwind::image,
};

use crate::{
    kernel::{self, Object},
    maps::PROCESSES,
    notices::{self, Notice},
    scope,
    time::now_ns,
    wanted,
};

/// Announces a process image the first time it is sampled.
#[inline(always)]
pub(crate) fn announce(task: Object, slot: u32, tgid: u32, exec_id: u32) {
    let key = image(tgid, exec_id);
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
    if let Some(slot) = scope::slot_of(task)
        && wanted::processes(slot | RECORDED)
    {
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
    notices::send(|| {
        let (parent_tgid, parent_exec_id) = kernel::same_parent(task).unwrap_or_default();
        Notice {
            kind,
            slot,
            tgid: kernel::tgid(task),
            exec_id: kernel::exec_id(task),
            parent_tgid,
            parent_exec_id,
            id: now_ns(),
        }
    });
}
