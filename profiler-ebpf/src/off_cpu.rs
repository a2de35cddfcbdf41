//! Stacks of threads that are not running: taken when they leave the CPU, counted when it is known for how long.

use core::ffi::c_void;

use aya_ebpf::{Global, helpers::generated::bpf_get_current_comm};
use ctprof_ebpf::{
    abi::{
        COMM_BYTES,
        count_key::{CountKey, flags},
        ledger::{Thread, state},
        scope,
        stack::end,
        wanted::bit,
    },
    ledger::phase,
};

use crate::{
    kernel::{self, Object},
    maps::BURNT,
    probes::processes,
    rows,
    stack::{self, Place},
    time::now_ns,
    wanted,
};

#[unsafe(no_mangle)]
static MIN_BLOCK_NS: Global<u64> = Global::new(0);

/// Whether the stacks of a thread of this slot are wanted, that goes to sleep or could run on. What a thread slept in
/// is what it waits with afterwards, so it is wanted for any state.
#[inline(always)]
pub(crate) fn wanted_as(slot: u32, blocks: bool) -> bool {
    const WAITS: u32 = bit(state::RUN_QUEUE) | bit(state::THROTTLED);
    wanted::off_cpu(slot) && (blocks || wanted::of(slot).states & WAITS != 0)
}

/// A process is announced when it has left the CPU 2, 8, 32, ... times: at first its libraries are not mapped yet,
/// and it may end before user space looks again.
#[inline(always)]
fn is_milestone(leaves: u32) -> bool {
    const POWERS: u32 = 0xaaaa_aaaa;
    leaves & leaves.wrapping_sub(1) == 0 && leaves & POWERS != 0
}

/// Takes the stacks of the current thread, which is about to leave the CPU.
#[inline(always)]
pub(crate) fn take(ctx: *mut c_void, task: Object, thread: &Thread) {
    // SAFETY: the helper writes as many bytes as it is told, all zeros where it fails.
    unsafe { bpf_get_current_comm(thread.comm.as_ptr().cast(), COMM_BYTES as u32) };
    let in_kernel = stack::take(ctx, Place::Scheduler);
    thread.kernel_stack.set(in_kernel.key);
    let mut stack_flags = flags::IN_KERNEL | stack::lost(&in_kernel);
    thread.user_stack.set(0);
    if kernel::has_user_half(task) {
        if kernel::is_in_exec(task) {
            stack_flags |= flags::NO_USER;
        } else {
            let in_user = stack::take_user(ctx, task, Place::Scheduler);
            thread.user_stack.set(in_user.key);
            stack_flags |= stack::lost(&in_user);
            if in_user.unreadable || in_user.frames == 0 {
                stack_flags |= flags::USER_UNREADABLE;
            }
            if in_user.is_cut {
                stack_flags |= flags::USER_CUT;
            }
            if in_user.is_early {
                stack_flags |= flags::USER_EARLY;
            }
        }
        let image = kernel::exec_id(task).wrapping_add(1);
        if thread.announced.get() != image {
            thread.announced.set(image);
            thread.leaves.set(0);
        }
        let leaves = thread.leaves.get().saturating_add(1);
        thread.leaves.set(leaves);
        if is_milestone(leaves) {
            processes::announce_again(task, scope::slot(thread.slot.get()));
        } else if wanted::changes() {
            // Stacks may be wanted only since its process was announced, or would have been.
            let slot = scope::slot(thread.slot.get());
            processes::announce(task, slot, kernel::tgid(task), kernel::exec_id(task));
        }
    } else {
        stack_flags |= flags::NO_USER;
    }
    thread.stack_flags.set(stack_flags);
}

/// Takes the kernel half of the stack of a thread that does not run; its user half can be [completed](complete) where it
/// sleeps. From the task iterator only.
#[inline(always)]
pub(crate) fn take_of(task: Object, thread: &Thread) {
    thread.comm.set(kernel::comm(task));
    let taken = stack::take_of(task);
    thread.kernel_stack.set(taken.key);
    thread.user_stack.set(0);
    thread
        .stack_flags
        .set(flags::BEFORE | flags::IN_KERNEL | stack::lost(&taken));
}

