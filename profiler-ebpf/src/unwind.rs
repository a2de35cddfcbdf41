//! Unwinding of user stacks by tables ([`crate::abi::unwind`]), as far as it is pure: which row describes an address, and what
//! a row makes of a frame's registers. The kernel half unwinds with it; the user half tests its tables with it.

mod lookup;
mod step;

pub use lookup::{Blocks, blocks_of_index, find};
pub use step::{Memory, Registers, outcome, step, step_by_frame_pointer};
