//! What the agent samples to tell what isolation costs.

use crate::abi::loss::Cause;
use crate::views::View;

/// Nothing is kept of a thread.
pub type OfThread = ();

/// Names of what can be lost, by [`Lost`].
pub const LOSSES: &[&str] = &["isolation_dropped"];

/// What can be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Lost {
    /// A sample found the ring `ISOLATION` full: its time is missing.
    Sample = 0,
}

impl From<Lost> for Cause {
    #[inline(always)]
    fn from(lost: Lost) -> Self {
        Self::of_view(View::isolation, lost as u32)
    }
}

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
