//! Threads in the ledger: entering, leaving, changing cgroups, and the reason for a sleep.

use core::{
    intrinsics::{AtomicOrdering, atomic_xchg},
    ptr,
};

use ctprof_ebpf::{
    abi::{
        ledger::{SYSCALLS, Thread, reason},
        loss::Loss,
        scope,
        syscall::{abi, code_of},
    },
    ledger::{Clock, phase},
};

use crate::{
    accounts::{From, Slot},
    kernel::{self, Doing, Object, QueueClock},
    loss,
    maps::{CALL_REASONS, THREADS},
    scope as cgroups,
};

/// Enters a thread that is not in the ledger yet, and that was born now or before. Allocates: only where that is
/// safe.
#[inline(always)]
pub(crate) fn enter(task: Object, clock: Clock, is_born: bool) -> Option<*mut Thread> {
    let value = cgroups::find(task);
    let mut thread = Thread {
        group: kernel::group(task),
        slot: value,
        ..Thread::default()
    };
    let Some(known) = THREADS.get_or_insert(task, &mut thread) else {
        loss::count(Loss::ThreadUntracked);
        return None;
    };
    // SAFETY: the pointer is to a live map value.
    let thread = unsafe { &mut *known };
    if thread.clock.is_in() {
        return None;
    }
    thread.ended = 0;
    thread.group = kernel::group(task);
    thread.slot = value;
    (thread.ticked_user_ns, thread.ticked_kernel_ns) = kernel::ticked_ns(task);
    if let Some(account) = Slot::of(scope::slot(value), From::Process) {
        if is_born {
            account.comes(clock.since_ns);
        } else {
            account.begins(clock.since_ns);
        }
    }
    // Last: from here on the scheduler's hooks see the thread.
    thread.clock = clock;
    Some(known)
}

/// Finds out whether a thread was moved to another cgroup, and divides the open interval there.
#[inline(always)]
pub(crate) fn follow(task: Object, thread: &mut Thread, now_ns: u64) {
    let group = kernel::group(task);
    if thread.group != group {
        move_to(task, thread, group, now_ns);
    }
}

#[inline(never)]
fn move_to(task: Object, thread: *mut Thread, group: u64, now_ns: u64) -> u32 {
    // SAFETY: the caller's pointer is to a live map value; it is checked because the verifier asks for that.
    let Some(thread) = (unsafe { thread.as_mut() }) else {
        return 0;
    };
    if !claim(&raw mut thread.moving) {
        return 0;
    }
    if thread.group != group {
        divide(task, thread, group, now_ns);
    }
    thread.moving = 0;
    0
}

/// A visit and a hook of the scheduler may see the same thread at once: only the first to come does what must
/// happen once.
#[inline(always)]
fn claim(flag: *mut u32) -> bool {
    // SAFETY: the callers' pointer is to a live map value.
    unsafe { atomic_xchg::<u32, { AtomicOrdering::SeqCst }>(flag, 1) == 0 }
}

/// Whether the time of this thread ends here, and not elsewhere at the same moment.
#[inline(always)]
pub(crate) fn claim_end(thread: &mut Thread) -> bool {
    claim(&raw mut thread.ended)
}

#[inline(always)]
fn divide(task: Object, thread: &mut Thread, group: u64, now_ns: u64) {
    thread.group = group;
    let value = cgroups::find(task);
    if value == thread.slot {
        return;
    }
    // The kernel reports the move of a whole process for its leader only.
    let mut moved_ns = thread.moved_ns;
    if let Some(leader) = THREADS.get(kernel::leader(task)) {
        // SAFETY: the pointer is to a live map value.
        moved_ns = moved_ns.max(unsafe { (*leader).moved_ns });
    }
    let at_ns = moved_ns.clamp(thread.clock.since_ns, now_ns.max(thread.clock.since_ns));
    let charge = thread.clock.close(at_ns, 0);
    let at_ns = thread.clock.since_ns;
    let before = thread.slot;
    // First: a visit may be held up below while the thread goes on elsewhere, and ends. It then ends in the slot that
    // it comes to, and both have one end for each beginning, whatever the order.
    // SAFETY: a reference to a live map value.
    unsafe { ptr::write_volatile(&raw mut thread.slot, value) };
    if let Some(account) = Slot::of(scope::slot(before), From::Process) {
        account.charge(charge);
        ticked(task, thread, account);
        account.leaves(at_ns);
        if thread.clock.is_runnable() {
            // Each cgroup has its own part of the wait.
            account.waited(&thread.clock);
            thread.clock.waited_ns = 0;
            thread.clock.stopped_ns = 0;
        }
    }
    if let Some(account) = Slot::of(scope::slot(value), From::Process) {
        account.comes(at_ns);
    }
}

