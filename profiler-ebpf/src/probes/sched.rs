//! The scheduler's hooks: the ledger. `sched_switch` is the hottest code of ctprof.
//!
//! In these hooks `current` is not the thread that they are about: a wait belongs to the thread that is woken, or
//! that gets the CPU.

use aya_ebpf::{EbpfContext, macros::btf_tracepoint, programs::BtfTracePointContext};
use core::ffi::c_void;
use ctprof_ebpf::{
    abi::{
        ledger::{Thread, queued, state, visit},
        loss::Loss,
        scope::{SLOT_IDLE, slot},
    },
    ledger::{Clock, phase},
};

use super::processes;
use crate::{
    accounts::{From, Slot},
    delays::{self, Wait},
    end,
    hooks::Hooks as _,
    kernel::{self, Object},
    loss,
    maps::CONTROL,
    off_cpu, present, realtime, scope, stack, threads,
    time::now_ns,
    views::All,
    wanted,
};

/// A context switch. Arguments: whether it is a preemption, previous, next, state of the previous.
#[btf_tracepoint(function = "sched_switch")]
fn sched_switch(ctx: BtfTracePointContext) -> i32 {
    let forced = ctx.arg::<u64>(0) as u8 != 0;
    let previous: Object = ctx.arg(1);
    let next: Object = ctx.arg(2);
    if end::is_over() {
        exits(previous);
        return 0;
    }
    let now_ns = now_ns();
    let leaving = if kernel::pid(previous) == 0 {
        SLOT_IDLE
    } else {
        leave_cpu(ctx.as_ptr(), previous, next, forced, now_ns)
    };
    if kernel::pid(next) == 0 {
        All::nobody_runs();
        delays::switch(now_ns, leaving, SLOT_IDLE);
        return 0;
    }
    let Some(thread) = threads::get(next) else {
        All::nobody_runs();
        delays::switch(now_ns, leaving, slot(scope::find(next)));
        return 0;
    };
    threads::follow(next, thread, now_ns);
    All::gets_cpu(next, thread, now_ns);
    delays::switch(now_ns, leaving, slot(thread.slot.get()));
    if thread.clock.phase.get() == phase::BLOCKED {
        not_woken(thread);
    }
    switch_in(next, thread, now_ns);
    0
}

/// Returns the slot whose time on the CPU ends.
#[inline(always)]
fn leave_cpu(ctx: *mut c_void, task: Object, next: Object, forced: bool, now_ns: u64) -> u32 {
    let Some(thread) = threads::get(task) else {
        return slot(scope::find(task));
    };
    threads::follow(task, thread, now_ns);
    All::loses_cpu(task, thread, now_ns);
    let mut number = slot(thread.slot.get());
    if !thread.clock.is_in() {
        return number;
    }
    if thread.clock.phase.get() != phase::ON_CPU {
        // Its switch-in was missed; it cannot have been before the last switch that was seen on this CPU.
        loss::count(Loss::SwitchMissed);
        got_cpu(task, thread, delays::last_switch_ns());
    }
    // The state now, not the tracepoint's argument: a signal that arrives in time makes the thread runnable
    // again, which the argument does not show on every kernel.
    let state = kernel::state(task);
    let blocks = !forced && state != 0;
    let dies = blocks && state & kernel::TASK_DEAD != 0;
    let charge = if dies {
        let Some(home) = threads::end(thread) else {
            return number;
        };
        number = home;
        thread.clock.leave(now_ns, 0)
    } else {
        let reason = if blocks {
            threads::sleeps(task, thread, state, stack::SCHEDULER)
        } else {
            threads::queued(task, thread, now_ns, || !kernel::is_real_time(next));
            0
        };
        // In one place, because the code for it is large.
        if off_cpu::wanted_as(thread.slot.get(), blocks) {
            if !blocks {
                thread.period.set(kernel::quota_period(task));
                thread.syscall.set(kernel::in_call(task));
            }
            off_cpu::take(ctx, task, thread);
        } else if wanted::changes() {
            off_cpu::forget(thread);
        }
        if blocks {
            thread.clock.block(now_ns, reason)
        } else {
            thread.clock.preempt(now_ns)
        }
    };
    if let Some(account) = Slot::of(number, From::Scheduler) {
        account.charge(charge);
        account.switched(blocks);
        if dies {
            account.leaves(thread.clock.since_ns.get());
            threads::ticked(task, thread, account);
        }
    }
    if dies {
        present::ends();
    }
    number
}

/// A thread leaves the CPU after the end of the ledger. If this is its last switch, visits may not find it any more.
///
/// A function of its own, as below.
#[inline(never)]
fn exits(task: Object) -> u32 {
    if kernel::state(task) & kernel::TASK_DEAD == 0 {
        return 0;
    }
    let Some(thread) = threads::get(task) else {
        return 0;
    };
    if !thread.clock.is_in() {
        return 0;
    }
    // A visit that comes to it now finds no home.
    let Some(home) = threads::end(thread) else {
        return 0;
    };
    let charge = thread.clock.leave(end::ns(), 0);
    if let Some(account) = Slot::of(home, From::Scheduler) {
        account.charge(charge);
        account.ends(thread.clock.since_ns.get());
        threads::ticked(task, thread, account);
    }
    present::ends();
    0
}

/// Out of line, to keep the rare case off the hot path.
#[inline(never)]
fn got_cpu(task: Object, thread: *const Thread, now_ns: u64) -> u32 {
    // SAFETY: the caller's pointer is to a live map value; it is checked because the verifier asks for that.
    if let Some(thread) = unsafe { thread.as_ref() } {
        switch_in(task, thread, now_ns);
    }
    0
}

