//! Threads in the ledger: entering, leaving, changing cgroups, and the reason for a sleep.

use core::intrinsics::{AtomicOrdering, atomic_cxchg, atomic_xchg};

use ctprof_ebpf::{
    abi::{
        count_key::flags,
        ledger::{FileReason, NOWHERE, SYSCALLS, Thread, queued, reason},
        loss::Loss,
        scope,
        syscall::{abi, code_of},
    },
    ledger::{Charge, Clock, phase},
    shared::Shared,
};

use crate::{
    accounts::{From, Slot},
    kernel::{self, Call, Doing, Inside, Object, QueueClock},
    loss,
    maps::{CALL_REASONS, THREADS},
    present, realtime, scope as cgroups, stack,
};

/// What is known about a thread that is in the ledger, or was or is about to be.
#[inline(always)]
pub(crate) fn get<'a>(task: Object) -> Option<&'a Thread> {
    THREADS.get(task)
}

/// Enters a thread that is not in the ledger yet, with the clock that it begins with, and that was born now or
/// before. Allocates: only where that is safe. The caller has counted it with [`present::begins`], and counts it out
/// again where this gives `None`.
#[inline(always)]
pub(crate) fn enter<'a>(
    task: Object,
    clock: impl FnOnce(&Thread) -> Clock,
    is_born: bool,
) -> Option<&'a Thread> {
    let Some(thread) = THREADS.get_or_insert(task) else {
        loss::count(Loss::ThreadUntracked);
        return None;
    };
    // The first visit finds newborn threads while their parents enter them.
    if !claim(&thread.moving) {
        return None;
    }
    let is_new = !thread.clock.is_in();
    if is_new {
        begin(task, thread, clock, is_born);
    }
    thread.moving.set(0);
    is_new.then_some(thread)
}

#[inline(always)]
fn begin(task: Object, thread: &Thread, clock: impl FnOnce(&Thread) -> Clock, is_born: bool) {
    thread.process.set(cgroups::process_of(task, is_born));
    let group = kernel::group(task);
    let value = cgroups::find_in(task, group);
    // In this order: a thread without a group is not looked at by `follow`.
    thread.slot.set(value);
    thread.group.set(group as u64);
    let clock = clock(thread);
    let (user_ns, kernel_ns) = kernel::ticked_ns(task);
    thread.ticked_user_ns.set(user_ns);
    thread.ticked_kernel_ns.set(kernel_ns);
    let home = scope::slot(value);
    thread.home.set(home);
    if let Some(account) = Slot::of(home, From::Process) {
        if is_born {
            account.comes(clock.since_ns.get());
        } else {
            account.begins(clock.since_ns.get());
        }
    }
    if is_born {
        // Until it has had a CPU there is nothing on its stack.
        thread.stack_flags.set(flags::NO_USER);
    }
    // Last: from here on the scheduler's hooks see the thread.
    thread.clock.start(&clock);
}

/// Finds out whether a thread was moved to another cgroup, and divides the open interval there.
#[inline(always)]
pub(crate) fn follow(task: Object, thread: &Thread, now_ns: u64) {
    follow_in(task, thread, kernel::group(task), now_ns);
}

/// The same for a task with this [`kernel::group`].
#[inline(always)]
pub(crate) fn follow_in(task: Object, thread: &Thread, group: Object, now_ns: u64) {
    if thread.group.get() != group as u64 {
        move_to(task, thread, group, now_ns);
    }
}

#[inline(never)]
fn move_to(task: Object, thread: *const Thread, group: Object, now_ns: u64) -> u32 {
    // SAFETY: the caller's pointer is to a live map value; it is checked because the verifier asks for that.
    let Some(thread) = (unsafe { thread.as_ref() }) else {
        return 0;
    };
    if !claim(&thread.moving) {
        return 0;
    }
    // Without any it is only being entered.
    let known = thread.group.get();
    if known != group as u64 && known != 0 {
        found_in(task, thread, group, now_ns);
    }
    thread.moving.set(0);
    0
}

/// A visit and a hook of the scheduler may see the same thread at once: only the first to come does what must
/// happen once.
#[inline(always)]
fn claim(flag: &Shared<u32>) -> bool {
    // SAFETY: the address of a live word.
    unsafe { atomic_xchg::<u32, { AtomicOrdering::SeqCst }>(flag.as_ptr(), 1) == 0 }
}

/// The slot in whose account the time of this thread ends now; `None` if it has ended elsewhere. Who gets the slot books
/// the end there, then calls [`present::ends`].
#[inline(always)]
pub(crate) fn end(thread: &Thread) -> Option<u32> {
    // SAFETY: the address of a live word.
    let home =
        unsafe { atomic_xchg::<u32, { AtomicOrdering::SeqCst }>(thread.home.as_ptr(), NOWHERE) };
    (home != NOWHERE).then_some(home)
}

/// Whether the time of this thread goes on from one slot to another: not if it has ended.
#[inline(always)]
fn go_on(thread: &Thread, from: u32, to: u32) -> bool {
    // SAFETY: the address of a live word.
    let (_, is_done) = unsafe {
        atomic_cxchg::<u32, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(
            thread.home.as_ptr(),
            from,
            to,
        )
    };
    is_done
}

