//! Where a thread has waited before, and with which stacks.

use core::cell::Cell;

/// Places that are kept of a thread.
pub const PLACES: usize = 4;

/// A place where a thread has waited.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Place {
    /// Hash of what makes two waits the same: the registers with which the thread left user mode, its program image, the call,
    /// why it sleeps and how; 0 for none.
    pub id: Cell<u64>,
    /// When its stacks were taken, by `CLOCK_MONOTONIC`.
    pub taken_ns: Cell<u64>,
    /// Key in `STACKS`.
    pub user_stack: Cell<u64>,
    /// See `user_stack`.
    pub kernel_stack: Cell<u64>,
    /// Bits of [`super::count_key::flags`] of these stacks.
    pub flags: Cell<u32>,
    /// How many others it outlasts that want its room: it grows with each wait here.
    pub worth: Cell<u32>,
}

/// Whether what is kept is what would have been taken.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Checks {
    /// Waits at a known place whose stacks were taken all the same.
    pub checked: Cell<u32>,
    /// Those of them whose stacks were others than those of the place.
    pub differed: Cell<u32>,
}

/// What is kept of a thread so that its stacks need not be taken at each wait.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Places {
    /// In any order.
    pub places: [Place; PLACES],
    /// How waits that began of themselves were checked, and those for which the CPU was taken away.
    pub checks: [Checks; 2],
    /// The tenth of a second in which its stacks were taken last.
    pub tenth: Cell<u32>,
    /// How often they were taken in that.
    pub taken: Cell<u32>,
    /// Changes with each that has to go.
    pub turn: Cell<u32>,
    /// Always 0.
    pub padding: u32,
}

const _: () = assert!(size_of::<Place>() == 40 && size_of::<Places>() == 192);
