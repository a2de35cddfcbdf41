//! Stacks that are made up are walked back, and nothing in memory leads astray.

extern crate std;

use std::collections::HashMap;
use std::vec::Vec;

use proptest::prelude::*;

use super::{Memory, Registers, outcome, step, step_by_frame_pointer};
use crate::abi::unwind::{Row, bp, cfa};

#[derive(Default)]
struct Words(HashMap<u64, u64>);

impl Memory for Words {
    fn word(&mut self, address: u64) -> Option<u64> {
        self.0.get(&address).copied()
    }

    fn pair(&mut self, address: u64) -> Option<[u64; 2]> {
        Some([self.word(address)?, self.word(address.wrapping_add(8))?])
    }
}

fn row(cfa: u8, bp: i8, offset: i16) -> Row {
    Row {
        address: 0,
        cfa,
        bp,
        offset,
    }
}

/// How a frame is described, apart from its size.
#[derive(Clone, Copy, Debug)]
struct Kind {
    cfa: u8,
    /// 0 for the same, 1 for lost, 2 for at the frame pointer, else for a place below the CFA.
    saved: u8,
    /// Words beside those that are needed.
    size: u16,
    /// After a signal: onto a stack below.
    is_below: bool,
    ip: u32,
}

fn kind() -> impl Strategy<Value = Kind> {
    let rules = [
        cfa::SP,
        cfa::BP,
        cfa::PLT,
        cfa::SIGNAL,
        cfa::AT_BP,
        cfa::AT_SP_PLUS_8,
    ];
    let cfa = prop::sample::select(Vec::from(rules));
    (cfa, 0_u8..6, 0_u16..2_000, any::<bool>(), 1..u32::MAX).prop_map(
        |(cfa, saved, size, is_below, ip)| Kind {
            cfa,
            saved,
            size,
            is_below,
            ip,
        },
    )
}

/// Words below the CFA at which a frame has what it needs: the return address at 1, its caller's frame pointer at 2 to 4
/// or where its own points, and the word that its CFA is made from.
const OWN_FRAME_POINTER: u64 = 6;
const CFA_WORD: u64 = 7;

fn needs_frame_pointer(kind: &Kind) -> bool {
    let is_used = matches!(kind.cfa, cfa::BP | cfa::AT_BP);
    is_used || (kind.saved == 2 && !matches!(kind.cfa, cfa::PLT | cfa::SIGNAL))
}

fn words(kind: &Kind) -> u64 {
    match kind.cfa {
        cfa::PLT if kind.ip & 15 >= 11 => 2,
        cfa::PLT => 1,
        cfa::SIGNAL => 40,
        _ => u64::from(kind.size) + 10,
    }
}

/// A frame, what describes it, and what is to come of a step from it.
struct Frame {
    registers: Registers,
    row: Row,
    outcome: u32,
}

/// The stack of these frames, the innermost first.
fn stack(kinds: &[Kind]) -> (Words, Vec<Frame>) {
    let mut memory = Words::default();
    let mut frames: Vec<Frame> = Vec::new();
    let mut sp = 1_u64 << 40;
    let mut bp = 0x1234_5678;
    let mut stacks = 0;
    for (at, kind) in kinds.iter().enumerate() {
        let next = kinds.get(at + 1);
        let ip = u64::from(kind.ip);
        let size = words(kind);
        let top = sp + 8 * size;
        if needs_frame_pointer(kind) {
            bp = top - 8 * OWN_FRAME_POINTER;
        }
        let registers = Registers { ip, sp, bp };
        let wants = next.is_some_and(needs_frame_pointer);
        let next_ip = next.map_or(0, |it| u64::from(it.ip));
        let next_size = next.map_or(0, words);
        let mut next_sp = top;
        if kind.cfa == cfa::SIGNAL {
            stacks += 1;
            let distance = stacks << 24;
            next_sp = if kind.is_below {
                (1 << 40) - distance
            } else {
                (1 << 40) + distance
            };
        }
        let next_bp = if wants {
            next_sp + 8 * next_size - 8 * OWN_FRAME_POINTER
        } else {
            bp
        };
        let (place, next_bp) = match (kind.cfa, kind.saved) {
            (cfa::SIGNAL, _) => {
                memory.0.insert(sp + 120, next_bp);
                memory.0.insert(sp + 160, next_sp);
                memory.0.insert(sp + 168, next_ip);
                (bp::SAME, next_bp)
            }
            (cfa::PLT, _) => (bp::SAME, bp),
            (_, 0) if !wants => (bp::SAME, bp),
            (_, 1) if !wants => (bp::LOST, 0),
            (_, 2) => {
                memory.0.insert(bp, next_bp);
                (bp::AT_BP, next_bp)
            }
            (_, saved) => {
                let words = 2 + saved % 3;
                memory.0.insert(top - 8 * u64::from(words), next_bp);
                (-(words as i8), next_bp)
            }
        };
        if kind.cfa != cfa::SIGNAL {
            memory.0.insert(top - 8, next_ip);
        }
        let offset = match kind.cfa {
            cfa::SP => size as i16,
            cfa::BP => OWN_FRAME_POINTER as i16,
            cfa::PLT => 11,
            cfa::AT_BP => {
                memory.0.insert(top - 8 * CFA_WORD, top);
                OWN_FRAME_POINTER as i16 - CFA_WORD as i16
            }
            cfa::AT_SP_PLUS_8 => {
                memory.0.insert(sp + 8, top - 8);
                1
            }
            _ => 0,
        };
        let outcome = match (kind.cfa, next) {
            (cfa::SIGNAL, _) => outcome::INTERRUPTED,
            (_, None) => outcome::END,
            _ => outcome::CALLER,
        };
        frames.push(Frame {
            registers,
            row: row(kind.cfa, place, offset),
            outcome,
        });
        (sp, bp) = (next_sp, next_bp);
    }
    (memory, frames)
}