#[inline(always)]
fn found_in(task: Object, thread: &Thread, group: Object, now_ns: u64) {
    thread.group.set(group as u64);
    // The kernel reports the move of a whole process for its leader only.
    let mut moved_ns = thread.moved_ns.get();
    if let Some(leader) = get(kernel::leader(task)) {
        moved_ns = moved_ns.max(leader.moved_ns.get());
    }
    let value = cgroups::find_in(task, group);
    if scope::slot(value) == scope::slot(thread.slot.get()) {
        // Whether it is recorded may have changed: user space finds out what was meant when it hears a name.
        thread.slot.set(value);
    } else {
        let since_ns = thread.clock.since_ns.get();
        let at_ns = moved_ns.clamp(since_ns, now_ns.max(since_ns));
        let (user_ns, kernel_ns) = kernel::ticked_ns(task);
        divide(thread, value, at_ns, user_ns, kernel_ns);
    }
}

/// Ends the time of a thread in its slot at this moment, by when ticks found it doing this, and begins it in another.
///
/// A global function: see `main.rs`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn divide(
    thread: *const Thread,
    value: u32,
    at_ns: u64,
    user_ns: u64,
    kernel_ns: u64,
) -> u32 {
    // SAFETY: the caller's pointer is to a live map value; it is checked because the verifier asks for that.
    let Some(thread) = (unsafe { thread.as_ref() }) else {
        return 0;
    };
    present::begins();
    book_division(thread, value, at_ns, user_ns, kernel_ns);
    present::ends();
    0
}

#[inline(always)]
fn book_division(thread: &Thread, value: u32, at_ns: u64, user_ns: u64, kernel_ns: u64) {
    let charge = thread.clock.close(at_ns, 0);
    let at_ns = thread.clock.since_ns.get();
    let before = scope::slot(thread.slot.get());
    // A visit may be held up anywhere in here while the thread goes on elsewhere, and ends. It then ends in the slot that
    // it comes to, or does not come there: each has one end for each beginning, whatever the order.
    let is_alive = go_on(thread, before, scope::slot(value));
    thread.slot.set(value);
    if let Some(account) = Slot::of(before, From::Process) {
        account.charge(charge);
        if !is_alive {
            return;
        }
        book_ticks(thread, account, user_ns, kernel_ns);
        account.leaves(at_ns);
        if thread.clock.is_runnable() {
            // Each cgroup has its own part of the wait.
            account.waited(&thread.clock);
            thread.clock.waited_ns.set(0);
            thread.clock.stopped_ns.set(0);
        }
    }
    if let Some(account) = Slot::of(scope::slot(value), From::Process) {
        account.comes(at_ns);
    }
}

/// Books what ticks found a thread doing in its slot so far.
#[inline(always)]
pub(crate) fn ticked(task: Object, thread: &Thread, account: Slot) {
    let (user_ns, kernel_ns) = kernel::ticked_ns(task);
    book_ticks(thread, account, user_ns, kernel_ns);
}

#[inline(always)]
fn book_ticks(thread: &Thread, account: Slot, user_ns: u64, kernel_ns: u64) {
    account.ticked(
        user_ns.saturating_sub(thread.ticked_user_ns.get()),
        kernel_ns.saturating_sub(thread.ticked_kernel_ns.get()),
    );
    thread.ticked_user_ns.set(user_ns);
    thread.ticked_kernel_ns.set(kernel_ns);
}

/// Remembers where a thread begins to wait. `is_passed_over` says whether its CPU goes to a thread of a lower class.
#[inline(always)]
pub(crate) fn queued(
    task: Object,
    thread: &Thread,
    now_ns: u64,
    is_passed_over: impl FnOnce() -> bool,
) {
    if kernel::is_real_time(task) {
        realtime::queued(task, thread, now_ns, is_passed_over());
    } else if kernel::may_be_stopped(task) {
        on_queue(thread, kernel::queue_clock(task, now_ns));
    } else {
        thread.queued.set(queued::FREE);
    }
}

/// Remembers a queue, and its throttle clock now.
#[inline(always)]
fn on_queue(thread: &Thread, clock: QueueClock) {
    thread.queued.set(queued::FAIR);
    thread.queue.set(clock.queue);
    thread.queue_ns.set(clock.ns);
}

/// A thread that waits is moved to the queues of this CPU.
#[inline(always)]
pub(crate) fn requeued(task: Object, thread: &Thread, cpu: u32, now_ns: u64) {
    match thread.queued.get() {
        queued::FAIR => on_queue(thread, kernel::queue_clock_on(task, cpu, now_ns)),
        queued::REAL_TIME => {
            realtime::requeued(task, thread, cpu, now_ns);
        }
        _ => {}
    }
}

