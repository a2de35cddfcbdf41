//! The user stack of a thread that sleeps, as the task iterator finds it: its memory is another process', so reads of it may
//! wait for pages. For programs that may sleep.
//!
//! The helper that reads it needs the thread, which no global function can be given before Linux 6.9: so the step, which is
//! one, reads from lines copied beforehand, and reports the line that it lacks.

use core::{ffi::c_void, ptr};

use aya_ebpf::helpers::generated::{bpf_copy_from_user_task, bpf_loop};
use ctprof_ebpf::{
    abi::unwind::MAX_UNWOUND,
    opaque::opaque,
    unwind::{Memory, Registers, outcome},
};

use super::{NOTHING, Unwound, Walk, next, step_in};
use crate::{kernel::Object, maps::NEARBY};

/// Bytes of a line: a part of a page, so that it can be read or cannot.
const LINE_BYTES: u64 = 512;
const LINE_WORDS: usize = LINE_BYTES as usize / size_of::<u64>();
const LINES: usize = 8;
/// No line has this address.
const NO_LINE: u64 = 1;
/// Turns of a walk: frames, and lines that are read for them.
const MOST_TURNS: u32 = 4 * MAX_UNWOUND as u32;

/// Memory of the thread that is walked, as far as it was read.
#[repr(C)]
pub(crate) struct Nearby {
    /// The line that the last step lacked, or [`NO_LINE`].
    lacks: u64,
    /// Frames so far: kept in the map, because the verifier takes its contents for unknown and so follows one turn of the walk
    /// only.
    frames: u64,
    lines: [Line; LINES],
}

#[repr(C)]
struct Line {
    address: u64,
    words: [u64; LINE_WORDS],
}

/// A walk, and whose stack it is of.
#[repr(C)]
struct Asleep {
    walk: Walk,
    nearby: *mut Nearby,
    task: Object,
}

/// Walks the stack of this thread, of the process image with this key. Returns what [`walk_user`](super::walk_user) does.
#[inline(always)]
pub(crate) fn walk_asleep(entry: u32, image: u64, task: Object) -> u64 {
    let (Some(walk), Some(nearby)) = (Walk::begin(entry, image, task), NEARBY.get_ptr_mut(0))
    else {
        return NOTHING;
    };
    Unwound::forget(walk.stack);
    for line in 0..LINES {
        // SAFETY: a live map value, which this program alone uses, and which does not leave the CPU.
        unsafe { (*nearby).lines[line].address = NO_LINE };
    }
    // SAFETY: as above.
    unsafe { (*nearby).frames = 0 };
    let mut asleep = Asleep { walk, nearby, task };
    // SAFETY: the callback takes what it is given here.
    unsafe {
        bpf_loop(
            MOST_TURNS,
            frame_asleep as *mut c_void,
            ptr::from_mut(&mut asleep).cast(),
            0,
        )
    };
    asleep.walk.result()
}

/// One frame, or one line that it lacks. Returns 1 behind the last.
#[inline(never)]
extern "C" fn frame_asleep(_: u64, asleep: *mut Asleep) -> i64 {
    // SAFETY: called with what `walk_asleep` passes.
    let asleep = unsafe { &mut *asleep };
    let (nearby, task) = (asleep.nearby, asleep.task);
    // SAFETY: a live map value, as above.
    let number = unsafe { (&raw const (*nearby).frames).read_volatile() };
    if number >= MAX_UNWOUND as u64 {
        return 1;
    }
    let step = |row, registers: &mut Registers| {
        let result = step_asleep(row, ptr::from_mut(registers));
        // SAFETY: a live map value, as above.
        let lacks = unsafe { (&raw const (*nearby).lacks).read_volatile() };
        if lacks == NO_LINE {
            // SAFETY: as above.
            unsafe { (*nearby).frames = number + 1 };
            Some(result)
        } else if read_line(nearby, lacks, task) {
            None
        } else {
            Some(outcome::UNREADABLE)
        }
    };
    next(number, &mut asleep.walk, step, |walk, _, _| {
        walk.is_guess = 1;
        0
    })
}

/// Copies the line at this address from the memory of this thread.
#[inline(always)]
fn read_line(nearby: *mut Nearby, address: u64, task: Object) -> bool {
    // SAFETY: the helper checks the address and writes all of the line, zeros where it fails.
    unsafe {
        let line = line_of(nearby, address);
        (*line).address = address;
        let failed = bpf_copy_from_user_task(
            (&raw mut (*line).words).cast(),
            LINE_BYTES as u32,
            address as *const c_void,
            task.cast_mut().cast(),
            0,
        );
        failed == 0
    }
}

/// Index of the line with this address, if it was copied.
#[inline(always)]
fn line_of(nearby: *mut Nearby, address: u64) -> *mut Line {
    let index = opaque(address / LINE_BYTES) as usize & (LINES - 1);
    // SAFETY: the index is below the length of the array.
    unsafe { (&raw mut (*nearby).lines).cast::<Line>().add(index) }
}

/// As [`step_user`](super::step_user), in the lines that there are. Where one is lacking, it says so, and the registers stay as they
/// are.
///
/// A global function: see `main.rs`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn step_asleep(row: u64, registers: *mut Registers) -> u32 {
    // SAFETY: the caller's is valid; it is checked because the verifier asks for that.
    let (Some(registers), Some(nearby)) = (unsafe { registers.as_mut() }, NEARBY.get_ptr_mut(0))
    else {
        return outcome::UNKNOWN;
    };
    // SAFETY: a live map value, as above.
    unsafe { (*nearby).lacks = NO_LINE };
    let mut callers = *registers;
    let result = step_in(row, &mut callers, &mut Lines);
    // SAFETY: as above.
    if unsafe { (&raw const (*nearby).lacks).read_volatile() } == NO_LINE {
        *registers = callers;
    }
    result
}

/// Reads the word at this address, which need not be aligned, from the lines that there are: 1 if it could. Where a line is
/// lacking, it says so.
///
/// A global function: see `main.rs`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn word_nearby(address: u64, word: *mut u64) -> u32 {
    // SAFETY: the caller's is valid; it is checked because the verifier asks for that.
    let (Some(word), Some(nearby)) = (unsafe { word.as_mut() }, NEARBY.get_ptr_mut(0)) else {
        return 0;
    };
    let bits = (address & 7) * 8;
    let Some(low) = aligned(nearby, address) else {
        return 0;
    };
    *word = low >> bits;
    if bits > 0 {
        // Code lies anywhere.
        let Some(high) = aligned(nearby, address.wrapping_add(8)) else {
            return 0;
        };
        *word |= high << (64 - bits);
    }
    1
}

#[inline(always)]
fn aligned(nearby: *mut Nearby, address: u64) -> Option<u64> {
    let wanted = address & !(LINE_BYTES - 1);
    let line = line_of(nearby, wanted);
    // SAFETY: a live map value, as above; the index is below the length of the array.
    unsafe {
        if (*line).address != wanted {
            (*nearby).lacks = wanted;
            return None;
        }
        let index = opaque(address / size_of::<u64>() as u64) as usize & (LINE_WORDS - 1);
        Some((&raw const (*line).words).cast::<u64>().add(index).read())
    }
}

/// The lines that there are.
struct Lines;

impl Memory for Lines {
    #[inline(always)]
    fn word(&mut self, address: u64) -> Option<u64> {
        let mut word = 0;
        (word_nearby(address, &raw mut word) != 0).then_some(word)
    }

    #[inline(always)]
    fn pair(&mut self, address: u64) -> Option<[u64; 2]> {
        Some([self.word(address)?, self.word(address.wrapping_add(8))?])
    }
}
