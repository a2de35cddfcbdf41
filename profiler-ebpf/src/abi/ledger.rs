//! The time ledger as it crosses the border: accounts of slots, threads, who delayed whom.

use core::{cell::Cell, mem::offset_of};

use super::COMM_BYTES;
use crate::shared::Shared;

/// Positions in [`Account::time_ns`].
pub mod state {
    /// Running.
    pub const ON_CPU: usize = 0;
    /// Runnable, waiting for a CPU.
    pub const RUN_QUEUE: usize = 1;
    /// Runnable, stopped by a quota.
    pub const THROTTLED: usize = 2;
    /// Asleep: this and the [`super::reason`].
    pub const BLOCKED: usize = 3;
    /// How many states there are.
    pub const COUNT: usize = BLOCKED + super::reason::COUNT as usize;
}

/// Why a thread sleeps.
pub mod reason {
    /// Anything else.
    pub const OTHER: u32 = 0;
    /// A disk or a file system.
    pub const DISK: u32 = 1;
    /// A lock, or another thread through a futex.
    pub const LOCK: u32 = 2;
    /// A socket.
    pub const NET: u32 = 3;
    /// Readiness of files.
    pub const POLL: u32 = 4;
    /// A timer or a signal.
    pub const SLEEP: u32 = 5;
    /// A pipe or a message queue.
    pub const PIPE: u32 = 6;
    /// A page fault.
    pub const FAULT: u32 = 7;
    /// A child.
    pub const CHILD: u32 = 8;
    /// How many reasons there are.
    pub const COUNT: u32 = 9;

    /// In the table of system calls: the reason is the type of the file that the first argument names.
    pub const BY_FILE: u32 = 0x80;
    /// The same for a call that has a pipe at one of its two ends: what sleeps on a file without waiting for a disk waits
    /// for the pipe.
    pub const SPLICES: u32 = 0x81;
    /// In the table of system calls: [`POLL`], even if the kernel accounts for it as input or output. `io_uring_enter`
    /// counts any completion as that.
    pub const COMPLETION: u32 = 0x82;
    /// Of a file: it is made up by the kernel. A read of it waits for what the kernel has to say, or for the kernel itself.
    pub const PSEUDO_FILE: u32 = 0x83;
    /// In the table of system calls: the call closes a file, which is in no table any more when it sleeps.
    pub const CLOSES: u32 = 0x84;
}

/// Values of [`Thread::queued`]: what could stop a thread that waits, and what `queue` and `queue_ns` mean.
pub mod queued {
    /// Nothing.
    pub const FREE: u32 = 0;
    /// A quota of its cgroup: `queue` is its CFS queue.
    pub const FAIR: u32 = 1;
    /// A limit on real-time threads: `queue` identifies its real-time queue.
    pub const REAL_TIME: u32 = 2;
    /// Its budget (`SCHED_DEADLINE`) is used up, and there will be a new one at the moment `queue`.
    pub const DEADLINE: u32 = 3;
    /// Nothing: it slept when the first visit found it, and may have been woken while that looked.
    pub const FOUND_ASLEEP: u32 = 4;
}

/// Entries of the table of system calls; a number beyond is a reason of its own kind, [`reason::OTHER`].
pub const SYSCALLS: u32 = 512;

/// What one CPU has charged to one slot. Times in ns. What a switch touches is in the first two lines of the CPU's cache (64
/// bytes each): with thousands of cgroups, the cost is that of cache misses.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Waits for a CPU.
    pub waits: Series,
    /// Switches away from a thread that went to sleep or ended.
    pub voluntary: u64,
    /// Switches away from a thread that could have run on.
    pub involuntary: u64,
    /// Thread time by [`state`].
    pub time_ns: [u64; state::COUNT],
    /// Times that a thread was stopped by a quota.
    pub stops: Series,
    /// Lifetime of its threads: the moments at which they left minus those at which they came, wrapping. Over
    /// all CPUs, once every thread has left, this is the sum of their lifetimes.
    pub lifetime_ns: u64,
    /// What the scheduler's ticks found its threads doing, by their own count: running in user mode.
    pub ticked_user_ns: u64,
    /// The same: in the kernel.
    pub ticked_kernel_ns: u64,
    /// Threads that came: born, or moved in.
    pub came: u64,
    /// Threads that left: ended, or moved out.
    pub left: u64,
    /// Moves of waiting threads to another CPU.
    pub migrations: u64,
    /// Threads whose time has begun in this slot less those whose time has ended, wrapping. Over all CPUs 0 once every
    /// thread has left.
    pub present: u64,
    /// The part of [`state::THROTTLED`] for which it was a limit on real-time or deadline threads that stopped them, and not
    /// a quota.
    pub limited_ns: u64,
    /// Always 0.
    pub padding: [u64; 4],
}

