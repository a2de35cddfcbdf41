//! What a sample, or an interval off the CPU, is counted under.

use super::COMM_BYTES;

/// Key of the `COUNTS` map: one row per distinct (container, program image, thread name, state, stack pair).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CountKey {
    /// Key of the user stack in `STACKS`; 0 where there is none (kernel thread, unreadable).
    pub user_stack: u64,
    /// Key of the kernel stack in `STACKS`; 0 when a sample hit user mode.
    pub kernel_stack: u64,
    /// Identity of the quota period that the sample was taken in; 0 where no quota applies.
    pub period: u64,
    /// Number of the cgroup; see [`super::scope`].
    pub slot: u32,
    /// Thread group id (what users call the pid), in the initial PID namespace.
    pub tgid: u32,
    /// Tells program images with one tgid apart: how often the process and its ancestors have called `execve` (lower half), and
    /// when the process was born (a hash, upper half), because pids are reused.
    pub exec_id: u32,
    /// Bits of [`flags`].
    pub flags: u32,
    /// One of [`super::ledger::state`].
    pub state: u32,
    /// The system call that the thread is in, as [`super::syscall::code_of`] has it; 0 for none.
    pub syscall: u32,
    /// Thread name at the time, NUL-padded.
    pub comm: [u8; COMM_BYTES],
}

const _: () = assert!(size_of::<CountKey>() == 64);

/// Value of the `COUNTS` map.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// On-CPU: samples. Else: intervals.
    pub count: u64,
    /// Length of the intervals; 0 on-CPU, where the sampling period says it.
    pub ns: u64,
}

const _: () = assert!(size_of::<Count>() == 16);

/// Bits of [`CountKey::flags`].
pub mod flags {
    /// The CPU was in kernel mode.
    pub const IN_KERNEL: u32 = 1 << 0;
    /// The user stack could not be read although the thread has one.
    pub const USER_UNREADABLE: u32 = 1 << 1;
    /// The user stack was deeper than [`crate::abi::stack::MAX_FRAMES`].
    pub const USER_CUT: u32 = 1 << 2;
    /// A stack was taken, but `STACKS` was full.
    pub const STACK_LOST: u32 = 1 << 3;
    /// Intervals shorter than the least that stacks are kept for.
    pub const SHORT: u32 = 1 << 4;
    /// The interval began before the recording: its stack, or the user half of it, is not known.
    pub const BEFORE: u32 = 1 << 5;
    /// The user stack was taken before there was a table for it: a visit will complete it if the wait lasts.
    pub const USER_EARLY: u32 = 1 << 6;
    /// The thread had no user half: it loads another program, has given back its memory on its way out, or is a worker that the
    /// kernel created in the process. The kernel half is all that there is.
    pub const NO_USER: u32 = 1 << 7;
}
