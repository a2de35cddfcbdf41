//! Stops and releases of run queues by a quota, for kernels whose queues do not keep the time themselves
//! (before 6.6). Both functions are called with a group and the run queue of a CPU, under that queue's lock.

use aya_ebpf::{
    macros::{fentry, kprobe},
    programs::{FEntryContext, ProbeContext},
};
use ctprof_ebpf::abi::{ledger::ThrottleClock, loss::Loss};

use crate::{kernel, loss, maps::THROTTLES, time::now_ns};

#[fentry(function = "tg_throttle_down")]
fn stop_fentry(ctx: FEntryContext) -> i32 {
    stop(ctx.arg(0), ctx.arg(1));
    0
}

#[fentry(function = "tg_unthrottle_up")]
fn release_fentry(ctx: FEntryContext) -> i32 {
    release(ctx.arg(0), ctx.arg(1));
    0
}

#[kprobe(function = "tg_throttle_down")]
fn stop_kprobe(ctx: ProbeContext) -> u32 {
    stop(
        ctx.arg(0).unwrap_or_default(),
        ctx.arg(1).unwrap_or_default(),
    );
    0
}

#[kprobe(function = "tg_unthrottle_up")]
fn release_kprobe(ctx: ProbeContext) -> u32 {
    release(
        ctx.arg(0).unwrap_or_default(),
        ctx.arg(1).unwrap_or_default(),
    );
    0
}

/// A quota of the group or one above throttles a queue; the first to do so begins a stop.
#[inline(always)]
fn stop(group: u64, rq: u64) {
    let (queue, quotas) = kernel::hooked_queue(group, rq);
    if quotas != 0 {
        return;
    }
    let now_ns = now_ns();
    if let Some(clock) = THROTTLES.get_ptr_mut(queue) {
        // SAFETY: the pointer is to a live map value, written under the queue's lock only.
        unsafe { (*clock).since_ns = now_ns };
        return;
    }
    let clock = ThrottleClock {
        total_ns: 0,
        since_ns: now_ns,
    };
    if THROTTLES.insert(queue, clock, 0).is_err() {
        loss::count(Loss::ThrottleMapFull);
    }
}

/// A quota unthrottles a queue; the last to do so ends the stop.
#[inline(always)]
fn release(group: u64, rq: u64) {
    let (queue, quotas) = kernel::hooked_queue(group, rq);
    if quotas != 1 {
        return;
    }
    if let Some(clock) = THROTTLES.get_ptr_mut(queue) {
        // SAFETY: the pointer is to a live map value, written under the queue's lock only.
        unsafe {
            let since_ns = (*clock).since_ns;
            if since_ns != 0 {
                (*clock).total_ns += now_ns().saturating_sub(since_ns);
                (*clock).since_ns = 0;
            }
        }
    }
}