/// Takes the user half of the stack of a thread that went to sleep before it could be unwound: before the recording, or before
/// there were tables. From the task iterator that may sleep only.
#[inline(always)]
pub(crate) fn complete(task: Object, thread: &Thread) {
    let before = thread.stack_flags.get();
    let sleeps = || thread.clock.phase.get() == phase::BLOCKED && !kernel::is_on_cpu(task);
    if before & (flags::BEFORE | flags::USER_EARLY) == 0
        || !sleeps()
        || !wanted::off_cpu(thread.slot.get())
        || !kernel::has_user_half(task)
        || kernel::is_in_exec(task)
    {
        return;
    }
    let since_ns = thread.clock.since_ns.get();
    let walked = stack::walk_asleep(task);
    if walked.frames() == 0 || walked.is_early() {
        return;
    }
    let key = stack::store_asleep(walked);
    // The thread may have been woken meanwhile, and its stack have changed while it was read.
    if key == 0 || !sleeps() || thread.clock.since_ns.get() != since_ns {
        return;
    }
    let mut stack_flags =
        before & !(flags::BEFORE | flags::USER_EARLY | flags::USER_UNREADABLE | flags::USER_CUT);
    if walked.end() == end::TOO_DEEP {
        stack_flags |= flags::USER_CUT;
    }
    thread.user_stack.set(key);
    thread.stack_flags.set(stack_flags);
}

/// Nobody wants this thread's stacks: forget those that it has, which would be taken for those of its next wait.
#[inline(always)]
pub(crate) fn forget(thread: &Thread) {
    thread.kernel_stack.set(0);
    thread.user_stack.set(0);
    thread.stack_flags.set(flags::BEFORE);
    thread.early_ns.set(0);
}

/// Counts an interval that began with the stacks that the thread has.
#[inline(always)]
pub(crate) fn count(task: Object, thread: &Thread, state: usize, ns: u64) {
    count_part(task, thread, state, 1, ns);
}

/// Counts a part of a sleep that goes on, once its stack is there. A stack that is not there after this time is not waited for
/// any longer.
#[inline(always)]
pub(crate) fn count_open(task: Object, thread: &Thread, state: usize, ns: u64) {
    const LONGEST_NS: u64 = 3_000_000_000;
    let early_ns = thread.early_ns.get().saturating_add(ns);
    let is_early = thread.stack_flags.get() & (flags::BEFORE | flags::USER_EARLY) != 0;
    if is_early && early_ns < LONGEST_NS {
        thread.early_ns.set(early_ns);
        return;
    }
    count_part(task, thread, state, 0, ns);
}

/// The same of a part of such an interval, which counts so many times: only one of the parts should.
#[inline(always)]
pub(crate) fn count_part(task: Object, thread: &Thread, state: usize, times: u64, mut ns: u64) {
    if state >= state::BLOCKED {
        ns = ns.saturating_add(thread.early_ns.replace(0));
    }
    let slot = thread.slot.get();
    let wanted = wanted::of(slot);
    if wanted.states & bit(state) == 0 {
        return;
    }
    if wanted::changes() {
        let wanted_ns = now_ns().saturating_sub(wanted.since_ns);
        if ns > wanted_ns {
            ns = wanted_ns;
        }
    }
    if ns == 0 {
        return;
    }
    let mut key = CountKey {
        user_stack: thread.user_stack.get(),
        kernel_stack: thread.kernel_stack.get(),
        period: 0,
        slot: scope::slot(slot),
        tgid: kernel::tgid(task),
        exec_id: kernel::exec_id(task),
        flags: thread.stack_flags.get(),
        state: state as u32,
        syscall: thread.syscall.get(),
        comm: thread.comm.get(),
    };
    if wanted::changes() && key.comm[0] == 0 {
        // It went to sleep when nobody wanted its stacks, and not long enough ago for a visit to have taken them.
        key.comm = kernel::comm(task);
    }
    if ns < MIN_BLOCK_NS.load() {
        key.user_stack = 0;
        key.kernel_stack = 0;
        key.flags = flags::SHORT;
    }
    rows::add(&key, times, ns);
}

/// Counts a wait that is over.
#[inline(always)]
pub(crate) fn count_wait(task: Object, thread: &Thread) {
    if !wanted::off_cpu(thread.slot.get()) {
        return;
    }
    count(task, thread, state::RUN_QUEUE, thread.clock.waited_ns.get());
    let stopped_ns = thread.clock.stopped_ns.get();
    if stopped_ns > 0 {
        count(task, thread, state::THROTTLED, stopped_ns);
        let period = thread.period.get();
        if period != 0 {
            let _ = BURNT.insert(period, 1, 0);
        }
    }
}
