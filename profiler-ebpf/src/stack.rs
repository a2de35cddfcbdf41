//! Taking a stack and storing it once.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_get_stack, bpf_get_task_stack};
use ctprof_ebpf::{
    abi::{
        count_key::flags,
        loss::Loss,
        stack::{CONTINUED, MAX_FRAMES, PART_FRAMES, PARTS, StackRecord, end},
        unwind::{NO_IMAGE, image},
    },
    hash,
    opaque::opaque,
};

use crate::{
    kernel::{self, Object},
    loss,
    maps::{SCRATCH, STACKS, UNWOUND},
    saved::save_callers,
    walk::{self, Walked},
};

/// `BPF_F_USER_STACK` in the kernel's `bpf.h`.
const BPF_F_USER_STACK: u64 = 1 << 8;
/// `BPF_NOEXIST`: keep an entry that another CPU inserted first.
const BPF_NOEXIST: u64 = 1;
const EEXIST: i32 = -17;
/// The scratch entry of the scheduler's hooks for kernel stacks.
pub(crate) const SCHEDULER: u32 = 3;
/// The scratch entry of the task iterator.
pub(crate) const ITERATOR: u32 = 4;
/// And its entry of `UNWOUND`.
const ITERATOR_UNWOUND: u32 = 3;
/// Mask of every bit that the size of a stack can have.
const MOST_BYTES: u32 = (MAX_FRAMES * size_of::<u64>()) as u32;
const _: () = assert!(MOST_BYTES == 0x3f8);
/// Largest distance of a frame pointer from the stack pointer: no frame is larger.
const LARGEST_FRAME: u64 = 1 << 20;

/// Which half of the stack to take; the number is the scratch entry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    User = 0,
    Kernel = 1,
}

/// Who takes a stack: a sample may interrupt the scheduler's hooks, and both the programs of views, so they assemble at
/// different places. Programs of views run for the current thread and do not interrupt each other; they take user stacks only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Sample = 0,
    Scheduler = 2,
    View = 5,
}

impl Place {
    /// The entry of `UNWOUND` for user stacks.
    const fn unwound(self) -> u32 {
        match self {
            Self::Sample => 0,
            Self::Scheduler => 1,
            Self::View => 2,
        }
    }
}

/// What became of a stack.
pub(crate) struct Taken {
    /// Key in `STACKS`; 0 if there is none.
    pub(crate) key: u64,
    /// Frames that it has.
    pub(crate) frames: usize,
    /// There are more frames than could be taken.
    pub(crate) is_cut: bool,
    /// The stack was read but could not be stored.
    pub(crate) lost: bool,
    /// The stack could not be read.
    pub(crate) unreadable: bool,
    /// There was no table yet.
    pub(crate) is_early: bool,
}

impl Taken {
    const NOTHING: Self = Self {
        key: 0,
        frames: 0,
        is_cut: false,
        lost: false,
        unreadable: false,
        is_early: false,
    };
}

/// Takes the kernel half of the current thread's stack. `ctx` is the context of the running program.
#[inline(always)]
pub(crate) fn take(ctx: *mut c_void, place: Place) -> Taken {
    take_with(ctx, Side::Kernel, place, 0, end::BY_FRAME_POINTER, true)
}

/// Takes the user half of the stack of the current thread: by tables, or where there are none, by frame pointers with what
/// those skip.
#[inline(always)]
pub(crate) fn take_user(ctx: *mut c_void, task: Object, place: Place) -> Taken {
    let mut reached = end::BY_FRAME_POINTER;
    if walk::is_on() {
        let own = image(kernel::tgid(task), kernel::exec_id(task));
        let mut walked = Walked(walk::walk_user(place.unwound(), own));
        // A fork has mapped what its parent has, until it calls `execve`.
        if walked.frames() == 0
            && let Some((tgid, exec_id)) = kernel::same_parent(task)
        {
            walked = Walked(walk::walk_user(place.unwound(), image(tgid, exec_id)));
        }
        // User space has not told of it yet; the kernel knows what it has mapped.
        if walked.frames() == 0 {
            walked = Walked(walk::walk_user(place.unwound(), NO_IMAGE));
        }
        reached = walked.end();
        if walked.frames() > 0 {
            return unwound(place.unwound(), walked);
        }
    }
    // What is stored behind the frames is for samples and the scheduler.
    let pointer = match place {
        Place::View => 0,
        Place::Sample | Place::Scheduler => kernel::user_stack_pointer(task),
    };
    let has_frames = keeps_frame_pointer(task);
    let mut taken = take_with(ctx, Side::User, place, pointer, reached, has_frames);
    taken.is_early = reached == end::NO_TABLE;
    taken
}

#[inline(always)]
fn take_with(
    ctx: *mut c_void,
    side: Side,
    place: Place,
    pointer: u64,
    reached: u32,
    has_frames: bool,
) -> Taken {
    let mut taken = Taken::NOTHING;
    let entry = side as u32 + place as u32;
    let Some(record) = SCRATCH.get_ptr_mut(entry) else {
        return taken;
    };
    let flags = if side == Side::User {
        BPF_F_USER_STACK
    } else {
        0
    };
    let frames = if has_frames { MAX_FRAMES } else { 1 };
    // Both branches leave the verifier with the same bounds: any number up to the maximum.
    let size = opaque((frames * size_of::<u64>()) as u64) as u32 & MOST_BYTES;
    // SAFETY: the scratch entry belongs to this CPU, and the helper writes at most the given size.
    let bytes = unsafe { bpf_get_stack(ctx, (&raw mut (*record).addresses).cast(), size, flags) };
    finish(entry, bytes, pointer, reached, &mut taken);
    taken
}

