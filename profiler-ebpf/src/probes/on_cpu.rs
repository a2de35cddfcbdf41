//! On-CPU sampling: runs on every CPU at the sampling frequency, in interrupt context.

use aya_ebpf::{
    EbpfContext, helpers::bpf_get_current_comm, macros::perf_event, programs::PerfEventContext,
};
use ctprof_ebpf::abi::{
    count_key::{CountKey, flags},
    ledger::state,
    loss::Loss,
    scope::RECORDED,
};

use super::processes;
use crate::{
    kernel, loss, rows, scope,
    stack::{self, Place},
    wanted,
};

/// Counts one sample of what this CPU is doing.
#[perf_event]
fn on_cpu(ctx: PerfEventContext) -> u32 {
    sample(&ctx);
    0
}

#[inline(always)]
fn sample(ctx: &PerfEventContext) {
    // The idle task has pid 0.
    if ctx.pid() == 0 {
        return;
    }
    let task = kernel::current();
    let Some(slot) = scope::slot_of(task) else {
        return;
    };
    if !wanted::on_cpu(slot | RECORDED) {
        return;
    }
    let mut key = CountKey {
        slot,
        tgid: kernel::tgid(task),
        exec_id: kernel::exec_id(task),
        comm: bpf_get_current_comm().unwrap_or_default(),
        state: state::ON_CPU as u32,
        period: kernel::quota_period(task),
        ..CountKey::default()
    };

    let in_kernel = stack::take(ctx.as_ptr(), Place::Sample);
    if in_kernel.unreadable {
        loss::count(Loss::KernelStackUnreadable);
    }
    // The kernel half of a stack is empty when the interrupt hit user mode.
    if in_kernel.frames > 0 {
        key.flags |= flags::IN_KERNEL;
    }
    key.flags |= stack::lost(&in_kernel);
    key.kernel_stack = in_kernel.key;

    if kernel::has_user_half(task) {
        if in_kernel.frames > 0 {
            key.syscall = kernel::in_call(task);
        }
        if in_kernel.frames > 0 && kernel::is_in_exec(task) {
            key.flags |= flags::NO_USER;
        } else {
            let in_user = stack::take_user(ctx.as_ptr(), task, Place::Sample);
            if in_user.unreadable || in_user.frames == 0 {
                loss::count(Loss::UserStackUnreadable);
                key.flags |= flags::USER_UNREADABLE;
            }
            if in_user.is_cut {
                key.flags |= flags::USER_CUT;
            }
            key.flags |= stack::lost(&in_user);
            key.user_stack = in_user.key;
        }
        processes::announce(task, key.slot, key.tgid, key.exec_id);
    } else {
        key.flags |= flags::NO_USER;
    }
    rows::add(&key, 1, 0);
}
