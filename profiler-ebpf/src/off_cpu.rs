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
    opaque::opaque,
    price::{IN_ANY_CASE, SKIP},
    reuse,
    unwind::Registers,
};

use crate::{
    budget,
    kernel::{self, Object},
    maps::BURNT,
    probes::processes,
    rows,
    stack::{self, Place},
    time::now_ns,
    wanted,
};

#[unsafe(no_mangle)]
static REUSE: Global<u32> = Global::new(0);
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

/// The current thread is about to leave the CPU: gives it the stacks of this wait, unless they would cost too much.
#[inline(always)]
pub(crate) fn take(ctx: *mut c_void, task: Object, thread: &Thread, why: Why, at_ns: u64) {
    // SAFETY: the helper writes as many bytes as it is told, all zeros where it fails.
    unsafe { bpf_get_current_comm(thread.comm.as_ptr().cast(), COMM_BYTES as u32) };
    let has_user_half = kernel::has_user_half(task);
    let id = place(task, thread, why, has_user_half);
    let known = find_place(thread, id);
    let answer = may_take(thread, known, at_ns);
    if answer & SKIP == 0 {
        let began_ns = now_ns();
        let stack_flags = take_new(ctx, task, thread, has_user_half);
        thread.stack_flags.set(stack_flags);
        keep(thread, id, began_ns, known, answer, why.is_forced());
    }
    if has_user_half {
        announce(task, thread);
    }
}

/// Number of the place with this id, if the thread has stacks of it that were taken since they are wanted.
///
/// A global function: see `main.rs`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn find_place(thread: *const Thread, id: u64) -> u32 {
    // SAFETY: the caller's pointer is to a live map value; it is checked because the verifier asks for that.
    match unsafe { thread.as_ref() } {
        Some(thread) if id != 0 => {
            let since_ns = wanted::of(thread.slot.get()).since_ns;
            thread.places.find(id, since_ns)
        }
        _ => reuse::UNKNOWN,
    }
}

/// Gives a wait its stacks without taking them, or none, if it has to do without: then the result has [`SKIP`]. Else they are to be
/// taken, and the result is that of [`ask_price`](budget::ask_price).
///
/// A global function: see `main.rs`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn may_take(thread: *const Thread, known: u32, at_ns: u64) -> u32 {
    // SAFETY: as above.
    let Some(thread) = (unsafe { thread.as_ref() }) else {
        return SKIP;
    };
    if known == reuse::UNKNOWN {
        let answer = budget::ask_price(thread, at_ns);
        if answer & SKIP != 0 {
            thread.kernel_stack.set(0);
            thread.user_stack.set(0);
            let stack_flags = flags::SKIPPED | flags::IN_KERNEL | rate_of(answer);
            thread.stack_flags.set(stack_flags);
        }
        return answer;
    }
    if reuse::is_checked(at_ns) {
        return IN_ANY_CASE;
    }
    let place = thread.places.at(known);
    place.is_used();
    thread.kernel_stack.set(place.kernel_stack.get());
    thread.user_stack.set(place.user_stack.get());
    thread.stack_flags.set(place.flags.get());
    budget::reused();
    SKIP
}

/// The bits of [`flags`] for the rate in this answer.
const fn rate_of(answer: u32) -> u32 {
    (answer & !(SKIP | IN_ANY_CASE)) << flags::RATE_SHIFT
}

/// Why a thread leaves the CPU, in a word that tells waits apart.
#[derive(Clone, Copy)]
pub(crate) struct Why(u64);

impl Why {
    const SLEEPS: u64 = 1 << 31;

    /// It goes to sleep, with this state of the kernel and for this reason.
    #[inline(always)]
    pub(crate) fn sleeps(state: u32, reason: u32) -> Self {
        Self((state as u64) << 32 | Self::SLEEPS | reason as u64)
    }

    /// It could run on, at this [call](kernel::at_call).
    #[inline(always)]
    pub(crate) fn loses_cpu(call: u32) -> Self {
        Self((call as u64) << 32)
    }

    const fn is_forced(self) -> bool {
        self.0 & Self::SLEEPS == 0
    }
}

/// The id of the place where the current thread leaves the CPU; 0 if it cannot be told from others, or its places are not to be
/// trusted.
#[inline(always)]
fn place(task: Object, thread: &Thread, why: Why, has_user_half: bool) -> u64 {
    if REUSE.load() == 0 {
        return 0;
    }
    let registers = kernel::user_registers(task);
    let image = kernel::exec_id(task);
    // A branch here would have the verifier follow all that comes twice.
    let of_user = opaque(u64::from(has_user_half)) as u32;
    place_id(thread, &registers, image, of_user, why.0)
}

