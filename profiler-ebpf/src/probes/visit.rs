//! A visit to every thread: at the start of a recording to enter those that live already, at its end to charge
//! what they have done since their last event. So threads that sleep all the time count, too.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_seq_write;
use ctprof_ebpf::{
    abi::{
        count_key::flags,
        event::Found,
        ledger::{Thread, population, queued, state, visit},
        scope,
        unwind::image,
    },
    ledger::phase,
};

use crate::{
    accounts::{From, Slot},
    end,
    hooks::Hooks as _,
    kernel::{self, Object},
    maps::{CONTROL, POPULATION},
    off_cpu, present, scope as cgroups, threads,
    time::now_ns,
    views::All,
    walk, wanted,
};

/// Not the address of any kernel object.
const UNKNOWN_GROUP: u64 = 1;
/// A thread that had no event for this long may have none for much longer.
const QUIET_NS: u64 = 1_000_000;
/// A thread that has waited for a CPU this long is not only waiting for its turn.
const LONG_WAIT_NS: u64 = 1_000_000_000;

/// `struct bpf_iter__task` in the kernel's BTF: two pointers, each in 8 bytes.
#[repr(C)]
struct Visit {
    meta: *const Meta,
    task: Object,
}

/// The beginning of `struct bpf_iter_meta`.
#[repr(C)]
struct Meta {
    seq: *const c_void,
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
        visit::OPEN => {
            open(task);
            tell(ctx, task);
        }
        visit::FOLLOW => follow(task),
        visit::END => end::begin(),
        visit::CLOSE => close(task),
        visit::SETTLE => settle(task),
        visit::LOOK_AGAIN => look_again(task),
        visit::STACKS => stacks(task),
        _ => {}
    }
    0
}

/// Completes the stacks of threads that sleep: see [`off_cpu::complete`]. It may sleep on page faults, so it is a program of
/// its own, run on a thread that nothing waits for.
#[unsafe(link_section = "iter.s/task")]
#[unsafe(no_mangle)]
extern "C" fn complete_stacks(ctx: *const Visit) -> i32 {
    // SAFETY: the context is of this type, and the verifier checks the access.
    let task = unsafe { (&raw const (*ctx).task).read_volatile() };
    if !task.is_null()
        && let Some(thread) = threads::get(task)
    {
        off_cpu::complete(task, thread);
    }
    0
}

#[inline(always)]
fn open(task: Object) {
    if kernel::state(task) & kernel::TASK_DEAD != 0 {
        return;
    }
    let now_ns = now_ns();
    let clock = |thread: &Thread| threads::clock_of(task, thread, now_ns);
    present::begins();
    let Some(thread) = threads::enter(task, clock, false) else {
        present::ends();
        return;
    };
    // The visit may have been held up since it last looked, and a thread that was not in yet has no end booked.
    if kernel::state(task) & kernel::TASK_DEAD != 0 {
        if let Some(home) = threads::end(thread) {
            if let Some(account) = Slot::of(home, From::Process) {
                account.charge(thread.clock.leave(now_ns, 0));
                account.ends(thread.clock.since_ns.get());
            }
            present::ends();
        }
        return;
    }
    thread.stack_flags.set(flags::BEFORE);
    if !kernel::is_on_cpu(task) {
        All::found(thread, now_ns);
    }
    if thread.clock.is_runnable() {
        threads::queued(task, thread, now_ns, || false);
    } else if thread.clock.phase.get() == phase::BLOCKED {
        thread.queued.set(queued::FOUND_ASLEEP);
    }
    if !kernel::is_on_cpu(task) && wanted::off_cpu(thread.slot.get()) {
        off_cpu::take_of(task, thread);
    }
}

/// Tells user space of a process whose stacks are wanted, once, and again for each of its threads that wants a CPU: so its unwind
/// tables are made before it is seen, and first where they are needed first. What this writes, the visitor reads; there is
/// room for any number.
#[inline(always)]
fn tell(ctx: *const Visit, task: Object) {
    let tgid = kernel::tgid(task);
    let wants_cpu = kernel::state(task) == 0;
    let is_first = kernel::pid(task) == tgid;
    if !walk::is_on() || !is_first && !wants_cpu || !kernel::has_user_half(task) {
        return;
    }
    let is_wanted = threads::get(task).is_some_and(|it| wanted::processes(it.slot.get()));
    if !is_wanted || wanted::changes() {
        return;
    }
    let found = Found {
        image: image(tgid, kernel::exec_id(task)),
        wants_cpu: u64::from(wants_cpu),
    };
    // SAFETY: the context is of this type, and the helper reads as many bytes as it is told.
    unsafe {
        let meta = (&raw const (*ctx).meta).read_volatile();
        let seq = (&raw const (*meta).seq).read_volatile();
        bpf_seq_write(
            seq.cast_mut().cast(),
            (&raw const found).cast(),
            size_of::<Found>() as u32,
        );
    }
}