/// For how long a thread that waits has been stopped by a limit since it was [`queued`].
#[inline(always)]
pub(crate) fn stopped_ns(task: Object, thread: &Thread, now_ns: u64) -> u64 {
    match thread.queued.get() {
        queued::FREE | queued::FOUND_ASLEEP => 0,
        queued::FAIR => {
            let clock = kernel::queue_clock(task, now_ns);
            if clock.queue != 0 && clock.queue == thread.queue.get() {
                clock.ns.saturating_sub(thread.queue_ns.get())
            } else {
                0
            }
        }
        _ => realtime::stopped_ns(task, thread, now_ns),
    }
}

/// Charges a wait, of which [`stopped_ns`] has said how long it was a stop.
#[inline(always)]
pub(crate) fn charge_wait(account: Slot, thread: &Thread, charge: Charge) {
    account.charge(charge);
    if charge.throttled_ns > 0
        && matches!(thread.queued.get(), queued::REAL_TIME | queued::DEADLINE)
    {
        account.limited(charge.throttled_ns);
    }
}

/// Why a thread with this state sleeps. `entry` is the scratch entry of the hook or visit that asks.
#[inline(always)]
pub(crate) fn sleeps(task: Object, thread: &Thread, state: u32, entry: u32) -> u32 {
    thread.syscall.set(0);
    let call = match kernel::doing(task, state) {
        Doing::Call(call) => call,
        Doing::Fault => return reason::FAULT,
        Doing::Work if kernel::is_in_iowait(task) => return reason::DISK,
        Doing::Work | Doing::Other => return reason::OTHER,
    };
    thread.syscall.set(code_of(call.number, call.abi));
    let known = known_reason(&call);
    if kernel::is_in_iowait(task) && known != reason::COMPLETION {
        return reason::DISK;
    }
    // File systems hardly sleep like this, and never for a disk.
    let is_on_path = known == reason::DISK && kernel::is_interruptible(state);
    // Nor like this: for servers of theirs, or for whoever has to allow the call.
    let is_asked = matches!(known, reason::DISK | reason::BY_FILE) && kernel::is_killable(state);
    let inside = if is_on_path || is_asked || known == reason::CLOSES || is_supervised(task, thread)
    {
        kernel::inside(task, entry)
    } else {
        Inside::Unknown
    };
    match (known, inside) {
        // The system call has not started yet, and may never do so.
        (_, Inside::Supervisor | Inside::Fanotify) => reason::OTHER,
        (reason::DISK, Inside::Fifo) => reason::PIPE,
        (reason::DISK, Inside::Lease) => reason::LOCK,
        (reason::CLOSES, Inside::Socket) => reason::NET,
        (reason::CLOSES, Inside::Release) => reason::OTHER,
        // Before that, only file systems with a server have something to do: they send what was written.
        (reason::CLOSES, _) => reason::DISK,
        (reason::COMPLETION, _) => reason::POLL,
        (reason::BY_FILE, _) => by_file(task, thread, state, call.first),
        (reason::SPLICES, _) => match by_file(task, thread, state, call.first) {
            reason::DISK if kernel::is_interruptible(state) => reason::PIPE,
            reason => reason,
        },
        (reason, _) => reason,
    }
}

/// Whether a seccomp supervisor may decide about this thread's system calls.
#[inline(always)]
fn is_supervised(task: Object, thread: &Thread) -> bool {
    let newest = kernel::newest_filter(task) as u64;
    if thread.filters.get() != newest {
        thread.filters.set(newest);
        thread.supervised.set(kernel::has_supervisor(task));
    }
    newest != 0 && thread.supervised.get() != 0
}

/// The reason in the table of system calls.
#[inline(always)]
fn known_reason(call: &Call) -> u32 {
    /// From here on (Linux 5.1), a call has one number on all machines.
    const SHARED_NUMBERS: u32 = 424;
    if call.number >= SYSCALLS || call.abi == abi::COMPAT && call.number < SHARED_NUMBERS {
        return reason::OTHER;
    }
    CALL_REASONS.get(call.number).copied().unwrap_or_default()
}

/// Why a thread sleeps in a read or a write of its open file of this number.
#[inline(always)]
fn by_file(task: Object, thread: &Thread, state: u32, number: u32) -> u32 {
    let file = kernel::file(task, number);
    if file == 0 {
        return reason::OTHER;
    }
    let known = thread.file.get().of(file).unwrap_or_else(|| {
        let reason = kernel::file_reason(file);
        thread.file.set(FileReason::new(file, reason));
        reason
    });
    match known {
        // The kernel is at the other end, and has nothing to say yet.
        reason::PSEUDO_FILE if kernel::is_interruptible(state) => reason::PIPE,
        reason::PSEUDO_FILE => reason::OTHER,
        reason => reason,
    }
}

/// The clock of a thread that is seen now for the first time.
#[inline(always)]
pub(crate) fn clock_of(task: Object, thread: &Thread, now_ns: u64) -> Clock {
    let state = kernel::state(task);
    if kernel::is_on_cpu(task) {
        Clock::starting(now_ns, phase::ON_CPU, 0)
    } else if state == 0 {
        Clock::starting(now_ns, phase::RUNNABLE, 0)
    } else {
        let reason = sleeps(task, thread, state, stack::ITERATOR);
        Clock::starting(now_ns, phase::BLOCKED, reason)
    }
}
