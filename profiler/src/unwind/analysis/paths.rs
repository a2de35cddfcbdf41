//! A function is followed along all its branches.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic};

use super::States;
use super::starts::Starts;
use super::state::{Effects, State};
use crate::unwind::NoTable;
use crate::unwind::look::Look;

/// `mov $15, %rax; syscall`, and the same with `%eax`: how signal handlers return.
const RETURNS_FROM_SIGNAL: [&[u8]; 2] = [
    &[0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 5],
    &[0xb8, 15, 0, 0, 0, 0x0f, 5],
];

/// Longest instruction.
const LONGEST: usize = 15;

/// Code that nothing describes, or a piece of it that is followed by itself.
pub(super) struct Gap {
    /// Its first address.
    pub(super) begin: u64,
    pub(super) bytes: Vec<u8>,
    /// All of the code that it is a piece of.
    whole: Range<u64>,
}

impl Gap {
    pub(super) fn new(begin: u64, bytes: Vec<u8>) -> Self {
        let whole = begin..begin + bytes.len() as u64;
        Self {
            begin,
            bytes,
            whole,
        }
    }

    /// Pieces of about this size, each from the beginning of a function on where any is known: what is kept of each instruction
    /// while code is followed takes ten times as much memory as the code.
    pub(super) fn pieces<'a>(
        &'a self,
        size: u64,
        begins: &'a BTreeSet<u64>,
    ) -> impl Iterator<Item = Self> + 'a {
        let mut at = self.begin;
        std::iter::from_fn(move || {
            if at >= self.end() {
                return None;
            }
            let begin = at;
            at = begin.saturating_add(size.max(1)).min(self.end());
            if at < self.end()
                && let Some(function) = begins.range(begin + 1..=at).next_back()
            {
                at = *function;
            }
            let bytes = self.from(begin);
            Some(Self {
                begin,
                bytes: bytes[..bytes.len().min((at - begin) as usize)].to_vec(),
                whole: self.whole.clone(),
            })
        })
    }

    /// Whether the address lies in another piece of the same code.
    fn is_elsewhere(&self, address: u64) -> bool {
        self.whole.contains(&address) && !self.has(address)
    }

    /// The address behind it.
    pub(super) fn end(&self) -> u64 {
        self.begin + self.bytes.len() as u64
    }

    pub(super) fn has(&self, address: u64) -> bool {
        (self.begin..self.end()).contains(&address)
    }

    /// The bytes from `address` on.
    fn from(&self, address: u64) -> &[u8] {
        let at = address
            .checked_sub(self.begin)
            .and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.bytes.get(at..)).unwrap_or_default()
    }

    /// The instruction at `address`; an invalid one where there is none.
    pub(super) fn instruction(&self, address: u64) -> Instruction {
        let bytes = self.from(address);
        let bytes = &bytes[..bytes.len().min(LONGEST)];
        Decoder::with_ip(64, bytes, address, DecoderOptions::NONE).decode()
    }

    /// The address behind the instruction at `address`, or one further.
    fn after(&self, address: u64) -> u64 {
        let instruction = self.instruction(address);
        address + (instruction.len() as u64).max(1)
    }

    /// The address behind the next instruction from `address` on that does not go on to the next one.
    pub(super) fn after_end(&self, mut address: u64) -> u64 {
        while address < self.end() {
            let instruction = self.instruction(address);
            address = self.after(address);
            let ends = matches!(
                instruction.flow_control(),
                FlowControl::Return
                    | FlowControl::UnconditionalBranch
                    | FlowControl::IndirectBranch
                    | FlowControl::Exception
            );
            if ends {
                break;
            }
        }
        address
    }

    /// The first address from `at` on that has no state and is no padding.
    pub(super) fn next_rest(&self, mut at: u64, states: &States) -> Option<u64> {
        while at < self.end() {
            let before = states.range(..=at).next_back();
            if let Some((begin, (_, size))) = before
                && at < begin + u64::from(*size)
            {
                at = begin + u64::from(*size);
                continue;
            }
            if !self.is_padding(at) {
                return Some(at);
            }
            at = self.after(at);
        }
        None
    }

    fn is_padding(&self, at: u64) -> bool {
        let instruction = self.instruction(at);
        instruction.is_invalid() || matches!(instruction.mnemonic(), Mnemonic::Nop | Mnemonic::Int3)
    }

    /// The first address from `at` on that is no padding.
    pub(super) fn behind_padding(&self, mut at: u64) -> u64 {
        while at < self.end() && self.is_padding(at) {
            at = self.after(at);
        }
        at
    }

    pub(super) fn returns_from_signal(&self, address: u64) -> bool {
        let code = self.from(address);
        RETURNS_FROM_SIGNAL.iter().any(|it| code.starts_with(it))
    }
}