/// Books what ticks found a thread doing in its slot so far.
#[inline(always)]
pub(crate) fn ticked(task: Object, thread: &mut Thread, account: Slot) {
    let (user_ns, kernel_ns) = kernel::ticked_ns(task);
    account.ticked(
        user_ns.saturating_sub(thread.ticked_user_ns),
        kernel_ns.saturating_sub(thread.ticked_kernel_ns),
    );
    thread.ticked_user_ns = user_ns;
    thread.ticked_kernel_ns = kernel_ns;
}

/// Remembers where a thread begins to wait.
#[inline(always)]
pub(crate) fn queued(task: Object, thread: &mut Thread, now_ns: u64) {
    let clock = if kernel::may_be_stopped(task) {
        kernel::queue_clock(task, now_ns)
    } else {
        QueueClock::default()
    };
    thread.queue = clock.queue;
    thread.queue_ns = clock.ns;
}

/// For how long a thread that waits has been stopped by a quota since it was [`queued`].
#[inline(always)]
pub(crate) fn stopped_ns(task: Object, thread: &Thread, now_ns: u64) -> u64 {
    if thread.queue == 0 {
        return 0;
    }
    let clock = kernel::queue_clock(task, now_ns);
    if clock.queue == thread.queue {
        clock.ns.saturating_sub(thread.queue_ns)
    } else {
        0
    }
}

/// Why a thread with this state sleeps.
#[inline(always)]
pub(crate) fn sleeps(task: Object, thread: &mut Thread, state: u32) -> u32 {
    thread.syscall = 0;
    let call = match kernel::doing(task, state) {
        Doing::Call(call) => call,
        Doing::Fault => return reason::FAULT,
        Doing::Other => return reason::OTHER,
    };
    thread.syscall = code_of(call.number, call.abi);
    if kernel::is_in_iowait(task) {
        return reason::DISK;
    }
    if call.abi != abi::NATIVE || call.number >= SYSCALLS {
        return reason::OTHER;
    }
    let known = CALL_REASONS.get(call.number).copied().unwrap_or_default();
    if known != reason::BY_FILE {
        return known;
    }
    let file = kernel::file(task, call.first);
    if file == 0 {
        return reason::OTHER;
    }
    if file != thread.file {
        thread.file = file;
        thread.file_reason = by_type(kernel::type_of_file(file));
    }
    thread.file_reason
}

/// `S_IF*` bits, as in the kernel's `stat.h`, to the reason of a sleep in a read or a write.
#[inline(always)]
fn by_type(kind: u16) -> u32 {
    match kind {
        // Socket.
        0xc000 => reason::NET,
        // FIFO or pipe.
        0x1000 => reason::PIPE,
        // Regular file, folder, block device.
        0x8000 | 0x4000 | 0x6000 => reason::DISK,
        // No type: eventfd, timerfd, inotify and the like.
        0 => reason::POLL,
        // Terminals and other character devices.
        _ => reason::OTHER,
    }
}

/// The clock of a thread that is seen now for the first time.
#[inline(always)]
pub(crate) fn clock_of(task: Object, thread: &mut Thread, now_ns: u64) -> Clock {
    let state = kernel::state(task);
    if kernel::is_on_cpu(task) {
        Clock::starting(now_ns, phase::ON_CPU, 0)
    } else if state == 0 {
        Clock::starting(now_ns, phase::RUNNABLE, 0)
    } else {
        let reason = sleeps(task, thread, state);
        Clock::starting(now_ns, phase::BLOCKED, reason)
    }
}
