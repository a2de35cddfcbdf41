//! Stacks as the kernel half stores them.

/// Frames of a stack that are kept: the kernel's own limit (`PERF_MAX_STACK_DEPTH`, 127).
pub const MAX_FRAMES: usize = 127;

/// Value of the `STACKS` map, keyed by [`crate::hash::stack`] of its addresses.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct StackRecord {
    /// How many of `addresses` are set.
    pub frames: u64,
    /// Instruction pointer first, then return addresses, leaf to root.
    pub addresses: [u64; MAX_FRAMES],
}

const _: () = assert!(size_of::<StackRecord>() == 1024);
