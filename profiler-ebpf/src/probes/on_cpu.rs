//! On-CPU sampling: runs on every CPU at the sampling frequency, in interrupt context.

use aya_ebpf::{
    EbpfContext, helpers::bpf_get_current_comm, macros::perf_event, maps::HashMap,
    programs::PerfEventContext,
};
use core::intrinsics::{AtomicOrdering, atomic_xadd};
use ctprof_ebpf::abi::{
    count_key::{CountKey, flags},
    loss::Loss,
    stack::MAX_FRAMES,
};

use super::processes;
use crate::{
    kernel, loss,
    maps::{ACTIVE, COUNTS_A, COUNTS_B},
    scope,
    stack::{self, Side, Taken},
};

const BPF_NOEXIST: u64 = 1;

/// Counts one sample of what this CPU is doing.
#[perf_event]
fn on_cpu(ctx: PerfEventContext) -> u32 {
    sample(&ctx);
    0
}

#[inline(always)]
fn sample(ctx: &PerfEventContext) {
    // The idle task has pid 0: nobody's time.
    if ctx.pid() == 0 {
        return;
    }
    let task = kernel::current();
    let Some(slot) = scope::slot_of(task) else {
        return;
    };
    let mut key = CountKey {
        slot,
        tgid: kernel::tgid(task),
        exec_id: kernel::exec_id(task),
        comm: bpf_get_current_comm().unwrap_or_default(),
        ..CountKey::default()
    };

    let in_kernel = stack::take(ctx.as_ptr(), Side::Kernel);
    if in_kernel.unreadable {
        loss::count(Loss::KernelStackUnreadable);
    }
    // The kernel half of a stack is empty when the interrupt hit user mode.
    if in_kernel.frames > 0 {
        key.flags |= flags::IN_KERNEL;
    }
    key.flags |= lost(&in_kernel);
    key.kernel_stack = in_kernel.key;

    if !kernel::is_kernel_thread(task) {
        let in_user = stack::take(ctx.as_ptr(), Side::User);
        if in_user.unreadable || in_user.frames == 0 {
            loss::count(Loss::UserStackUnreadable);
            key.flags |= flags::USER_UNREADABLE;
        }
        if in_user.frames == MAX_FRAMES {
            key.flags |= flags::USER_CUT;
        }
        key.flags |= lost(&in_user);
        key.user_stack = in_user.key;
        processes::announce(task, key.slot, key.tgid, key.exec_id);
    }
    add(&key);
}

#[inline(always)]
fn lost(taken: &Taken) -> u32 {
    if taken.lost { flags::STACK_LOST } else { 0 }
}

#[inline(always)]
fn add(key: &CountKey) {
    let half = ACTIVE.get(0).copied().unwrap_or_default();
    if half == 0 {
        add_to(&COUNTS_A, key)
    } else {
        add_to(&COUNTS_B, key)
    }
}

#[inline(always)]
fn add_to(counts: &HashMap<CountKey, u64>, key: &CountKey) {
    if counts.get_ptr(key).is_none() {
        // Another CPU may insert first (EEXIST): then both add to its row.
        let _ = counts.insert(key, 0, BPF_NOEXIST);
    }
    match counts.get_ptr_mut(key) {
        // SAFETY: the pointer is to a live map value; other CPUs add to it atomically as well.
        Some(count) => unsafe {
            atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(count, 1);
        },
        None => loss::count(Loss::CountMapFull),
    }
}
