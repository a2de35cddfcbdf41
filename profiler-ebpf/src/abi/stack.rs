//! Stacks as the kernel half stores them.

use super::unwind::MAX_UNWOUND;

/// Frames of a stack that are kept: the kernel's own limit (`PERF_MAX_STACK_DEPTH`, 127).
pub const MAX_FRAMES: usize = 127;

/// Words above the stack pointer in which return addresses are looked for.
pub const WORDS: u32 = 32;

/// Return addresses that are kept of those.
pub const MAX_SAVED: u32 = 6;

/// Marks a word behind the addresses of a user stack as one of these. No address of user space has it.
const SAVED: u64 = 1 << 63;
const PLACE_SHIFT: u32 = 48;

/// A return address that lies so many words above the stack pointer, below 128 TiB, in one word.
#[inline(always)]
#[must_use]
pub const fn saved(place: u32, address: u64) -> u64 {
    SAVED | (place as u64) << PLACE_SHIFT | address & ((1 << PLACE_SHIFT) - 1)
}

/// Whether these eight bytes of x86-64 code end in a call instruction: `e8` with a distance, or `ff /2` in any form.
#[inline(always)]
#[must_use]
pub const fn is_behind_call(before: u64) -> bool {
    const CALL: u64 = 0xe8;
    const INDIRECT: u64 = 0xff;
    /// The register part of the byte that follows: `/2`.
    const MODE: u64 = 0x38;
    const TWO: u64 = 0x10;
    if before >> 24 & 0xff == CALL {
        return true;
    }
    // The last two bytes, and with more for what the operand takes.
    let mut first = 1;
    while first < 7 {
        let two = before >> (first * 8);
        if first != 3 && two & 0xff == INDIRECT && two >> 8 & MODE == TWO {
            return true;
        }
        first += 1;
    }
    false
}

/// Bytes above the stack pointer, and the return address there; `None` for other words.
#[must_use]
pub const fn of_saved(word: u64) -> Option<(u32, u64)> {
    let place = (word >> PLACE_SHIFT) as u32 & 0x7fff;
    if word & SAVED == 0 || place >= WORDS {
        // The vsyscall page has this bit as well.
        return None;
    }
    Some((place * 8, word & ((1 << PLACE_SHIFT) - 1)))
}

/// Value of the `STACKS` map, keyed by [`crate::hash::stack`] of it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct StackRecord {
    /// How many of `addresses` are set.
    pub frames: u32,
    /// Of a user stack, one of [`end`], and perhaps [`CONTINUED`].
    pub end: u32,
    /// Instruction pointer first, then return addresses, leaf to root. In user stacks that were unwound by frame pointers,
    /// [`saved`] ones may follow; in one that is [`CONTINUED`], the last is a key.
    pub addresses: [u64; MAX_FRAMES],
}

const _: () = assert!(size_of::<StackRecord>() == 1024);

/// A bit of [`StackRecord::end`]: the last of the addresses is the key of the record with the frames that follow.
pub const CONTINUED: u32 = 1 << 31;

/// Frames of a record that is [`CONTINUED`].
pub const PART_FRAMES: usize = MAX_FRAMES - 1;

/// Records that the deepest stack takes.
pub const PARTS: usize = MAX_UNWOUND.div_ceil(PART_FRAMES);

/// Why a user stack has no more frames.
pub mod end {
    /// It was unwound by frame pointers alone: only the functions on it can tell.
    pub const BY_FRAME_POINTER: u32 = 0;
    /// It is whole.
    pub const ROOT: u32 = 1;
    /// There was no table yet, of the process or of a file in it: unwound by frame pointers.
    pub const NO_TABLE: u32 = 2;
    /// The stack could not be read there: mostly a page that is not in memory.
    pub const UNREADABLE: u32 = 3;
    /// The function's description has a rule that tables cannot hold.
    pub const UNKNOWN_RULE: u32 = 4;
    /// It is deeper than [`MAX_UNWOUND`](crate::abi::unwind::MAX_UNWOUND).
    pub const TOO_DEEP: u32 = 5;
    /// The code has no description, and keeps no frame pointer: mostly that of a JIT compiler.
    pub const NO_FRAME_POINTER: u32 = 6;
    /// The description does not fit: the stack is damaged, or the description is wrong.
    pub const BROKEN: u32 = 7;
    /// It seems whole, but a frame lies where nothing is known to be mapped, as in a library that has just been loaded: there it
    /// went by frame pointer, and the caller of a function that keeps none is missing.
    pub const UNMAPPED: u32 = 8;
}

#[cfg(test)]
mod tests {
    use super::{WORDS, is_behind_call, of_saved, saved};

    #[test]
    fn what_was_saved_is_told_from_addresses() {
        let address = 0x7fff_ffff_f123;
        for place in [0, 1, WORDS - 1] {
            assert_eq!(of_saved(saved(place, address)), Some((place * 8, address)));
        }
        let ends = |code: &[u8]| {
            let mut bytes = [0x90; 8];
            bytes[8 - code.len()..].copy_from_slice(code);
            is_behind_call(u64::from_le_bytes(bytes))
        };
        for call in [
            &[0xe8, 0xab, 0x4b, 0xfd, 0xff][..],
            &[0xff, 0xd0],
            &[0x41, 0xff, 0xd4],
            &[0xff, 0x15, 1, 2, 3, 0],
            &[0xff, 0x50, 0x18],
            &[0xff, 0x54, 0x24, 0x08],
            &[0xff, 0x94, 0x24, 0x80, 0, 0, 0],
        ] {
            assert!(ends(call), "{call:x?}");
        }
        for other in [
            &[0xff, 0xe0][..],
            &[0xff, 0x25, 1, 2, 3, 0],
            &[0xc3],
            &[0; 8],
        ] {
            assert!(!ends(other), "{other:x?}");
        }
        assert_eq!(of_saved(address), None);
        assert_eq!(of_saved(0xffff_ffff_ff60_0000), None, "vsyscall");
    }
}
