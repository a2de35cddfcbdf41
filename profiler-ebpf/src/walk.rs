//! Walks user stacks by tables: see [`ctprof_ebpf::abi::unwind`].
//!
//! - here: of the current thread
//! - `unwound`: where the stack is put together
//! - `seen`: what it has mapped, where user space has not told of it yet
//! - `asleep`: of a thread that sleeps, from the task iterator
//!
//! A walk begins with the registers with which the thread left user mode, whether for a system call, a page fault or the
//! interrupt that samples it. Code that no table describes is taken to keep frame pointers, as Go's and most JIT
//! compilers' does.

use core::{ffi::c_void, mem::MaybeUninit, ptr};

use aya_ebpf::{
    Global,
    helpers::generated::{bpf_loop, bpf_probe_read_user},
};
use ctprof_ebpf::{
    abi::{
        stack::end,
        unwind::{Block, MAX_MAPPED, MAX_UNWOUND, Mapped, Mappings, NO_IMAGE, Row, cfa, table},
    },
    opaque::opaque,
    unwind::{Blocks, Memory, Registers, find, outcome, step, step_by_frame_pointer},
};

use crate::{
    kernel::{self, Object},
    maps::{MAPPINGS, TABLES, UNWOUND},
};

mod asleep;
mod seen;
mod unwound;

pub(crate) use asleep::{Nearby, walk_asleep};
pub(crate) use unwound::Unwound;
use unwound::{Found, put};

#[unsafe(no_mangle)]
static UNWIND: Global<u32> = Global::new(0);

/// End of user space on x86-64; with five-level page tables only an `mmap` with a hint goes above.
const HIGHEST: u64 = 1 << 47;

/// `mov $15, %rax; syscall`, of which the first eight bytes: how C libraries and Go return from a signal's handler.
const SIGRETURN: u64 = 0x0f00_0000_0fc0_c748;
/// The same with `mov $15, %eax`, seven bytes.
const SHORT_SIGRETURN: u64 = 0x05_0f00_0000_0fb8;
const SEVEN_BYTES: u64 = (1 << 56) - 1;

/// Whether stacks are walked by tables.
#[inline(always)]
pub(crate) fn is_on() -> bool {
    UNWIND.load() == 1
}

/// Where a walk is.
#[repr(C)]
struct Walk {
    mappings: *const Mappings,
    stack: *mut Unwound,
    registers: Registers,
    frames: u32,
    end: u32,
    /// The mapping that the last frame was in: mostly the next one's, too.
    mapped: u32,
    /// The instruction pointer is not a return address, but where the code goes on.
    is_exact: u32,
    /// A frame lies where nothing is known to be mapped: in a library that has just been loaded, whose functions need keep no
    /// frame pointer.
    is_guess: u32,
}

/// A walk of the current thread.
#[repr(C)]
struct Awake {
    walk: Walk,
    entry: u32,
    image: u64,
}

impl Walk {
    /// A walk of a thread of the process image with this key, into the entry of `UNWOUND` with this number; `None` where the
    /// image is not known yet.
    #[inline(always)]
    fn begin(entry: u32, image: u64, task: Object) -> Option<Self> {
        let registers = kernel::user_registers(task);
        if registers.ip == 0 {
            return None;
        }
        Some(Self {
            mappings: MAPPINGS.get_ptr(image)?,
            stack: UNWOUND.get_ptr_mut(entry)?,
            registers,
            frames: 0,
            end: end::TOO_DEEP,
            mapped: 0,
            is_exact: 1,
            // 0: user space addresses do not have this bit. To the verifier it is unknown from the start, so it follows one
            // turn of the walk only.
            is_guess: (registers.ip >> 63) as u32,
        })
    }

    /// What [`Walked`] reads.
    #[inline(always)]
    const fn result(&self) -> u64 {
        let is_early = self.end == end::NO_TABLE;
        let frames = if is_early { 0 } else { self.frames };
        let end = if self.is_guess != 0 && self.end == end::ROOT {
            end::UNMAPPED
        } else {
            self.end
        };
        let guess = (self.is_guess as u64) << 63;
        guess | (end as u64) << 32 | frames as u64
    }
}

