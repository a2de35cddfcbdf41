//! A visit to every thread: at the start of a recording to enter those that live already, at its end to charge
//! what they have done since their last event. So threads that sleep all the time count, too.

use core::ffi::c_void;

use aya_ebpf::helpers::bpf_ktime_get_ns;
use ctprof_ebpf::{
    abi::{
        count_key::flags,
        ledger::{Thread, population, state, visit},
        scope,
    },
    ledger::phase,
};

use crate::{
    accounts::{From, Slot},
    calls,
    kernel::{self, Object},
    maps::{CONTROL, POPULATION, THREADS},
    off_cpu, scope as cgroups, stack, threads,
};

/// No group of the kernel's has this address.
const UNKNOWN_GROUP: u64 = 1;
/// A thread that had no event for this long may have none for much longer.
const QUIET_NS: u64 = 1_000_000;
/// A thread that has waited for a CPU this long is not only waiting for its turn.
const LONG_WAIT_NS: u64 = 1_000_000_000;

/// `struct bpf_iter__task` in the kernel's BTF: two pointers, each in 8 bytes.
#[repr(C)]
struct Visit {
    meta: *const c_void,
    task: Object,
}

#[unsafe(link_section = "iter/task")]
#[unsafe(no_mangle)]
extern "C" fn visit_tasks(ctx: *const Visit) -> i32 {
    // SAFETY: the context is of this type, and the verifier checks the access.
    let task = unsafe { (&raw const (*ctx).task).read_volatile() };
    if task.is_null() {
        return 0;
    }
    match CONTROL.get(0).copied().unwrap_or_default() {
        visit::OPEN => open(task),
        visit::FOLLOW => follow(task),
        visit::CLOSE => close(task),
        visit::SETTLE => settle(task),
        visit::LOOK_AGAIN => look_again(task),
        _ => {}
    }
    0
}

#[inline(always)]
fn open(task: Object) {
    if kernel::state(task) & kernel::TASK_DEAD != 0 {
        return;
    }
    // SAFETY: has no precondition.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    let clock = |thread: &mut Thread| threads::clock_of(task, thread, now_ns);
    let Some(thread) = threads::enter(task, clock, false) else {
        return;
    };
    // SAFETY: the pointer is to a live map value.
    let thread = unsafe { &mut *thread };
    // The visit may have been held up since it last looked, and a thread that was not in yet has no end booked.
    if kernel::state(task) & kernel::TASK_DEAD != 0 {
        if let Some(home) = threads::end(thread)
            && let Some(account) = Slot::of(home, From::Process)
        {
            account.charge(thread.clock.leave(now_ns, 0));
            account.ends(thread.clock.since_ns);
        }
        return;
    }
    thread.stack_flags = flags::BEFORE;
    if !kernel::is_on_cpu(task) {
        calls::began_before(thread, now_ns);
    }
    if thread.clock.is_runnable() {
        threads::queued(task, thread, now_ns);
    }
    if !kernel::is_on_cpu(task) && off_cpu::wanted(thread.slot) {
        thread.comm = kernel::comm(task);
        let taken = stack::take_of(task);
        thread.kernel_stack = taken.key;
        thread.stack_flags |= flags::IN_KERNEL | stack::lost(&taken);
    }
}

/// Notes of a thread whose cgroup was given a slot only now that it is not known where it is: its next event, or a visit
/// that follows, finds it there.
#[inline(always)]
fn look_again(task: Object) {
    let Some(thread) = THREADS.get(task) else {
        return;
    };
    // SAFETY: the pointer is to a live map value.
    let thread = unsafe { &mut *thread };
    // Without a group it is only being entered, and is looked up then.
    if thread.group == 0 || cgroups::find(task) == thread.slot {
        return;
    }
    // A hook that writes the group at this moment has just looked itself.
    thread.group = UNKNOWN_GROUP;
    calls::moved();
}

#[inline(always)]
fn follow(task: Object) {
    let Some(thread) = THREADS.get(task) else {
        return;
    };
    // SAFETY: the pointer is to a live map value.
    let thread = unsafe { &mut *thread };
    // SAFETY: has no precondition.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    // Any other thread is seen by a hook soon, and better not at the same moment.
    let is_quiet = now_ns.saturating_sub(thread.clock.since_ns) > QUIET_NS;
    if thread.clock.phase == phase::BLOCKED || thread.clock.is_in() && is_quiet {
        threads::follow(task, thread, now_ns);
    }
}

/// Charges the open interval of a thread that no event has closed for a while, and opens the next.
#[inline(always)]
fn settle(task: Object) {
    let Some(thread) = THREADS.get(task) else {
        return;
    };
    // SAFETY: the pointer is to a live map value.
    let thread = unsafe { &mut *thread };
    if !thread.clock.is_in() {
        return;
    }
    // SAFETY: has no precondition.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    let quiet_ns = now_ns.saturating_sub(thread.clock.since_ns);
    let waits = thread.clock.is_runnable();
    if quiet_ns > QUIET_NS {
        threads::follow(task, thread, now_ns);
    }
    let Some(account) = Slot::of(scope::slot(thread.slot), From::Process) else {
        return;
    };
    // A wait is explained when it is over: only one that hardly ends is charged before.
    if quiet_ns > if waits { LONG_WAIT_NS } else { QUIET_NS } {
        let throttled_ns = if waits {
            threads::stopped_ns(task, thread, now_ns)
        } else {
            0
        };
        account.charge(thread.clock.close(now_ns, throttled_ns));
        if waits {
            threads::queued(task, thread, now_ns);
        }
    }
    // A thread that waits now may have run all the time before.
    threads::ticked(task, thread, account);
    let visit = CONTROL.get(1).copied().unwrap_or_default();
    if let Some(threads) = POPULATION.get_ptr_mut(scope::slot(thread.slot)) {
        // SAFETY: the pointer is to a live map value, and there is one visit at a time.
        unsafe { *threads = population::add(*threads, visit) };
    }
}

#[inline(always)]
fn close(task: Object) {
    let Some(thread) = THREADS.get(task) else {
        return;
    };
    // SAFETY: the pointer is to a live map value.
    let thread = unsafe { &mut *thread };
    if !thread.clock.is_in() {
        return;
    }
    // SAFETY: has no precondition.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    threads::follow(task, thread, now_ns);
    let waits = thread.clock.is_runnable();
    let throttled_ns = if waits {
        threads::stopped_ns(task, thread, now_ns)
    } else {
        0
    };
    let Some(home) = threads::end(thread) else {
        return;
    };
    let charge = thread.clock.leave(now_ns, throttled_ns);
    if !kernel::is_on_cpu(task) {
        calls::is_open(thread, now_ns);
    }
    if let Some(account) = Slot::of(home, From::Process) {
        account.charge(charge);
        account.ends(thread.clock.since_ns);
        threads::ticked(task, thread, account);
    }
    if waits {
        off_cpu::count_wait(task, thread);
    } else if charge.state >= state::BLOCKED {
        off_cpu::count(task, thread, charge.state, charge.ns);
    }
}