#[inline(always)]
fn switch_in(task: Object, thread: &Thread, now_ns: u64) {
    if !thread.clock.is_in() {
        return;
    }
    let waited = thread.clock.is_runnable();
    let throttled_ns = threads::stopped_ns(task, thread, now_ns);
    if thread.queued.get() == queued::REAL_TIME {
        realtime::gets_cpu(task, now_ns);
    }
    let charge = thread.clock.switch_in(now_ns, throttled_ns);
    let number = slot(thread.slot.get());
    if let Some(account) = Slot::of(number, From::Scheduler) {
        threads::charge_wait(account, thread, charge);
        if waited {
            account.waited(&thread.clock);
        }
    }
    if waited {
        off_cpu::count_wait(task, thread);
        delays::explain(Wait {
            victim: number,
            from_ns: charge.began_ns(now_ns),
            to_ns: now_ns,
            throttled_ns: charge.throttled_ns,
        });
    } else {
        off_cpu::count(task, thread, charge.state, charge.ns);
    }
}

/// A thread that slept got a CPU although no wakeup was seen.
#[inline(always)]
fn not_woken(thread: &Thread) {
    if thread.queued.get() == queued::FOUND_ASLEEP {
        thread.queued.set(queued::FREE);
    } else {
        loss::count(Loss::WakeupMissed);
    }
}

/// A sleeping thread becomes runnable. Argument: the thread.
#[btf_tracepoint(function = "sched_wakeup")]
fn sched_wakeup(ctx: BtfTracePointContext) -> i32 {
    let task: Object = ctx.arg(0);
    let Some(thread) = threads::get(task) else {
        return 0;
    };
    if thread.clock.phase.get() != phase::BLOCKED || end::is_over() {
        return 0;
    }
    let now_ns = now_ns();
    threads::follow(task, thread, now_ns);
    let Some(charge) = thread.clock.wake(now_ns) else {
        return 0;
    };
    if let Some(account) = Slot::of(slot(thread.slot.get()), From::Scheduler) {
        account.charge(charge);
    }
    threads::queued(task, thread, now_ns, || false);
    if wanted::off_cpu(thread.slot.get()) {
        off_cpu::count(task, thread, charge.state, charge.ns);
        thread.period.set(kernel::quota_period(task));
    }
    0
}

/// A thread is runnable for the first time. Argument: the thread.
#[btf_tracepoint(function = "sched_wakeup_new")]
fn sched_wake_new(ctx: BtfTracePointContext) -> i32 {
    let task: Object = ctx.arg(0);
    let Some(thread) = threads::get(task) else {
        return 0;
    };
    if thread.clock.is_runnable() && !end::is_over() {
        let now_ns = now_ns();
        threads::queued(task, thread, now_ns, || false);
    }
    0
}

/// A thread is about to be moved to another CPU. Arguments: the thread, the CPU.
#[btf_tracepoint(function = "sched_migrate_task")]
fn sched_migrate(ctx: BtfTracePointContext) -> i32 {
    let task: Object = ctx.arg(0);
    let Some(thread) = threads::get(task) else {
        return 0;
    };
    if !thread.clock.is_runnable() || end::is_over() {
        return 0;
    }
    let Some(cpu) = kernel::cpu(task) else {
        return 0;
    };
    let now_ns = now_ns();
    let throttled_ns = threads::stopped_ns(task, thread, now_ns);
    let charge = thread.clock.close(now_ns, throttled_ns);
    let number = slot(thread.slot.get());
    if let Some(account) = Slot::of(number, From::Scheduler) {
        threads::charge_wait(account, thread, charge);
        account.migrated();
    }
    if charge.ns > 0 {
        delays::explain_on(
            cpu,
            number,
            charge.began_ns(now_ns),
            now_ns,
            charge.throttled_ns,
        );
    }
    threads::requeued(task, thread, ctx.arg::<u64>(1) as u32, now_ns);
    0
}

/// A thread was born. Arguments: the thread, the flags of `clone`. Runs in the parent's context, where allocating is safe.
#[btf_tracepoint(function = "task_newtask")]
fn task_newtask(ctx: BtfTracePointContext) -> i32 {
    // Before it is known whether the ledger is open: who closes it, and then finds that all have ended, can be sure that no
    // newborn is on its way in.
    present::begins();
    let is_open = matches!(
        CONTROL.get(0).copied(),
        Some(visit::OPEN | visit::FOLLOW | visit::SETTLE | visit::STACKS)
    );
    let now_ns = now_ns();
    let clock = |_: &Thread| Clock::starting(now_ns, phase::RUNNABLE, 0);
    match is_open.then(|| threads::enter(ctx.arg(0), clock, true)) {
        Some(Some(thread)) => All::is_born(thread),
        _ => present::ends(),
    }
    0
}

/// A thread, or a whole process, was moved to another cgroup. Arguments: the cgroup, its path, the thread or
/// leader, whether the whole process.
#[btf_tracepoint(function = "cgroup_attach_task")]
fn cgroup_attach(ctx: BtfTracePointContext) -> i32 {
    if !kernel::is_watched_hierarchy(ctx.arg(0)) {
        return 0;
    }
    All::moved();
    let task: Object = ctx.arg(2);
    if let Some(thread) = threads::get(task) {
        thread.moved_ns.set(now_ns());
        // A thread that sleeps now may be moved once more before it wakes.
        processes::moved(task);
    }
    0
}

const _: () = assert!(state::COUNT < 16);