proptest! {
    #[test]
    fn a_stack_is_walked_back_frame_by_frame(kinds in prop::collection::vec(kind(), 1..80)) {
        let mut kinds = kinds;
        // An entry of a linkage table saves nothing, so what it is called by cannot need what it does not have.
        for at in 1..kinds.len() {
            if kinds[at - 1].cfa == cfa::PLT && needs_frame_pointer(&kinds[at]) {
                kinds[at].cfa = cfa::SP;
                kinds[at].saved = 3;
            }
        }
        let (mut memory, frames) = stack(&kinds);
        let mut registers = frames[0].registers;
        for frame in &frames {
            prop_assert_eq!(registers, frame.registers);
            prop_assert_eq!(step(frame.row, &mut registers, &mut memory), frame.outcome);
        }
    }

    #[test]
    fn any_row_on_any_memory_goes_up_or_stops(
        words in prop::collection::vec((0_u64..64, any::<u64>(), 0_u64..64), 0..64),
        (kind, place, offset) in (any::<u8>(), any::<i8>(), any::<i16>()),
        near in (any::<bool>(), -40_i16..40, 0_u8..10, -8_i8..12),
        start in (0_u64..64, any::<u64>(), any::<u64>()),
    ) {
        let mut memory = Words::default();
        for (at, value, near) in words {
            memory.0.insert(at * 8, if value % 3 == 0 { near * 8 } else { value });
        }
        let row = match near {
            (true, offset, kind, place) => row(kind, place, offset),
            _ => row(kind, place, offset),
        };
        let bp = if start.2 % 2 == 0 { start.2 % 512 } else { start.2 };
        for sp in [start.0 * 8, start.1] {
            let before = Registers { ip: 1, sp, bp };
            let mut registers = before;
            let by_row = step(row, &mut registers, &mut memory);
            match by_row {
                outcome::CALLER => {
                    prop_assert!(registers.sp > sp || row.cfa == cfa::SWITCHED);
                }
                outcome::INTERRUPTED => prop_assert_eq!(row.cfa, cfa::SIGNAL),
                _ => prop_assert_eq!(registers, before),
            }
            let mut registers = before;
            let by_frame_pointer = step_by_frame_pointer(&mut registers, &mut memory);
            match by_frame_pointer {
                outcome::CALLER => prop_assert!(registers.sp > sp),
                _ => prop_assert_eq!(registers, before),
            }
        }
    }
}

#[test]
fn frame_pointers_lead_to_the_outermost_frame() {
    let mut memory = Words::default();
    for (at, bp, ip) in [(0x1010, 0x1040, 5), (0x1040, 0, 6)] {
        memory.0.insert(at, bp);
        memory.0.insert(at + 8, ip);
    }
    let mut registers = Registers {
        ip: 4,
        sp: 0x1000,
        bp: 0x1010,
    };
    let mut walk = || {
        (
            step_by_frame_pointer(&mut registers, &mut memory),
            registers,
        )
    };
    let caller = |ip, sp, bp| (outcome::CALLER, Registers { ip, sp, bp });
    assert_eq!(walk(), caller(5, 0x1020, 0x1040));
    assert_eq!(walk(), caller(6, 0x1050, 0));
    assert_eq!(walk().0, outcome::END);
}

#[test]
fn a_frame_pointer_leads_back_to_the_stack_before() {
    let mut memory = Words::default();
    memory.0.insert(0x1010, 0x1040);
    memory.0.insert(0x1018, 5);
    for (cfa, expected) in [(cfa::SWITCHED, outcome::CALLER), (cfa::BP, outcome::BROKEN)] {
        let mut registers = Registers {
            ip: 4,
            sp: 0x9000,
            bp: 0x1010,
        };
        assert_eq!(step(row(cfa, -2, 2), &mut registers, &mut memory), expected);
        if expected == outcome::CALLER {
            let (ip, sp, bp) = (5, 0x1020, 0x1040);
            assert_eq!(registers, Registers { ip, sp, bp });
        }
    }
}

#[test]
fn what_cannot_be_told_is_told_apart() {
    let mut memory = Words::default();
    let mut told = |row, bp| {
        let mut registers = Registers { ip: 1, sp: 64, bp };
        step(row, &mut registers, &mut memory)
    };
    assert_eq!(told(row(cfa::NONE, 0, 0), 80), outcome::NO_ROW);
    assert_eq!(told(row(cfa::END, 0, 0), 80), outcome::END);
    assert_eq!(told(row(cfa::UNKNOWN, 0, 0), 80), outcome::UNKNOWN);
    assert_eq!(told(row(200, 0, 0), 80), outcome::UNKNOWN);
    assert_eq!(told(row(cfa::SP, -2, 4), 80), outcome::UNREADABLE);
    assert_eq!(told(row(cfa::AT_BP, 0, 0), 80), outcome::UNREADABLE);
    assert_eq!(told(row(cfa::SIGNAL, 0, 0), 80), outcome::UNREADABLE);
    assert_eq!(told(row(cfa::BP, -2, 2), 0), outcome::UNKNOWN);
    assert_eq!(told(row(cfa::SP, bp::AT_BP, 2), 0), outcome::UNKNOWN);
    assert_eq!(told(row(cfa::BP, -2, 2), 40), outcome::BROKEN);
    assert_eq!(told(row(cfa::SP, 0, 0), 80), outcome::BROKEN);
}
