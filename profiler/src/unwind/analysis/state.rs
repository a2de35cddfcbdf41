//! What is known of the stack at an instruction, and how instructions change it.

use ctprof_ebpf::abi::unwind::{bp, cfa};
use iced_x86::{
    Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register, UsedRegister,
};

use crate::unwind::rule::{self, END, Rule, UNKNOWN};

/// What is known of the stack before an instruction. Depths are bytes that the stack pointer is below the return address.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    /// Where the stack pointer is; `None` where that depends on data, as where the stack is aligned.
    pub(super) depth: Option<i32>,
    /// Where the frame pointer points, if it is used as one.
    frame: Option<i32>,
    saved: Saved,
    /// Nobody has called this.
    is_root: bool,
    /// Which of [`CALLEE_SAVED`] have been saved, a bit each.
    kept: u8,
    /// A register of the caller's has been overwritten and not saved: no compiler's function does that.
    pub(super) is_doubtful: bool,
}

/// Registers that a function has to save before it uses them, beside the frame pointer (System V ABI, 3.2.1).
const CALLEE_SAVED: [Register; 5] = [
    Register::RBX,
    Register::R12,
    Register::R13,
    Register::R14,
    Register::R15,
];

/// What registers have been saved does not tell states apart: where ways meet, one may need more of them.
impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        let all = |it: &Self| (it.depth, it.frame, it.saved, it.is_root);
        all(self) == all(other)
    }
}

/// Where the caller's frame pointer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Saved {
    /// In its register.
    Same,
    /// On the stack, at this depth.
    At(i32),
    /// Nowhere that is known.
    Lost,
}

impl State {
    /// As a function begins.
    pub(super) const CALLED: Self = Self {
        depth: Some(0),
        frame: None,
        saved: Saved::Same,
        is_root: false,
        kept: 0,
        is_doubtful: false,
    };

    /// As a program begins.
    pub(super) const ROOT: Self = Self {
        is_root: true,
        ..Self::CALLED
    };

    /// Whether a function may return, or leave for another by a jump, in this state; `None` if that cannot be told.
    pub(super) fn may_leave(&self) -> Option<bool> {
        if self.is_root {
            return None;
        }
        let depth = self.depth?;
        Some(depth == 0 && !matches!(self.saved, Saved::At(_)))
    }

    /// The frame pointer is used as one.
    pub(super) const fn has_frame_pointer(&self) -> bool {
        self.frame.is_some()
    }

    /// What a row says.
    pub(super) fn rule(&self) -> Rule {
        if self.is_root {
            return END;
        }
        let place = match self.saved {
            Saved::Same => Some(bp::SAME),
            Saved::At(depth) if depth % 8 == 0 => i8::try_from(-1 - depth / 8).ok(),
            Saved::At(_) | Saved::Lost => Some(bp::LOST),
        };
        let place = place.unwrap_or(bp::LOST);
        let made = match (self.depth, self.frame) {
            (Some(depth @ 0..), _) => rule::made(cfa::SP, place, i64::from(depth) + 8),
            (None, Some(frame)) => rule::made(cfa::BP, place, i64::from(frame) + 8),
            _ => None,
        };
        made.unwrap_or(UNKNOWN)
    }
}

/// Follows instructions.
pub(super) struct Effects {
    factory: InstructionInfoFactory,
}

impl Effects {
    pub(super) fn new() -> Self {
        Self {
            factory: InstructionInfoFactory::new(),
        }
    }

    /// The state behind an instruction that goes on to the next one, calls that return included.
    pub(super) fn after(&mut self, instruction: &Instruction, mut state: State) -> State {
        if instruction.is_call_near() || instruction.is_call_near_indirect() {
            // `call` of the next instruction only asks where it is.
            if instruction.near_branch_target() == instruction.next_ip() {
                state.depth = moved(state.depth, 8);
            }
            return state;
        }
        if !may_write(instruction) {
            return state;
        }
        let used = self.factory.info(instruction).used_registers();
        keep(instruction, used, &mut state);
        let (writes_sp, writes_bp) = (
            is_written(used, Register::RSP),
            is_written(used, Register::RBP),
        );
        let before = state;
        if writes_sp {
            state.depth = depth(instruction, &state);
        }
        save(instruction, &before, &mut state);
        if writes_bp {
            frame_pointer(instruction, &before, &mut state);
        }
        state
    }
}

/// Whether it can be that an instruction writes the stack pointer, or anything to the frame pointer or from it.
fn may_write(instruction: &Instruction) -> bool {
    let is_one =
        |register: Register| matches!(register.full_register(), Register::RSP | Register::RBP);
    instruction.is_stack_instruction()
        || is_one(instruction.op0_register())
        || is_one(instruction.op1_register())
}

