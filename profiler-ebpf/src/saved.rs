//! Return addresses of callers that unwinding by frame pointers skips: those of functions without a frame pointer, such as
//! the C library's wrappers of system calls, and the innermost functions that compilers leave without one.
//!
//! They are just above the stack pointer with which the thread entered the kernel. Only the unwind tables, which user space
//! has, say which of the words there they are, so every word that points behind a call instruction is kept, with its offset.

use core::{ffi::c_void, mem::MaybeUninit, ptr};

use aya_ebpf::helpers::generated::{bpf_loop, bpf_probe_read_user};
use ctprof_ebpf::abi::stack::{MAX_FRAMES, MAX_SAVED, StackRecord, WORDS, is_behind_call, saved};

use crate::maps::SCRATCH;

/// First scratch entry for the words.
const FIRST: u32 = 6;

/// Addresses closer to the stack pointer than this are taken for pointers into the stack. Not larger, because libraries may be
/// mapped right above a thread's stack.
const NEAR: u64 = 16 << 10;

/// Smaller words are numbers, not code: the largest usual value of `vm.mmap_min_addr`.
const LOWEST: u64 = 64 << 10;

/// The words of a stack, as [`word`] sees them.
#[repr(C)]
struct Search {
    record: *mut StackRecord,
    words: *const StackRecord,
    pointer: u64,
    frames: u64,
    found: u32,
    padding: u32,
}

/// Puts such addresses behind the `frames` of the user stack in this scratch entry, and returns how many it has then.
///
/// A global function: see `main.rs`.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn save_callers(entry: u32, frames: u64, pointer: u64) -> u64 {
    let Some(record) = SCRATCH.get_ptr_mut(entry) else {
        return frames;
    };
    // The two users of this have user stacks at 0 and 2.
    let Some(words) = SCRATCH.get_ptr_mut(FIRST + entry / 2) else {
        return frames;
    };
    // SAFETY: the scratch entry belongs to this CPU, and the helper writes at most the given size.
    let read = unsafe {
        bpf_probe_read_user(
            (&raw mut (*words).addresses).cast(),
            WORDS * size_of::<u64>() as u32,
            pointer as *const c_void,
        )
    };
    if read != 0 {
        return frames;
    }
    let mut search = Search {
        record,
        words,
        pointer,
        frames,
        found: 0,
        padding: 0,
    };
    // SAFETY: the callback takes what it is given here.
    unsafe {
        bpf_loop(
            WORDS,
            word as *mut c_void,
            ptr::from_mut(&mut search).cast(),
            0,
        )
    };
    frames + u64::from(search.found)
}

/// One word. Returns 1 when there is no room for more.
#[inline(never)]
extern "C" fn word(place: u64, search: *mut Search) -> i64 {
    // SAFETY: called with what `save_callers` passes.
    let search = unsafe { &mut *search };
    let at = search.frames + u64::from(search.found);
    if search.found >= MAX_SAVED || at >= MAX_FRAMES as u64 {
        return 1;
    }
    // SAFETY: the pointer is to a live map value, and the index is below the length of the array.
    let address = unsafe {
        (&raw const (*search.words).addresses)
            .cast::<u64>()
            .add((place & u64::from(WORDS - 1)) as usize)
            .read()
    };
    let is_in_stack = address.wrapping_sub(search.pointer).wrapping_add(NEAR) < 2 * NEAR;
    if address < LOWEST || address >> 47 != 0 || is_in_stack {
        return 0;
    }
    let mut before = MaybeUninit::<u64>::uninit();
    // SAFETY: the helper checks the address and writes all of the value where it succeeds.
    let before = unsafe {
        let failed = bpf_probe_read_user(
            before.as_mut_ptr().cast(),
            size_of::<u64>() as u32,
            address.wrapping_sub(8) as *const c_void,
        );
        if failed != 0 {
            return 0;
        }
        before.assume_init()
    };
    if is_behind_call(before) {
        // SAFETY: the scratch entry belongs to this CPU, and `at` was checked above; the mask repeats that.
        unsafe {
            (&raw mut (*search.record).addresses)
                .cast::<u64>()
                .add((at & (MAX_FRAMES as u64)) as usize)
                .write(saved(place as u32, address));
        }
        search.found += 1;
    }
    0
}

const _: () = assert!(WORDS.is_power_of_two() && (MAX_FRAMES + 1).is_power_of_two());
