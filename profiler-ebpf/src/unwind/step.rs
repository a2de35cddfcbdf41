//! From a frame to its caller's. System V ABI of x86-64: the stack grows downwards, a call pushes its return address.

use crate::abi::unwind::{Row, bp, cfa};

/// Where the stack pointer, the frame pointer and the instruction pointer are in a signal handler's `ucontext`
/// (arch/x86/include/uapi/asm/sigcontext.h: `uc_mcontext` at 40, in it `bp` at 80, `sp` at 120 and `ip` at 128).
const UCONTEXT_BP: u64 = 120;
const UCONTEXT_SP: u64 = 160;
const UCONTEXT_IP: u64 = 168;

/// The registers of a frame that are needed to find its caller's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// Instruction pointer; a return address in all frames but the innermost and interrupted ones, see [`outcome`].
    pub ip: u64,
    /// Stack pointer.
    pub sp: u64,
    /// Frame pointer; 0 where it is lost.
    pub bp: u64,
}

/// Memory of the process that is unwound.
pub trait Memory {
    /// The word at `address`; `None` where it cannot be read.
    fn word(&mut self, address: u64) -> Option<u64>;

    /// The word at `address` and the one above.
    fn pair(&mut self, address: u64) -> Option<[u64; 2]>;
}

/// What became of a step.
pub mod outcome {
    /// The registers are the caller's, the instruction pointer is a return address: the call, and the row that holds for
    /// it, is at the byte before, for a function that does not return may end with its call.
    pub const CALLER: u32 = 0;
    /// The registers are those of code that a signal has interrupted just at the instruction pointer.
    pub const INTERRUPTED: u32 = 1;
    /// The frame was the outermost one.
    pub const END: u32 = 2;
    /// No row describes this frame: a step by frame pointer may help.
    pub const NO_ROW: u32 = 3;
    /// The rule for this frame is one that rows cannot hold, or needs a frame pointer that is lost.
    pub const UNKNOWN: u32 = 4;
    /// The stack could not be read.
    pub const UNREADABLE: u32 = 5;
    /// The caller's frame would not lie above this one: the stack is damaged, or its description is wrong.
    pub const BROKEN: u32 = 6;
}

/// Goes from the frame with these registers, which `row` describes, to its caller's; says one of [`outcome`]. Unless that
/// is [`outcome::CALLER`] or [`outcome::INTERRUPTED`], the registers stay as they are.
#[inline(always)]
pub fn step<M: Memory>(row: Row, registers: &mut Registers, memory: &mut M) -> u32 {
    let offset = (row.offset as i64 as u64).wrapping_mul(8);
    let top = match row.cfa {
        cfa::SP => registers.sp.wrapping_add(offset),
        cfa::BP | cfa::SWITCHED if registers.bp != 0 => registers.bp.wrapping_add(offset),
        cfa::PLT => {
            let is_pushed = registers.ip & 15 >= row.offset as u16 as u64;
            let words = if is_pushed { 16 } else { 8 };
            registers.sp.wrapping_add(words)
        }
        cfa::AT_BP if registers.bp != 0 => match memory.word(registers.bp.wrapping_add(offset)) {
            Some(top) => top,
            None => return outcome::UNREADABLE,
        },
        cfa::AT_SP_PLUS_8 => match memory.word(registers.sp.wrapping_add(offset)) {
            Some(below) => below.wrapping_add(8),
            None => return outcome::UNREADABLE,
        },
        cfa::SIGNAL => return interrupted(registers, memory),
        cfa::END => return outcome::END,
        cfa::NONE => return outcome::NO_ROW,
        _ => return outcome::UNKNOWN,
    };
    // A frame has at least the return address: without this, a damaged stack could loop for ever.
    if top <= registers.sp && row.cfa != cfa::SWITCHED {
        return outcome::BROKEN;
    }
    // The usual place is beside the return address.
    let read = if row.bp == -2 {
        memory.pair(top.wrapping_sub(16))
    } else {
        let ip = memory.word(top.wrapping_sub(8));
        let bp = match row.bp {
            bp::SAME => Some(registers.bp),
            bp::LOST => Some(0),
            place if place < 0 => {
                memory.word(top.wrapping_add((place as i64 as u64).wrapping_mul(8)))
            }
            _ if registers.bp == 0 => return outcome::UNKNOWN,
            place => {
                let words = (place - bp::AT_BP) as u64;
                memory.word(registers.bp.wrapping_add(words * 8))
            }
        };
        match (bp, ip) {
            (Some(bp), Some(ip)) => Some([bp, ip]),
            _ => None,
        }
    };
    returned(registers, top, read)
}

/// The same for a frame without a row, of a function that keeps a frame pointer: the caller's and the return address are
/// where it points. A frame pointer of 0 marks the outermost frame (System V ABI, 3.4.1).
#[inline(always)]
pub fn step_by_frame_pointer<M: Memory>(registers: &mut Registers, memory: &mut M) -> u32 {
    let at = registers.bp;
    if at == 0 {
        return outcome::END;
    }
    let top = at.wrapping_add(16);
    if at < registers.sp || at & 7 != 0 || top < at {
        return outcome::BROKEN;
    }
    let read = memory.pair(at);
    returned(registers, top, read)
}

/// A return to the caller with these two, the frame pointer and the return address; its frame begins at `top`.
#[inline(always)]
const fn returned(registers: &mut Registers, top: u64, read: Option<[u64; 2]>) -> u32 {
    let Some([bp, ip]) = read else {
        return outcome::UNREADABLE;
    };
    // Assembly that starts threads pushes a 0, or leaves the one that the stack began with.
    if ip == 0 {
        return outcome::END;
    }
    *registers = Registers { ip, sp: top, bp };
    outcome::CALLER
}

/// What a signal has interrupted may have another stack, above or below.
#[inline(always)]
fn interrupted<M: Memory>(registers: &mut Registers, memory: &mut M) -> u32 {
    let at = registers.sp;
    let bp = memory.word(at.wrapping_add(UCONTEXT_BP));
    let sp_and_ip = memory.pair(at.wrapping_add(UCONTEXT_SP));
    let (Some(bp), Some([sp, ip])) = (bp, sp_and_ip) else {
        return outcome::UNREADABLE;
    };
    *registers = Registers { ip, sp, bp };
    outcome::INTERRUPTED
}

const _: () = assert!(UCONTEXT_IP == UCONTEXT_SP + 8);

#[cfg(test)]
mod tests;