/// What became of a function.
pub(super) struct Followed {
    /// What is known at each instruction, and how long that is.
    pub(super) states: BTreeMap<u64, (State, u8)>,
    /// What is known where it jumps by a table, or leaves for a function that a register holds.
    pub(super) tables: Vec<State>,
    /// Its ways end as they must, those at least that no call lies on.
    pub(super) is_sound: bool,
    /// At least one of them does.
    pub(super) is_confirmed: bool,
    /// Somewhere it has a frame pointer of its own.
    pub(super) has_frame_pointer: bool,
    /// It takes its arguments off the stack when it returns.
    pub(super) pops_arguments: bool,
    /// Instructions that were followed, and some more for each way that ends.
    pub(super) steps: usize,
}

/// Code that is followed from the function's start, or from behind a call, up to the next calls.
///
/// Whether a call returns is not known. If it does not, what follows it is another function's, or nothing's, and is told by
/// where that leads.
struct Stretch {
    /// The one with the call.
    parent: Option<usize>,
    /// It, or one behind it, ends as it must.
    is_confirmed: bool,
    /// It ends as no function does.
    is_broken: bool,
}

/// Follows the code from `start` on; `known` is what is known of the rest.
pub(super) fn follow(
    gap: &Gap,
    (start, state): (u64, State),
    (known, starts): (&States, &Starts),
    effects: &mut Effects,
    look: &mut Look,
) -> Result<Followed, NoTable> {
    let mut way = Way {
        gap,
        start,
        known,
        starts,
        effects,
        states: BTreeMap::new(),
        tables: Vec::new(),
        stretches: vec![Stretch {
            parent: None,
            is_confirmed: false,
            is_broken: false,
        }],
        branches: vec![(start, state, 0)],
        after_calls: Vec::new(),
        pops_arguments: false,
    };
    loop {
        // Branches know better than what follows a call.
        if let Some((at, state, stretch)) = way.branches.pop() {
            way.along(at, state, (stretch, false), look)?;
        } else if let Some((at, state, parent)) = way.after_calls.pop() {
            way.stretches.push(Stretch {
                parent: Some(parent),
                is_confirmed: false,
                is_broken: false,
            });
            let stretch = way.stretches.len() - 1;
            way.along(at, state, (stretch, true), look)?;
        } else {
            return Ok(way.end());
        }
    }
}

struct Way<'a> {
    gap: &'a Gap,
    start: u64,
    known: &'a States,
    starts: &'a Starts,
    effects: &'a mut Effects,
    /// By address: the state, the length, and the stretch.
    states: BTreeMap<u64, (State, u8, usize)>,
    tables: Vec<State>,
    stretches: Vec<Stretch>,
    branches: Vec<(u64, State, usize)>,
    after_calls: Vec<(u64, State, usize)>,
    pops_arguments: bool,
}