/// Whether an instruction saves one of [`CALLEE_SAVED`], or uses it too early.
fn keep(instruction: &Instruction, used: &[UsedRegister], state: &mut State) {
    let stores = match instruction.mnemonic() {
        Mnemonic::Push => instruction.op0_register(),
        Mnemonic::Mov if instruction.op0_kind() == OpKind::Memory => instruction.op1_register(),
        _ => Register::None,
    };
    for (number, register) in CALLEE_SAVED.iter().enumerate() {
        if *register == stores {
            state.kept |= 1 << number;
        }
        let is_restored = matches!(instruction.mnemonic(), Mnemonic::Pop)
            || (instruction.mnemonic() == Mnemonic::Mov
                && instruction.op1_kind() == OpKind::Memory);
        let is_early = state.kept & 1 << number == 0 && !is_restored;
        state.is_doubtful |= is_early && !state.is_root && is_written(used, *register);
    }
}

fn is_written(used: &[UsedRegister], register: Register) -> bool {
    used.iter().any(|it| {
        it.register().full_register() == register
            && !matches!(
                it.access(),
                OpAccess::Read | OpAccess::CondRead | OpAccess::None
            )
    })
}

fn moved(depth: Option<i32>, by: i64) -> Option<i32> {
    let depth = i64::from(depth?).checked_add(by)?;
    // Deeper frames are no function's, and rows could not hold them.
    i32::try_from(depth).ok().filter(|depth| *depth < 1 << 18)
}

/// Where an instruction that writes the stack pointer moves it.
fn depth(instruction: &Instruction, state: &State) -> Option<i32> {
    let to = instruction.op0_register();
    let is_immediate = !matches!(instruction.op1_kind(), OpKind::Register | OpKind::Memory);
    match instruction.mnemonic() {
        Mnemonic::Sub if to == Register::RSP && is_immediate => {
            moved(state.depth, instruction.immediate(1).cast_signed())
        }
        Mnemonic::Add if to == Register::RSP && is_immediate => moved(
            state.depth,
            instruction.immediate(1).cast_signed().checked_neg()?,
        ),
        Mnemonic::Lea if to == Register::RSP && instruction.memory_index() == Register::None => {
            let by = (instruction.memory_displacement64().cast_signed()).checked_neg()?;
            match instruction.memory_base() {
                Register::RSP => moved(state.depth, by),
                Register::RBP => moved(state.frame, by),
                _ => None,
            }
        }
        Mnemonic::Mov if to == Register::RSP && instruction.op1_register() == Register::RBP => {
            state.frame
        }
        Mnemonic::Leave => moved(state.frame, -8),
        Mnemonic::Pop if to == Register::RSP => None,
        _ => match instruction.stack_pointer_increment() {
            0 => None,
            by => moved(state.depth, -i64::from(by)),
        },
    }
}

/// Where an instruction stores the caller's frame pointer, if it does.
fn save(instruction: &Instruction, before: &State, state: &mut State) {
    if state.saved != Saved::Same {
        return;
    }
    match instruction.mnemonic() {
        Mnemonic::Push if instruction.op0_register() == Register::RBP => {
            state.saved = state.depth.map_or(Saved::Lost, Saved::At);
        }
        Mnemonic::Mov if instruction.op1_register() == Register::RBP => {
            if let Some(depth) = stack_slot(instruction, before) {
                state.saved = Saved::At(depth);
            }
        }
        _ => {}
    }
}

/// The depth of the place on the stack that an instruction reads or writes.
fn stack_slot(instruction: &Instruction, state: &State) -> Option<i32> {
    let is_plain = instruction.memory_index() == Register::None
        && [instruction.op0_kind(), instruction.op1_kind()].contains(&OpKind::Memory);
    let by = instruction
        .memory_displacement64()
        .cast_signed()
        .checked_neg()?;
    match instruction.memory_base() {
        Register::RSP if is_plain => moved(state.depth, by),
        Register::RBP if is_plain => moved(state.frame, by),
        _ => None,
    }
}

/// What an instruction makes of the frame pointer that it writes.
fn frame_pointer(instruction: &Instruction, before: &State, state: &mut State) {
    let to_whole = instruction.op0_register() == Register::RBP;
    state.frame = None;
    match instruction.mnemonic() {
        Mnemonic::Leave => state.saved = Saved::Same,
        Mnemonic::Pop if to_whole && before.depth.map(Saved::At) == Some(before.saved) => {
            state.saved = Saved::Same;
        }
        Mnemonic::Mov if to_whole && instruction.op1_register() == Register::RSP => {
            state.frame = before.depth;
        }
        Mnemonic::Lea
            if to_whole
                && instruction.memory_base() == Register::RSP
                && instruction.memory_index() == Register::None =>
        {
            let by = instruction.memory_displacement64().cast_signed();
            state.frame = by.checked_neg().and_then(|by| moved(before.depth, by));
        }
        Mnemonic::Mov
            if to_whole && stack_slot(instruction, before).map(Saved::At) == Some(before.saved) =>
        {
            state.saved = Saved::Same;
        }
        // So threads and programs mark their outermost frame (System V ABI, 3.4.1).
        Mnemonic::Xor
            if before.saved == Saved::Same
                && instruction.op0_register() == instruction.op1_register() =>
        {
            state.is_root = true;
        }
        _ if before.saved == Saved::Same => {
            state.saved = Saved::Lost;
            state.is_doubtful = true;
        }
        _ => {}
    }
}