/// What one CPU has seen begin and end, each counted once its part of the bookkeeping is about to start or is done. Read
/// `ended` of all CPUs first and `begun` after it: where the sums are equal, nothing was in progress in between.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Present {
    /// Threads that began, and divisions of a thread's time between two slots.
    pub begun: u64,
    /// Those that are over.
    pub ended: u64,
}

const _: () = assert!(size_of::<Present>() == 16);

/// Count, sum and maximum of durations.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Series {
    /// How many.
    pub count: u64,
    /// Their sum.
    pub sum_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

const _: () = assert!(size_of::<Account>() == 256 && state::COUNT == 12);
const _: () = assert!(offset_of!(Account, time_ns) + 8 * state::COUNT <= 3 * 64);

/// What is known about a thread, in its task storage. What every switch and wakeup needs comes first: the kernel puts 8
/// bytes of its own before it, so that 56 share a line of the CPU's cache with these.
///
/// Hooks on two CPUs may handle the same thread at once, so they have a shared reference, and the type of a field says who
/// writes it:
///
/// - [`Cell`]: the scheduler's hooks, which the kernel calls one after the other for one thread, under the lock of its run
///   queue or of its wakeup; its parent, before any of them; and visits. A visit leaves threads alone that had an event a
///   moment ago, but for the one after the end of the ledger, which is alone. One that is late all the same, or the thread
///   early, may mix two events of it: the figures of one interval are wrong then, and none after it.
/// - [`Shared`]: others as well. `group` and `slot` are written by whoever has `moving`, and `group` by a visit that wants
///   them looked up anew; `moved_ns` by the hook of a move, on the mover's CPU; `moving` and `home` change by atomic
///   exchange, once the thread is in.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Thread {
    /// What it does and since when.
    pub clock: crate::ledger::Clock,
    /// Identity of the cgroup that its slot was found for.
    pub group: Shared<u64>,
    /// The file that its last blocking read or write was on, and the reason that follows; see [`FileReason`].
    pub file: Cell<FileReason>,
    /// Slot, with its flags; see [`super::scope`].
    pub slot: Shared<u32>,
    /// What could stop this wait: one of [`queued`].
    pub queued: Cell<u32>,
    /// The queue that it waits on.
    pub queue: Cell<u64>,
    /// The queue's throttle clock when the wait, or this part of it, began.
    pub queue_ns: Cell<u64>,
    /// When it was last moved to another cgroup; for a leader, when its whole process was.
    pub moved_ns: Shared<u64>,
    /// What the scheduler's ticks had found it doing when its time in this slot began: user mode.
    pub ticked_user_ns: Cell<u64>,
    /// The same: in the kernel.
    pub ticked_kernel_ns: Cell<u64>,
    /// Stack with which it left the CPU.
    pub user_stack: Cell<u64>,
    /// See `user_stack`.
    pub kernel_stack: Cell<u64>,
    /// What views keep of it.
    pub views: crate::views::OfThread,
    /// Quota period in which its wait began; see [`super::count_key::CountKey::period`].
    pub period: Cell<u64>,
    /// The system call that it left the CPU in, as [`super::syscall::code_of`] has it; 0 for none.
    pub syscall: Cell<u32>,
    /// Bits of [`super::count_key::flags`] of the stack.
    pub stack_flags: Cell<u32>,
    /// Image that was last announced to user space, plus 1.
    pub announced: Cell<u32>,
    /// How often it has left the CPU since it has this image.
    pub leaves: Cell<u32>,
    /// 1 while it is being entered, or its interval divided by a move.
    pub moving: Shared<u32>,
    /// Slot in whose account its time has begun and is to end, or [`NOWHERE`]. Whoever takes a slot out of here, at once
    /// with reading it, books that end, and nobody else does.
    pub home: Shared<u32>,
    /// The newest of its seccomp filters when it last slept in a call, by its address in the kernel; 0 for none.
    pub filters: Cell<u64>,
    /// 1 if one of these filters can have another process decide about a call (`SECCOMP_RET_USER_NOTIF`).
    pub supervised: Cell<u32>,
    /// Slot, with its flags, of the chosen process that it is of or descends from, wherever its cgroup is; 0 for none.
    pub process: Cell<u32>,
    /// Of a sleep that goes on, what visits have charged and not yet counted: its stack was not had in time, and may be
    /// completed.
    pub early_ns: Cell<u64>,
    /// Its name when it left the CPU.
    pub comm: Cell<[u8; COMM_BYTES]>,
}

