//! Taking a stack and storing it once.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_get_stack, bpf_get_task_stack};
use ctprof_ebpf::{
    abi::{count_key::flags, loss::Loss, stack::MAX_FRAMES},
    hash,
};

use crate::{
    kernel::Object,
    loss,
    maps::{SCRATCH, STACKS},
    saved::save_callers,
};

/// `BPF_F_USER_STACK` in the kernel's `bpf.h`.
const BPF_F_USER_STACK: u64 = 1 << 8;
/// `BPF_NOEXIST`: keep the entry of a CPU that was faster.
const BPF_NOEXIST: u64 = 1;
const EEXIST: i32 = -17;
/// The scratch entry of the scheduler's hooks for kernel stacks.
pub(crate) const SCHEDULER: u32 = 3;
/// The scratch entry of the task iterator.
pub(crate) const ITERATOR: u32 = 4;

/// Which half of the stack to take; the number is the scratch entry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    User = 0,
    Kernel = 1,
}

/// Who takes a stack: a sample may interrupt the scheduler's hooks, and both a system call's, so they assemble at
/// different places. A call takes user stacks only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Sample = 0,
    Scheduler = 2,
    Call = 5,
}

/// What became of a stack.
pub(crate) struct Taken {
    /// Key in `STACKS`; 0 if there is none.
    pub(crate) key: u64,
    /// Frames that the kernel returned.
    pub(crate) frames: usize,
    /// The stack was read but could not be stored.
    pub(crate) lost: bool,
    /// The stack could not be read.
    pub(crate) unreadable: bool,
}

/// Takes one half of the current thread's stack. `ctx` is the context of the running program.
#[inline(always)]
pub(crate) fn take(ctx: *mut c_void, side: Side, place: Place) -> Taken {
    take_with(ctx, side, place, 0)
}

/// Takes the user half of the stack of the current thread, which left user mode with this stack pointer (0 if it cannot
/// be told), and what unwinding by frame pointers skips.
#[inline(always)]
pub(crate) fn take_user(ctx: *mut c_void, place: Place, pointer: u64) -> Taken {
    take_with(ctx, Side::User, place, pointer)
}

#[inline(always)]
fn take_with(ctx: *mut c_void, side: Side, place: Place, pointer: u64) -> Taken {
    let mut taken = Taken {
        key: 0,
        frames: 0,
        lost: false,
        unreadable: false,
    };
    let entry = side as u32 + place as u32;
    let Some(record) = SCRATCH.get_ptr_mut(entry) else {
        return taken;
    };
    let flags = if side == Side::User {
        BPF_F_USER_STACK
    } else {
        0
    };
    // SAFETY: the scratch entry belongs to this CPU, and the helper writes at most the given size.
    let bytes = unsafe {
        bpf_get_stack(
            ctx,
            (&raw mut (*record).addresses).cast(),
            (MAX_FRAMES * size_of::<u64>()) as u32,
            flags,
        )
    };
    finish(entry, bytes, pointer, &mut taken);
    taken
}

/// Takes the kernel half of the stack of a thread that does not run. From the task iterator only.
#[inline(always)]
pub(crate) fn take_of(task: Object) -> Taken {
    let mut taken = Taken {
        key: 0,
        frames: 0,
        lost: false,
        unreadable: false,
    };
    // The iterator may be interrupted by both users of the scratch entries, so it has one of its own.
    let Some(record) = SCRATCH.get_ptr_mut(ITERATOR) else {
        return taken;
    };
    // SAFETY: the scratch entry belongs to this CPU, and the helper writes at most the given size.
    let bytes = unsafe {
        bpf_get_task_stack(
            task.cast_mut().cast(),
            (&raw mut (*record).addresses).cast(),
            (MAX_FRAMES * size_of::<u64>()) as u32,
            0,
        )
    };
    finish(ITERATOR, bytes, 0, &mut taken);
    taken
}

#[inline(always)]
fn finish(entry: u32, bytes: i64, pointer: u64, taken: &mut Taken) {
    if bytes < 0 {
        taken.unreadable = true;
        return;
    }
    taken.frames = bytes as usize / size_of::<u64>();
    if taken.frames > 0 {
        let frames = taken.frames as u64;
        let frames = if pointer == 0 {
            frames
        } else {
            save_callers(entry, frames, pointer)
        };
        taken.key = store_stack(entry, frames);
        taken.lost = taken.key == 0;
    }
}

/// The flag that says so if a stack was lost.
#[inline(always)]
pub(crate) fn lost(taken: &Taken) -> u32 {
    if taken.lost { flags::STACK_LOST } else { 0 }
}

/// Stores the stack in this scratch entry. Returns its key in `STACKS`, 0 if it is lost.
///
/// A global function: see `main.rs`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn store_stack(entry: u32, frames: u64) -> u64 {
    let Some(record) = SCRATCH.get_ptr_mut(entry) else {
        return 0;
    };
    // SAFETY: the scratch entry belongs to this CPU; nobody else writes it while the program runs.
    let record = unsafe { &mut *record };
    record.frames = frames;
    let key = hash::stack(&record.addresses, frames as usize);
    // SAFETY: records are complete when inserted and never changed afterwards.
    if let Some(known) = unsafe { STACKS.get(key) } {
        if known.frames != frames || known.addresses[0] != record.addresses[0] {
            loss::count(Loss::StackCollision);
        }
        return key;
    }
    if let Err(error) = STACKS.insert(key, &*record, BPF_NOEXIST)
        && error != EEXIST
    {
        loss::count(Loss::StackMapFull);
        return 0;
    }
    key
}
