//! Who ends waits for locks, and whom the kernel kills for want of memory.

use aya_ebpf::{
    EbpfContext, Global, helpers::generated::bpf_get_current_comm, macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use core::intrinsics::{AtomicOrdering, atomic_xadd};
use ctprof_ebpf::{
    abi::{
        COMM_BYTES,
        count_key::{CountKey, flags},
        ledger::reason,
        scope::slot,
    },
    ledger::phase,
    views::moments::abi::{LEAST_NS, WOKEN},
};

use super::maps::OOM_KILLS;
use crate::{
    end,
    kernel::{self, Object},
    rows, scope,
    stack::{self, Place},
    threads,
    time::now_ns,
    wanted,
};

#[unsafe(no_mangle)]
static VICTIM_IS_TASK: Global<u32> = Global::new(0);

/// A thread is about to be woken, by the current one. Argument: the thread. (`sched_wakeup` may come on the other's CPU, where
/// the current thread is any.)
#[btf_tracepoint(function = "sched_waking")]
fn sched_waking(ctx: BtfTracePointContext) -> i32 {
    let task: Object = ctx.arg(0);
    let Some(thread) = threads::get(task) else {
        return 0;
    };
    if thread.clock.phase.get() != phase::BLOCKED || end::is_over() {
        return 0;
    }
    let now_ns = now_ns();
    let since_ns = thread.clock.since_ns.get();
    let waited_ns = now_ns.saturating_sub(since_ns);
    super::waited(task, thread, waited_ns);
    if thread.clock.reason.get() != reason::LOCK
        || !wanted::off_cpu(thread.slot.get())
        || waited_ns < LEAST_NS
    {
        return 0;
    }
    // A time-out comes in an interrupt of whatever runs: that is in no call, or in one that has nothing to do with it, rarely.
    let waker = kernel::current();
    let syscall = kernel::in_call(waker);
    if syscall == 0 || !kernel::has_user_half(waker) || kernel::is_in_exec(waker) {
        return 0;
    }
    let taken = stack::take_user(ctx.as_ptr(), waker, Place::View);
    let mut key = CountKey {
        user_stack: taken.key,
        kernel_stack: 0,
        period: thread.user_stack.get(),
        slot: slot(thread.slot.get()),
        tgid: kernel::tgid(waker),
        exec_id: kernel::exec_id(waker),
        flags: flags::IN_KERNEL | stack::lost(&taken),
        state: WOKEN,
        syscall,
        comm: [0; COMM_BYTES],
    };
    // SAFETY: the helper writes as many bytes as it is told, all zeros where it fails.
    unsafe { bpf_get_current_comm((&raw mut key.comm).cast(), COMM_BYTES as u32) };
    let own = &thread.views.moments;
    own.woken_ns.set(now_ns);
    own.holder.set(key);
    let Some(before) = threads::get(waker) else {
        rows::add(&key, 1, now_ns - since_ns);
        return 0;
    };
    // Who hands the lock on may have waited for it just as long: until then somebody else had it.
    let handed_ns = before.views.moments.woken_ns.get();
    if handed_ns <= since_ns {
        rows::add(&key, 1, now_ns - since_ns);
        return 0;
    }
    rows::add(&key, 1, now_ns - handed_ns);
    let (period, slot) = (key.period, key.slot);
    key = before.views.moments.holder.get();
    (key.period, key.slot) = (period, slot);
    rows::add(&key, 1, handed_ns - since_ns);
    if handed_ns - since_ns > now_ns - handed_ns {
        own.holder.set(key);
    }
    0
}

/// The kernel is going to kill a thread's process because memory is short. Argument: the thread; before Linux 6.8, its number.
#[btf_tracepoint(function = "mark_victim")]
fn oom_kill(ctx: BtfTracePointContext) -> i32 {
    // Before, it is whoever wanted more memory: where a cgroup is at its limit, one of the same.
    let task: Object = if VICTIM_IS_TASK.load() != 0 {
        ctx.arg(0)
    } else {
        kernel::current()
    };
    let slot = slot(scope::find(task));
    if let Some(count) = OOM_KILLS.get_ptr_mut(&slot) {
        // SAFETY: the pointer is to a live map value; other CPUs add to it atomically as well.
        unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(count, 1) };
        return 0;
    }
    let _ = OOM_KILLS.insert(&slot, &1, 0);
    0
}