/// Walks the stack of the current thread, of the process image with this key, into the entry of `UNWOUND` with this
/// number. Returns a [`Walked`], without frames where there is no table yet.
///
/// A global function: see `main.rs`.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn walk_user(entry: u32, image: u64) -> u64 {
    let Some(walk) = Walk::begin(entry, image, kernel::current()) else {
        return NOTHING;
    };
    let mut awake = Awake { walk, entry, image };
    Unwound::forget(awake.walk.stack);
    // SAFETY: the callback takes what it is given here.
    unsafe {
        bpf_loop(
            MAX_UNWOUND as u32,
            frame as *mut c_void,
            ptr::from_mut(&mut awake).cast(),
            0,
        )
    };
    awake.walk.result()
}

/// What became of a walk, in one number.
#[derive(Clone, Copy)]
pub(crate) struct Walked(pub(crate) u64);

impl Walked {
    pub(crate) const fn frames(self) -> u32 {
        self.0 as u32
    }

    /// One of [`end`].
    pub(crate) const fn end(self) -> u32 {
        (self.0 >> 32) as u32 & 0x7fff_ffff
    }

    /// It may change once more mappings are known.
    pub(crate) const fn is_early(self) -> bool {
        self.0 >> 63 != 0 || self.end() == end::NO_TABLE
    }
}

/// No frames, because there is no table yet.
const NOTHING: u64 = (end::NO_TABLE as u64) << 32;

/// One frame. Returns 1 behind the last.
#[inline(never)]
extern "C" fn frame(number: u64, awake: *mut Awake) -> i64 {
    // SAFETY: called with what `walk_user` passes.
    let awake = unsafe { &mut *awake };
    let (entry, image) = (awake.entry, awake.image);
    let step = |row, registers: &mut Registers| Some(step_user(row, ptr::from_mut(registers)));
    next(number, &mut awake.walk, step, |walk, place, is_exact| {
        let what = seen::see(entry, place);
        if what == seen::TABLE {
            // SAFETY: a live map value of this CPU and hook.
            let (start, table) = unsafe { ((*walk.stack).seen.area.start, (*walk.stack).table) };
            let at = place.wrapping_sub(start.wrapping_add(table.origin));
            return row_at(table.table, table.pages, at, is_exact);
        }
        if what == seen::UNKNOWN {
            if image == NO_IMAGE {
                walk.end = end::NO_TABLE;
            }
            walk.is_guess = 1;
        }
        0
    })
}

/// The frame with this number, and the way to its caller's, if the step can be made. `unknown` gives the row where nothing is known
/// to be mapped, and says in the walk if that is a guess, or the end. Returns 1 behind the last.
#[inline(always)]
fn next(
    number: u64,
    walk: &mut Walk,
    step: impl FnOnce(u64, &mut Registers) -> Option<u32>,
    unknown: impl FnOnce(&mut Walk, u64, bool) -> u64,
) -> i64 {
    let (ip, is_exact) = (walk.registers.ip, walk.is_exact != 0);
    let place = ip.wrapping_sub(u64::from(!is_exact));
    let found = Unwound::found(walk.stack, place);
    // SAFETY: a live map value of this CPU and hook.
    let (known, mut row) = unsafe { ((*found).place, (*found).row) };
    if known != place {
        row = 0;
        if let Some(mapped) = mapped(walk, place) {
            if mapped.table == table::NOT_YET {
                walk.end = end::NO_TABLE;
                return 1;
            }
            if mapped.table != table::NONE {
                let at = place.wrapping_sub(mapped.origin);
                row = row_at(mapped.table, mapped.pages, at, is_exact);
            }
        } else {
            row = unknown(walk, place, is_exact);
            if walk.end == end::NO_TABLE {
                return 1;
            }
        }
        if row != 0 {
            // SAFETY: as above.
            unsafe { found.write(Found { place, row }) };
        }
    }
    let Some(result) = step(row, &mut walk.registers) else {
        return 0;
    };
    walk.frames = number as u32 + 1;
    let is_interrupted = result == outcome::INTERRUPTED;
    // The handler returns to the beginning of code that nothing has called: the byte before is another function's.
    put(walk.stack, number, ip, is_exact || is_interrupted);
    walk.is_exact = u32::from(is_interrupted);
    if result == outcome::CALLER || is_interrupted {
        return 0;
    }
    walk.end = match result {
        outcome::END => end::ROOT,
        outcome::UNKNOWN => end::UNKNOWN_RULE,
        outcome::UNREADABLE => end::UNREADABLE,
        outcome::NO_ROW => end::NO_FRAME_POINTER,
        _ => end::BROKEN,
    };
    1
}