/// Whether the frame-pointer register with which a thread left user mode plausibly holds a frame pointer. Code built without
/// frame pointers uses it for anything, and the kernel would follow whatever it points to.
#[inline(always)]
fn keeps_frame_pointer(task: Object) -> bool {
    let registers = kernel::user_registers(task);
    registers.bp.wrapping_sub(registers.sp) < LARGEST_FRAME
}

/// Walks the user half of the stack of a thread that sleeps, by tables, for [`store_asleep`]. From the task iterator that may sleep
/// only.
#[inline(always)]
pub(crate) fn walk_asleep(task: Object) -> Walked {
    let own = image(kernel::tgid(task), kernel::exec_id(task));
    let walked = Walked(walk::walk_asleep(ITERATOR_UNWOUND, own, task));
    if walked.frames() == 0
        && let Some((tgid, exec_id)) = kernel::same_parent(task)
    {
        return Walked(walk::walk_asleep(
            ITERATOR_UNWOUND,
            image(tgid, exec_id),
            task,
        ));
    }
    walked
}

/// Stores the stack that was walked last, which has frames. Returns its key in `STACKS`, 0 if it is lost.
#[inline(always)]
pub(crate) fn store_asleep(walked: Walked) -> u64 {
    store_unwound(ITERATOR_UNWOUND, walked.frames(), walked.end())
}

/// Stores the stack in this entry of `UNWOUND`, which was walked with this result.
#[inline(always)]
fn unwound(entry: u32, walked: Walked) -> Taken {
    let (frames, reached) = (walked.frames(), walked.end());
    let key = store_unwound(entry, frames, reached);
    Taken {
        key,
        frames: frames as usize,
        is_cut: reached == end::TOO_DEEP,
        lost: key == 0,
        unreadable: false,
        is_early: walked.is_early(),
    }
}

/// Takes the kernel half of the stack of a thread that does not run. From the task iterator only.
#[inline(always)]
pub(crate) fn take_of(task: Object) -> Taken {
    let mut taken = Taken::NOTHING;
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
    finish(ITERATOR, bytes, 0, end::BY_FRAME_POINTER, &mut taken);
    taken
}

#[inline(always)]
fn finish(entry: u32, bytes: i64, pointer: u64, reached: u32, taken: &mut Taken) {
    if bytes < 0 {
        taken.unreadable = true;
        return;
    }
    taken.frames = bytes as usize / size_of::<u64>();
    taken.is_cut = taken.frames == MAX_FRAMES;
    if taken.frames > 0 {
        let frames = taken.frames as u64;
        let frames = if pointer == 0 {
            frames
        } else {
            save_callers(entry, frames, pointer)
        };
        taken.key = store_stack(entry, frames as u32, reached);
        taken.lost = taken.key == 0;
    }
}

/// The flag that says so if a stack was lost.
#[inline(always)]
pub(crate) fn lost(taken: &Taken) -> u32 {
    if taken.lost { flags::STACK_LOST } else { 0 }
}

/// Stores the stack in this scratch entry, which ends like that. Returns its key in `STACKS`, 0 if it is lost.
///
/// A global function: see `main.rs`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn store_stack(entry: u32, frames: u32, reached: u32) -> u64 {
    let Some(record) = SCRATCH.get_ptr_mut(entry) else {
        return 0;
    };
    // SAFETY: the scratch entry belongs to this CPU; nobody else writes it while the program runs.
    store(unsafe { &mut *record }, frames, reached)
}

/// Stores the stack in this entry of `UNWOUND`, the outermost part first, for each has the key of the next. Returns the key
/// of the innermost in `STACKS`, 0 if it is lost.
///
/// A global function: see `main.rs`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn store_unwound(entry: u32, frames: u32, reached: u32) -> u64 {
    let mut key = 0;
    let mut part = PARTS as u32;
    while part > 0 {
        part -= 1;
        let before = part * PART_FRAMES as u32;
        if before >= frames {
            continue;
        }
        key = store_part(entry << 8 | part, frames - before, reached, key);
        if key == 0 {
            return 0;
        }
    }
    key
}

/// Stores one part of such a stack, given the entry and, in the lowest byte, its number; it begins with so many frames
/// left, and `next` is the key of the part that follows.
///
/// A global function: see `main.rs`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn store_part(place: u32, frames: u32, reached: u32, next: u64) -> u64 {
    let part = place as usize & 0xff;
    let Some(stack) = UNWOUND.get_ptr_mut(place >> 8) else {
        return 0;
    };
    if part >= PARTS {
        return 0;
    }
    // SAFETY: the entry belongs to this CPU and hook, and has such a part.
    let record = unsafe { &mut *stack.cast::<StackRecord>().add(part) };
    let (mut frames, mut reached) = (frames, reached);
    if frames as usize > PART_FRAMES {
        record.addresses[PART_FRAMES] = next;
        frames = MAX_FRAMES as u32;
        reached |= CONTINUED;
    }
    store(record, frames, reached)
}

#[inline(always)]
fn store(record: &mut StackRecord, frames: u32, reached: u32) -> u64 {
    record.frames = frames;
    record.end = reached;
    let key = hash::stack(record);
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
