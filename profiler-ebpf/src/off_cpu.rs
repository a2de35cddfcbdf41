//! Stacks of threads that are not running: taken when they leave the CPU, counted when it is known for how long.

use core::ffi::c_void;

use aya_ebpf::{Global, helpers::generated::bpf_get_current_comm};
use ctprof_ebpf::abi::{
    COMM_BYTES,
    count_key::{CountKey, flags},
    ledger::{Thread, state},
    scope,
    stack::MAX_FRAMES,
};

use crate::{
    kernel::{self, Object},
    maps::BURNT,
    probes::processes,
    rows,
    stack::{self, Place, Side},
};

#[unsafe(no_mangle)]
static STACK_STATES: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static MIN_BLOCK_NS: Global<u64> = Global::new(0);

/// Whether stacks of this slot are wanted.
#[inline(always)]
pub(crate) fn wanted(slot: u32) -> bool {
    STACK_STATES.load() != 0 && scope::is_recorded(slot)
}

/// Whether stacks of this state are wanted.
#[inline(always)]
fn wanted_state(state: usize) -> bool {
    let group = if state > state::BLOCKED {
        state::BLOCKED
    } else {
        state
    };
    STACK_STATES.load() & (1 << group) != 0
}

/// Whether the stacks of a thread of this slot are wanted, that goes to sleep or could run on. What a thread slept in
/// is what it waits with afterwards, so it is wanted for any state.
#[inline(always)]
pub(crate) fn wanted_as(slot: u32, blocks: bool) -> bool {
    wanted(slot) && (blocks || wanted_state(state::RUN_QUEUE) || wanted_state(state::THROTTLED))
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
pub(crate) fn take(ctx: *mut c_void, task: Object, thread: &mut Thread) {
    // SAFETY: the helper writes as many bytes as it is told, all zeros where it fails.
    unsafe { bpf_get_current_comm(thread.comm.as_mut_ptr().cast(), COMM_BYTES as u32) };
    let in_kernel = stack::take(ctx, Side::Kernel, Place::Scheduler);
    thread.kernel_stack = in_kernel.key;
    thread.stack_flags = flags::IN_KERNEL | stack::lost(&in_kernel);
    thread.user_stack = 0;
    if kernel::has_user_half(task) {
        if !kernel::is_in_exec(task) {
            let pointer = kernel::user_stack_pointer(task);
            let in_user = stack::take_user(ctx, Place::Scheduler, pointer);
            thread.user_stack = in_user.key;
            thread.stack_flags |= stack::lost(&in_user);
            if in_user.unreadable || in_user.frames == 0 {
                thread.stack_flags |= flags::USER_UNREADABLE;
            }
            if in_user.frames == MAX_FRAMES {
                thread.stack_flags |= flags::USER_CUT;
            }
        }
        let image = kernel::exec_id(task).wrapping_add(1);
        if thread.announced != image {
            thread.announced = image;
            thread.leaves = 0;
        }
        thread.leaves = thread.leaves.saturating_add(1);
        if is_milestone(thread.leaves) {
            processes::announce_again(task, scope::slot(thread.slot));
        }
    }
}

/// Counts an interval that began with the stacks that the thread has.
#[inline(always)]
pub(crate) fn count(task: Object, thread: &Thread, state: usize, ns: u64) {
    if ns == 0 || !wanted(thread.slot) || !wanted_state(state) {
        return;
    }
    let mut key = CountKey {
        user_stack: thread.user_stack,
        kernel_stack: thread.kernel_stack,
        period: 0,
        slot: scope::slot(thread.slot),
        tgid: kernel::tgid(task),
        exec_id: kernel::exec_id(task),
        flags: thread.stack_flags,
        state: state as u32,
        syscall: thread.syscall,
        comm: thread.comm,
    };
    if ns < MIN_BLOCK_NS.load() {
        key.user_stack = 0;
        key.kernel_stack = 0;
        key.flags = flags::SHORT;
    }
    rows::add(&key, ns);
}

/// Counts a wait that is over.
#[inline(always)]
pub(crate) fn count_wait(task: Object, thread: &Thread) {
    if !wanted(thread.slot) {
        return;
    }
    count(task, thread, state::RUN_QUEUE, thread.clock.waited_ns);
    if thread.clock.stopped_ns > 0 {
        count(task, thread, state::THROTTLED, thread.clock.stopped_ns);
        if thread.period != 0 {
            let _ = BURNT.insert(thread.period, 1, 0);
        }
    }
}