impl Way<'_> {
    /// Follows instructions one after the other, up to one that does not go on to the next.
    fn along(
        &mut self,
        mut at: u64,
        mut state: State,
        (stretch, mut is_after_call): (usize, bool),
        look: &mut Look,
    ) -> Result<(), NoTable> {
        while self.goes_on(at, state, (stretch, is_after_call)) {
            look.one()?;
            let instruction = self.gap.instruction(at);
            if instruction.is_invalid() || state.is_doubtful {
                self.stretches[stretch].is_broken = true;
                return Ok(());
            }
            self.states
                .insert(at, (state, instruction.len() as u8, stretch));
            // Padding lies behind calls that do not return, but in front of loops as well.
            is_after_call &= instruction.mnemonic() == Mnemonic::Nop;
            at = instruction.next_ip();
            match instruction.flow_control() {
                FlowControl::Return => {
                    self.pops_arguments |= instruction.immediate16() != 0;
                    self.leaves(&state, stretch);
                    return Ok(());
                }
                FlowControl::UnconditionalBranch => {
                    self.branch(instruction.near_branch_target(), state, stretch);
                    return Ok(());
                }
                FlowControl::ConditionalBranch => {
                    self.branch(instruction.near_branch_target(), state, stretch);
                }
                FlowControl::IndirectBranch => {
                    if !self.tables.contains(&state) {
                        self.tables.push(state);
                    }
                    return Ok(());
                }
                FlowControl::Exception => return Ok(()),
                FlowControl::Interrupt if instruction.mnemonic() == Mnemonic::Int3 => {
                    return Ok(());
                }
                FlowControl::Call | FlowControl::IndirectCall
                    if instruction.mnemonic() == Mnemonic::Call =>
                {
                    let target = instruction.near_branch_target();
                    if !self.starts.never_return.contains(&target) {
                        let state = self.effects.after(&instruction, state);
                        self.after_calls.push((at, state, stretch));
                    }
                    return Ok(());
                }
                _ if instruction.mnemonic() == Mnemonic::Hlt => return Ok(()),
                _ => state = self.effects.after(&instruction, state),
            }
        }
        Ok(())
    }

    /// Whether the code at `at` is this function's, and new.
    fn goes_on(&mut self, at: u64, state: State, (stretch, is_after_call): (usize, bool)) -> bool {
        let there = self.states.get(&at).map(|(it, _, _)| Some(*it));
        let there = there.or_else(|| self.known.get(&at).map(|(it, _)| it.state()));
        if let Some(there) = there {
            if there == Some(state) {
                self.confirm(stretch);
            } else {
                // It may run into the next function; a misread one says nothing of this.
                let fits = there.is_none() || state.may_leave() == Some(true);
                self.stretches[stretch].is_broken |= !is_after_call && !fits;
            }
            return false;
        }
        let is_next = at != self.start && self.starts.begins.contains(&at);
        if is_next || !self.gap.has(at) {
            // It runs into the next function, on purpose, or behind a call that does not return, which is how functions end.
            if is_after_call {
                self.confirm(stretch);
            } else {
                self.stretches[stretch].is_broken |= state.may_leave() == Some(false);
            }
            return false;
        }
        true
    }

    fn branch(&mut self, target: u64, state: State, stretch: usize) {
        let is_other = target != self.start && self.starts.begins.contains(&target);
        let is_own = self.states.contains_key(&target);
        if self.gap.has(target) && (is_own || !is_other) {
            self.branches.push((target, state, stretch));
        } else if is_other || !self.gap.is_elsewhere(target) {
            // A part of it that lies apart, as what is hardly ever run does, says nothing.
            self.leaves(&state, stretch);
        }
    }

    /// It returns, or leaves for another function, which goes by what this one was called with.
    fn leaves(&mut self, state: &State, stretch: usize) {
        match state.may_leave() {
            Some(true) => self.confirm(stretch),
            Some(false) => self.stretches[stretch].is_broken = true,
            None => {}
        }
    }

    fn confirm(&mut self, stretch: usize) {
        let mut next = Some(stretch);
        while let Some(stretch) = next {
            let stretch = &mut self.stretches[stretch];
            if stretch.is_confirmed {
                break;
            }
            stretch.is_confirmed = true;
            next = stretch.parent;
        }
    }

    fn end(self) -> Followed {
        let mut is_kept: Vec<bool> = Vec::with_capacity(self.stretches.len());
        for stretch in &self.stretches {
            // Parents come first.
            let is_sound = match stretch.parent {
                Some(parent) => is_kept[parent] && stretch.is_confirmed,
                None => true,
            };
            is_kept.push(is_sound && !stretch.is_broken);
        }
        let is_sound = is_kept[0];
        let has_frame_pointer = self
            .states
            .values()
            .any(|(it, _, _)| it.has_frame_pointer());
        let steps = self.states.len() + self.stretches.len();
        let states = self.states.into_iter();
        let states = states.filter(|(_, (_, _, stretch))| is_kept[*stretch] || !is_sound);
        Followed {
            states: states
                .map(|(at, (state, size, _))| (at, (state, size)))
                .collect(),
            tables: self.tables,
            is_sound,
            is_confirmed: self.stretches[0].is_confirmed,
            has_frame_pointer,
            pops_arguments: self.pops_arguments,
            steps,
        }
    }
}
