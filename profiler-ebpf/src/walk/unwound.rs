//! Where a stack is put together while it is walked, with what is known of the way.

use core::mem::offset_of;

use ctprof_ebpf::{
    abi::{
        stack::{PART_FRAMES, PARTS, StackRecord},
        unwind::{LookedUp, MAX_UNWOUND, ShownTable},
    },
    opaque::opaque,
};

/// Stacks as they are walked: in parts, as they are stored.
#[repr(C)]
pub(crate) struct Unwound {
    pub(crate) parts: [StackRecord; PARTS],
    /// The mapping that was looked up last, and its table. Not on the stack: the verifier takes what a map holds for any number, and
    /// follows one turn of the walk only.
    pub(super) seen: LookedUp,
    pub(super) table: ShownTable,
    /// Rows of this walk, by place: a deep stack is one of few functions again and again.
    rows: [Found; FOUND],
}

/// A place, and the row that describes it.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) place: u64,
    pub(super) row: u64,
}

/// Rows that are kept: the functions of a recursion are mostly fewer.
const FOUND: usize = 8;

impl Unwound {
    /// Begins a walk: what is kept is of an earlier one, perhaps of another process.
    #[inline(always)]
    pub(super) fn forget(stack: *mut Self) {
        // SAFETY: a live map value of this CPU and hook.
        unsafe {
            (*stack).seen.area.end = 0;
            for found in &mut (*stack).rows {
                found.place = 0;
            }
        }
    }

    /// Where the row for this place is kept, if it is.
    #[inline(always)]
    pub(super) fn found(stack: *mut Self, place: u64) -> *mut Found {
        let index = opaque(place ^ place >> 3 ^ place >> 6) as usize & (FOUND - 1);
        // SAFETY: the index is below the length of the array.
        unsafe { (&raw mut (*stack).rows).cast::<Found>().add(index) }
    }
}

/// Adds a frame. Whoever reads the stack takes every address behind the first for a return address, and looks up the byte
/// before: so one that is not has to be one higher.
#[inline(always)]
pub(super) fn put(stack: *mut Unwound, number: u64, ip: u64, is_exact: bool) {
    if number >= MAX_UNWOUND as u64 {
        return;
    }
    // Records lie one behind the other. Written as a sum, because the verifier does not track the bounds of a remainder.
    let words = HEADER_WORDS + number as usize + number as usize / PART_FRAMES * BETWEEN_WORDS;
    let address = ip + u64::from(number > 0 && is_exact);
    // SAFETY: a live map value of this CPU and hook, in which the word lies: see below.
    unsafe { stack.cast::<u64>().add(words).write(address) };
}

/// Words of a record before its addresses.
const HEADER_WORDS: usize = offset_of!(StackRecord, addresses) / size_of::<u64>();
/// Words between the last frame of a record and the first of the next.
const BETWEEN_WORDS: usize = size_of::<StackRecord>() / size_of::<u64>() - PART_FRAMES;

const _: () = assert!(offset_of!(Unwound, seen) == PARTS * size_of::<StackRecord>());