/// Notes of a thread whose cgroup was given a slot only now that it is not known where it is: its next event, or a visit
/// that follows, finds it there.
#[inline(always)]
fn look_again(task: Object) {
    let Some(thread) = threads::get(task) else {
        return;
    };
    // Without a group it is only being entered, and is looked up then.
    if thread.group.get() == 0 || cgroups::find(task) == thread.slot.get() {
        return;
    }
    // A hook that writes the group at this moment has just looked itself.
    thread.group.set(UNKNOWN_GROUP);
    All::moved();
}

#[inline(always)]
fn follow(task: Object) {
    let Some(thread) = threads::get(task) else {
        return;
    };
    let now_ns = now_ns();
    // Any other thread will soon be seen by a hook, which should not race with this.
    let is_quiet = now_ns.saturating_sub(thread.clock.since_ns.get()) > QUIET_NS;
    if thread.clock.phase.get() == phase::BLOCKED || thread.clock.is_in() && is_quiet {
        threads::follow(task, thread, now_ns);
    }
}

/// Charges the open interval of a thread that no event has closed for a while, and opens the next.
#[inline(always)]
fn settle(task: Object) {
    let Some(thread) = threads::get(task) else {
        return;
    };
    if !thread.clock.is_in() {
        return;
    }
    let now_ns = now_ns();
    let quiet_ns = now_ns.saturating_sub(thread.clock.since_ns.get());
    let waits = thread.clock.is_runnable();
    if quiet_ns > QUIET_NS {
        threads::follow(task, thread, now_ns);
    }
    let Some(account) = Slot::of(scope::slot(thread.slot.get()), From::Process) else {
        return;
    };
    // A wait is charged to culprits when it ends; only a very long one is charged before.
    if quiet_ns > if waits { LONG_WAIT_NS } else { QUIET_NS } {
        let throttled_ns = if waits {
            threads::stopped_ns(task, thread, now_ns)
        } else {
            0
        };
        let charge = thread.clock.close(now_ns, throttled_ns);
        threads::charge_wait(account, thread, charge);
        if waits {
            threads::queued(task, thread, now_ns, || false);
        } else if charge.state >= state::BLOCKED {
            off_cpu::count_open(task, thread, charge.state, charge.ns);
        }
    }
    // A thread that waits now may have run all the time before.
    threads::ticked(task, thread, account);
    let visit = CONTROL.get(1).copied().unwrap_or_default();
    if let Some(threads) = POPULATION.get_ptr_mut(scope::slot(thread.slot.get())) {
        // SAFETY: the pointer is to a live map value, and there is one visit at a time.
        unsafe { *threads = population::add(*threads, visit) };
    }
}

/// What is wanted of others' stacks has changed, or is about to. Threads on the CPU bring their stacks when they leave it,
/// and so do those that left it a moment ago soon.
#[inline(always)]
fn stacks(task: Object) {
    let Some(thread) = threads::get(task) else {
        return;
    };
    let sleeps = thread.clock.phase.get() == phase::BLOCKED;
    if !sleeps && !thread.clock.is_runnable() {
        return;
    }
    let now_ns = now_ns();
    if now_ns.saturating_sub(thread.clock.since_ns.get()) <= QUIET_NS {
        return;
    }
    threads::follow(task, thread, now_ns);
    if !wanted::off_cpu(thread.slot.get()) {
        off_cpu::forget(thread);
        return;
    }
    if sleeps && let Some(account) = Slot::of(scope::slot(thread.slot.get()), From::Process) {
        let charge = thread.clock.close(now_ns, 0);
        account.charge(charge);
        off_cpu::count(task, thread, charge.state, charge.ns);
    }
    if thread.kernel_stack.get() == 0 {
        off_cpu::take_of(task, thread);
    }
}

#[inline(always)]
fn close(task: Object) {
    let Some(thread) = threads::get(task) else {
        return;
    };
    if !thread.clock.is_in() {
        return;
    }
    let now_ns = end::ns();
    threads::follow(task, thread, now_ns);
    let waits = thread.clock.is_runnable();
    // The phase as the hooks left it: views keep their state of threads that were on a CPU at the end by CPU.
    let was_on_cpu = thread.clock.phase.get() == phase::ON_CPU;
    let throttled_ns = if waits {
        threads::stopped_ns(task, thread, now_ns)
    } else {
        0
    };
    let Some(home) = threads::end(thread) else {
        return;
    };
    let charge = thread.clock.leave(now_ns, throttled_ns);
    if !was_on_cpu {
        All::is_left(thread, now_ns);
    }
    if let Some(account) = Slot::of(home, From::Process) {
        threads::charge_wait(account, thread, charge);
        account.ends(thread.clock.since_ns.get());
        threads::ticked(task, thread, account);
    }
    present::ends();
    if waits {
        off_cpu::count_wait(task, thread);
    } else if charge.state >= state::BLOCKED {
        off_cpu::count(task, thread, charge.state, charge.ns);
    }
}
