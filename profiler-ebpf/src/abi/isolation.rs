//! What the agent samples to tell what isolation costs.

/// Addresses that a sample has room for: the innermost say which layer it is of.
pub const FRAMES: usize = 48;

/// One sample of a thread in the kernel, as an entry of the ring `ISOLATION`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct KernelSample {
    /// Whose time it is.
    pub slot: u32,
    /// Addresses that there are.
    pub frames: u32,
    /// The innermost first.
    pub addresses: [u64; FRAMES],
}

const _: () = assert!(size_of::<KernelSample>() == 8 + FRAMES * 8);