const _: () = assert!(offset_of!(Thread, queued) == 56 - 4);

/// Value of [`Thread::home`] when the thread's time has ended, by its exit or by the last visit.
pub const NOWHERE: u32 = u32::MAX;

/// An open file, by its address in the kernel without the upper 8 bits, which all addresses share, and the
/// [`reason`] of a sleep in a read or a write of it.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileReason(u64);

impl FileReason {
    /// A sleep on the file at this address is for this reason.
    #[inline(always)]
    #[must_use]
    pub const fn new(file: u64, reason: u32) -> Self {
        Self(file << 8 | reason as u64 & 0xff)
    }

    /// The reason, if it is about the file at this address.
    #[inline(always)]
    #[must_use]
    pub const fn of(self, file: u64) -> Option<u32> {
        let reason = self.0 ^ file << 8;
        if reason <= 0xff {
            Some(reason as u32)
        } else {
            None
        }
    }
}

/// For how long a run queue was stopped by a quota.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThrottleClock {
    /// Stops that are over.
    pub total_ns: u64,
    /// When the one in progress began; 0 if there is none.
    pub since_ns: u64,
}

/// Key of the delay matrix; the value is time in ns.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DelayKey {
    /// Slot of the thread that waited.
    pub victim: u32,
    /// Slot of what ran meanwhile.
    pub culprit: u32,
}

const _: () = assert!(size_of::<DelayKey>() == 8);

/// Threads of a slot, as the visits that charge them find them: value of `POPULATION`.
pub mod population {
    /// One more thread, found by the visit of this number.
    #[inline(always)]
    #[must_use]
    pub const fn add(value: u64, visit: u32) -> u64 {
        if (value >> 32) as u32 == visit {
            value + 1
        } else {
            (visit as u64) << 32 | 1
        }
    }

    /// Threads that the visit of this number found.
    #[inline(always)]
    #[must_use]
    pub const fn of(value: u64, visit: u32) -> u32 {
        if (value >> 32) as u32 == visit {
            value as u32
        } else {
            0
        }
    }
}

/// What the task iterator is to do: value of `CONTROL[0]`.
pub mod visit {
    /// Enter every thread in the ledger.
    pub const OPEN: u32 = 1;
    /// Find out which threads are in another cgroup by now.
    pub const FOLLOW: u32 = 3;
    /// Charge what every thread has done until the end, and take it out.
    pub const CLOSE: u32 = 2;
    /// Charge what every thread has done so far, and go on; count the threads of every slot. The number of the visit
    /// is in `CONTROL[1]`.
    pub const SETTLE: u32 = 4;
    /// Find out which threads are in a cgroup that was given a slot only now.
    pub const LOOK_AGAIN: u32 = 5;
    /// Stacks are wanted of others from now on, or not any more: count what is open of those that are wanted, with the
    /// stacks that they have, take stacks of those that sleep or wait without one, and forget those that nobody wants.
    pub const STACKS: u32 = 7;
    /// End the ledger. Once every hook that had begun before is through, [`CLOSE`] has all threads for itself.
    pub const END: u32 = 6;
}