/// A global function: see `main.rs`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn place_id(
    thread: *const Thread,
    registers: *const Registers,
    image: u32,
    of_user: u32,
    why: u64,
) -> u64 {
    // SAFETY: the callers' are valid; it is checked because the verifier asks for that.
    let (Some(thread), Some(registers)) = (unsafe { (thread.as_ref(), registers.as_ref()) }) else {
        return 0;
    };
    // Its own code a thread leaves anywhere.
    let is_anywhere = of_user == 0 || why == 0 || registers.ip == 0;
    if is_anywhere || !thread.places.checks(Why(why).is_forced()).are_good() {
        return 0;
    }
    // What else the register holds, such as a counter of a loop, is no part of the way there.
    let bp = if stack::is_frame_pointer(registers) {
        registers.bp
    } else {
        0
    };
    let image_and_call = (image as u64) << 32 | thread.syscall.get() as u64;
    reuse::id([registers.ip, registers.sp, bp], image_and_call, why)
}

/// Pays for the stacks that were just taken since this moment, and keeps them for the next wait at this place. If it was known,
/// notes whether they are the same.
#[inline(always)]
fn keep(thread: &Thread, id: u64, taken_ns: u64, known: u32, answer: u32, is_forced: bool) {
    keep_place(
        thread,
        id,
        taken_ns,
        known,
        answer | u32::from(is_forced) << FORCED,
    );
}

/// Not a bit of what [`ask_price`](budget::ask_price) says.
const FORCED: u32 = 29;

/// A global function: see `main.rs`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn keep_place(
    thread: *const Thread,
    id: u64,
    taken_ns: u64,
    known: u32,
    answer: u32,
) -> u32 {
    /// Another time more may be known, or there may be room.
    const INCOMPLETE: u32 = flags::STACK_LOST | flags::USER_UNREADABLE | flags::USER_EARLY;
    // SAFETY: as above.
    let Some(thread) = (unsafe { thread.as_ref() }) else {
        return 0;
    };
    let (is_forced, answer) = (answer >> FORCED & 1 != 0, answer & !(1 << FORCED));
    budget::pay_price(answer, now_ns().saturating_sub(taken_ns));
    let stack_flags = thread.stack_flags.get();
    thread.stack_flags.set(stack_flags | rate_of(answer));
    if id == 0 || stack_flags & INCOMPLETE != 0 {
        return 0;
    }
    let (user, kernel) = (thread.user_stack.get(), thread.kernel_stack.get());
    if known != reuse::UNKNOWN {
        let place = thread.places.at(known);
        let is_same = place.user_stack.get() == user && place.kernel_stack.get() == kernel;
        thread.places.checks(is_forced).add(is_same);
        budget::checked(is_same);
    }
    let number = thread.places.make_room(id);
    if number == reuse::UNKNOWN {
        return 0;
    }
    let place = thread.places.at(number);
    if place.id.get() != id {
        place.worth.set(0);
    }
    place.id.set(id);
    place.taken_ns.set(taken_ns);
    place.user_stack.set(user);
    place.kernel_stack.set(kernel);
    place.flags.set(stack_flags);
    0
}

/// Takes the stacks of the current thread; how that went.
#[inline(always)]
fn take_new(ctx: *mut c_void, task: Object, thread: &Thread, has_user_half: bool) -> u32 {
    let in_kernel = stack::take(ctx, Place::Scheduler);
    thread.kernel_stack.set(in_kernel.key);
    thread.user_stack.set(0);
    let mut stack_flags = flags::IN_KERNEL | stack::lost(&in_kernel);
    if !has_user_half || kernel::is_in_exec(task) {
        return stack_flags | flags::NO_USER;
    }
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
    stack_flags
}

/// Tells user space of the thread's process, when it has to hear of it.
#[inline(always)]
fn announce(task: Object, thread: &Thread) {
    let image = kernel::exec_id(task).wrapping_add(1);
    if thread.announced.get() != image {
        thread.announced.set(image);
        thread.leaves.set(0);
    }
    let leaves = thread.leaves.get().saturating_add(1);
    thread.leaves.set(leaves);
    let slot = scope::slot(thread.slot.get());
    if is_milestone(leaves) {
        processes::announce_again(task, slot);
    } else if wanted::changes() {
        // Stacks may be wanted only since its process was announced, or would have been.
        processes::announce(task, slot, kernel::tgid(task), kernel::exec_id(task));
    }
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
