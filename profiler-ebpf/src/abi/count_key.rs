//! What a sample is counted under.

use super::COMM_BYTES;

/// Key of the `COUNTS` map: one row per distinct (container, program image, thread name, stack pair).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CountKey {
    /// Key of the user stack in `STACKS`; 0 where there is none (kernel thread, unreadable).
    pub user_stack: u64,
    /// Key of the kernel stack in `STACKS`; 0 when the sample hit user mode.
    pub kernel_stack: u64,
    /// Number of the watched cgroup; see [`super::scope`].
    pub slot: u32,
    /// Thread group id (what users call the pid), in the initial PID namespace.
    pub tgid: u32,
    /// How often this process has called `execve`: tells two program images with one tgid apart.
    pub exec_id: u32,
    /// Bits of [`flags`].
    pub flags: u32,
    /// Thread name at the time of the sample, NUL-padded.
    pub comm: [u8; COMM_BYTES],
}

const _: () = assert!(size_of::<CountKey>() == 48);

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
}
