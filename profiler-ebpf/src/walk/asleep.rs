//! The user stack of a thread that sleeps, as the task iterator finds it: its memory is another process', so reads of it may
//! wait for pages. For programs that may sleep.
//!
//! The helper that reads it needs the thread, which no global function can be given before Linux 6.9: so the step, which
//! is one, reads from lines that were copied, and says which it lacks.

use core::{ffi::c_void, ptr};

use aya_ebpf::helpers::generated::{bpf_copy_from_user_task, bpf_loop};
use ctprof_ebpf::{
    abi::unwind::MAX_UNWOUND,
    opaque::opaque,
    unwind::{Memory, Registers, outcome},
};

use super::{NOTHING, Walk, next, step_in};
use crate::{kernel::Object, maps::NEARBY};

/// Bytes of a line: a part of a page, so that it can be read or cannot.
const LINE_BYTES: u64 = 512;
const LINE_WORDS: usize = LINE_BYTES as usize / size_of::<u64>();
const LINES: usize = 8;
/// No line has this address.
const NO_LINE: u64 = 1;
/// A step reads the code, a place that the frame pointer leads to, and two words of the stack, each perhaps in two lines.
const MOST_LINES: u32 = 8;

/// Memory of the thread that is walked, as far as it was read.
#[repr(C)]
pub(crate) struct Nearby {
    /// The line that the last step lacked, or [`NO_LINE`].
    lacks: u64,
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
    for line in 0..LINES {
        // SAFETY: a live map value, which this program alone uses, and which does not leave the CPU.
        unsafe { (*nearby).lines[line].address = NO_LINE };
    }
    let mut asleep = Asleep { walk, nearby, task };
    // SAFETY: the callback takes what it is given here.
    unsafe {
        bpf_loop(
            MAX_UNWOUND as u32,
            frame_asleep as *mut c_void,
            ptr::from_mut(&mut asleep).cast(),
            0,
        )
    };
    asleep.walk.result()
}

/// One frame. Returns 1 behind the last.
#[inline(never)]
extern "C" fn frame_asleep(number: u64, asleep: *mut Asleep) -> i64 {
    // SAFETY: called with what `walk_asleep` passes.
    let asleep = unsafe { &mut *asleep };
    let (nearby, task) = (asleep.nearby, asleep.task);
    next(number, &mut asleep.walk, |row, registers| {
        for _ in 0..MOST_LINES {
            let result = step_asleep(row, ptr::from_mut(registers));
            // SAFETY: a live map value, as above.
            let lacks = unsafe { (&raw const (*nearby).lacks).read_volatile() };
            if lacks == NO_LINE {
                return result;
            }
            if !read_line(nearby, lacks, task) {
                break;
            }
        }
        outcome::UNREADABLE
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

/// Where the line with this address is, if it is there.
#[inline(always)]
fn line_of(nearby: *mut Nearby, address: u64) -> *mut Line {
    let index = opaque(address / LINE_BYTES) as usize & (LINES - 1);
    // SAFETY: the index is below the length of the array.
    unsafe { (&raw mut (*nearby).lines).cast::<Line>().add(index) }
}

/// As [`step_user`](super::step_user), in the lines that there are. Where one is lacking, it says so.
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
    step_in(row, registers, &mut Lines(nearby))
}

struct Lines(*mut Nearby);

impl Lines {
    #[inline(always)]
    fn aligned(&self, address: u64) -> Option<u64> {
        let wanted = address & !(LINE_BYTES - 1);
        let line = line_of(self.0, wanted);
        // SAFETY: a live map value, as above; the index is below the length of the array.
        unsafe {
            if (*line).address != wanted {
                (*self.0).lacks = wanted;
                return None;
            }
            let index = opaque(address / size_of::<u64>() as u64) as usize & (LINE_WORDS - 1);
            Some((&raw const (*line).words).cast::<u64>().add(index).read())
        }
    }
}

impl Memory for Lines {
    #[inline(always)]
    fn word(&mut self, address: u64) -> Option<u64> {
        let bits = (address & 7) * 8;
        let low = self.aligned(address)? >> bits;
        if bits == 0 {
            return Some(low);
        }
        // Code lies anywhere.
        Some(low | self.aligned(address.wrapping_add(8))? << (64 - bits))
    }

    #[inline(always)]
    fn pair(&mut self, address: u64) -> Option<[u64; 2]> {
        Some([self.word(address)?, self.word(address.wrapping_add(8))?])
    }
}