/// The row for this place in a table; 0 for none.
#[inline(always)]
fn row_at(table: u32, pages: u32, at: u64, is_exact: bool) -> u64 {
    let row = row_of(table, pages, at);
    if row == 0 && !is_exact {
        // Nothing has called it: it was put on the stack as the place to return to (`makecontext`).
        return row_of(table, pages, at.wrapping_add(1));
    }
    row
}

/// The row ([`Row::to_word`]) of a table that covers an address, counted from its origin; 0 for none.
///
/// A global function: see `main.rs`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn row_of(table: u32, pages: u32, address: u64) -> u64 {
    find(&mut Table(table), pages, address).map_or(0, Row::to_word)
}

/// Goes to the caller of the frame with these registers, which this row describes. Says one of [`outcome`]; `NO_ROW` where
/// there is no frame pointer either.
///
/// A global function: see `main.rs`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn step_user(row: u64, registers: *mut Registers) -> u32 {
    // SAFETY: the caller's is valid; it is checked because the verifier asks for that.
    let Some(registers) = (unsafe { registers.as_mut() }) else {
        return outcome::UNKNOWN;
    };
    step_in(row, registers, &mut User)
}

/// The same in any memory.
#[inline(always)]
fn step_in(row: u64, registers: &mut Registers, memory: &mut impl Memory) -> u32 {
    let mut result = step(Row::from_word(row), registers, memory);
    if result == outcome::NO_ROW {
        result = without_row(registers, memory);
        if result == outcome::BROKEN {
            return outcome::NO_ROW;
        }
    }
    if registers.ip >= HIGHEST {
        return outcome::BROKEN;
    }
    result
}

/// The mapping that contains `address`.
#[inline(always)]
fn mapped(walk: &mut Walk, address: u64) -> Option<Mapped> {
    // SAFETY: a live map value, which user space replaces as a whole; the index is masked.
    let at = |index: u32| unsafe {
        (&raw const (*walk.mappings).mapped)
            .cast::<Mapped>()
            .add(opaque(index.into()) as usize & (MAX_MAPPED - 1))
            .read()
    };
    let last = at(walk.mapped);
    if address >= last.start && address < last.end {
        return Some(last);
    }
    let mut found: u32 = 0;
    let mut half = MAX_MAPPED as u32 / 2;
    while half > 0 {
        // 1 unless the subtraction is negative. A comparison would be a branch, whose both ways the verifier follows.
        let is_before = !address.wrapping_sub(at(found + half).start) >> 63;
        found += half * is_before as u32;
        half /= 2;
    }
    let mapped = at(found);
    if address < mapped.start || address >= mapped.end {
        return None;
    }
    walk.mapped = found;
    Some(mapped)
}

/// A step from code without a description.
#[inline(always)]
fn without_row(registers: &mut Registers, memory: &mut impl Memory) -> u32 {
    let code = memory.word(registers.ip);
    let is_return_from_signal =
        code.is_some_and(|code| code == SIGRETURN || code & SEVEN_BYTES == SHORT_SIGRETURN);
    if is_return_from_signal {
        let row = Row {
            address: 0,
            cfa: cfa::SIGNAL,
            bp: 0,
            offset: 0,
        };
        return step(row, registers, memory);
    }
    step_by_frame_pointer(registers, memory)
}

/// The blocks of the table with this number.
struct Table(u32);

impl Blocks for Table {
    #[inline(always)]
    fn block(&mut self, number: u32) -> Option<&Block> {
        TABLES.get(self.0)?.get(number)
    }
}

/// The memory of the current process.
struct User;

impl User {
    #[inline(always)]
    fn read<T>(address: u64) -> Option<T> {
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: the helper checks the address and writes all of the value where it succeeds.
        unsafe {
            let failed = bpf_probe_read_user(
                value.as_mut_ptr().cast(),
                size_of::<T>() as u32,
                address as *const c_void,
            );
            (failed == 0).then(|| value.assume_init())
        }
    }
}

impl Memory for User {
    #[inline(always)]
    fn word(&mut self, address: u64) -> Option<u64> {
        Self::read(address)
    }

    #[inline(always)]
    fn pair(&mut self, address: u64) -> Option<[u64; 2]> {
        Self::read(address)
    }
}
