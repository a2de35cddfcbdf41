//! Rows of code that nothing describes, from the code itself: how each instruction moves the stack pointer.
//!
//! musl's libraries, and so every program on Alpine and most static ones, have no frame descriptions, nor has much assembly
//! of codecs and mathematical libraries. Such code keeps no frame pointer either, so without these rows every wait in it
//! would lack all that it was called by.
//!
//! Code that nothing describes is a gap. Functions begin where symbols, calls, addresses taken and pointers in data say so
//! (`starts`); each is followed along all its branches (`paths`) with what is known of the stack at each instruction
//! (`state`). What remains in a gap is the next function, or what a jump by table leads to. A function whose ways do not
//! all end as they began has been misread: its stacks end there, for no frame is better than a wrong one.

mod paths;
mod starts;
mod state;

use std::collections::BTreeMap;

use self::paths::{Followed, Gap};
use self::starts::Starts;
use self::state::{Effects, State};
use super::look::Look;
use super::rows::Rows;
use super::rule::{NONE, SIGNAL, UNKNOWN};
use super::{Limits, NoTable};
use crate::symbolize::elf::{Header, Source};

/// Smaller gaps are padding.
const SMALLEST: u64 = 8;
/// So little is what compilers link to every program: where it begins, and what runs before and after `main`. It needs no
/// symbols to be followed.
const LITTLE: u64 = 2 << 10;

/// Of so many functions one that pops its arguments makes all of another ABI. C has none, and of V8's there are four to thirteen in a
/// hundred.
const FOREIGN_PART: usize = 100;

/// Instructions that are followed for each byte. Code takes half of one, and garbage could take any number.
const PER_BYTE: usize = 4;

/// Adds rows for what no row describes; says for how many functions it did.
pub(super) fn analyse(
    (source, header): (&Source, &Header),
    origin: u64,
    rows: &mut Rows,
    limits: &Limits,
) -> Result<usize, NoTable> {
    let mut left = limits.undescribed;
    let mut gaps = Vec::new();
    for (begin, end) in undescribed(header, origin, rows) {
        // What there is no room for is left out at its end.
        let size = end.saturating_sub(begin).min(left);
        if size < SMALLEST {
            continue;
        }
        let bytes = header.offset_of(begin);
        let Some(bytes) = bytes.and_then(|offset| source.read(offset, size, size).ok()) else {
            continue;
        };
        left -= size;
        gaps.push(Gap::new(begin, bytes));
    }
    if gaps.is_empty() {
        return Ok(0);
    }
    let mut look = Look::new(limits.deadline);
    let has_more = limits.undescribed - left > LITTLE;
    let file = has_more.then_some(source);
    let starts = starts::all((file, header), &gaps, &mut look)?;
    let mut functions = 0;
    for gap in &gaps {
        for piece in gap.pieces(limits.undescribed_piece, &starts.begins) {
            let Some((found, states)) = functions_of(&piece, &starts, &mut look)? else {
                break;
            };
            functions += found;
            add(&piece, &states, origin, rows)?;
        }
    }
    Ok(functions)
}

/// Parts of the code, by address, that no row says anything of.
fn undescribed(header: &Header, origin: u64, rows: &mut Rows) -> Vec<(u64, u64)> {
    let mut code: Vec<(u64, u64)> = header.code().collect();
    code.sort_unstable();
    let holes = rows.holes();
    let holes = holes
        .iter()
        .map(|(begin, end)| (origin + u64::from(*begin), origin + u64::from(*end)));
    let mut found = Vec::new();
    for (begin, end) in holes {
        let after = code.partition_point(|(_, code_end)| *code_end <= begin);
        let within = code[after..].iter().take_while(|it| it.0 < end);
        found.extend(within.map(|it| (begin.max(it.0), end.min(it.1))));
    }
    found
}

/// What is known at an instruction of a gap.
#[derive(Clone, Copy)]
enum Known {
    State(State),
    /// Its function was misread.
    Misread,
    /// It was, but it has a frame pointer, which leads further than nothing.
    FramePointer,
}

impl Known {
    const fn state(self) -> Option<State> {
        match self {
            Self::State(state) => Some(state),
            Self::Misread | Self::FramePointer => None,
        }
    }
}

/// That, and the length of each instruction, by address.
type States = BTreeMap<u64, (Known, u8)>;

/// How many functions a gap has, and their states; `None` where its code is not of the System V ABI. Functions that take their
/// arguments off the stack when they return (V8's builtins, of which Node.js has a megabyte) leave their caller's stack pointer
/// elsewhere than it was at the call. Such code keeps frame pointers.
fn functions_of(
    gap: &Gap,
    starts: &Starts,
    look: &mut Look,
) -> Result<Option<(usize, States)>, NoTable> {
    let mut states = States::new();
    let mut effects = Effects::new();
    let mut functions = 0;
    let (mut all, mut pop) = (0, 0);
    // What is known where a function jumps by a table, by where the function begins.
    let mut tables: BTreeMap<u64, Vec<State>> = BTreeMap::new();
    let mut left = gap.bytes.len() * PER_BYTE;
    for start in starts.begins.range(gap.begin..gap.end()) {
        if states.contains_key(start) || left == 0 {
            continue;
        }
        let state = if *start == starts.entry {
            State::ROOT
        } else {
            State::CALLED
        };
        let followed = paths::follow(gap, (*start, state), (&states, starts), &mut effects, look)?;
        left = left.saturating_sub(followed.steps);
        functions += usize::from(followed.is_sound);
        all += 1;
        pop += usize::from(followed.pops_arguments);
        tables.insert(*start, followed.tables.clone());
        keep(&mut states, followed);
    }
    if pop * FOREIGN_PART > all {
        return Ok(None);
    }
    // The rest, in the order of addresses: a new function, or what the one before jumps to by a table.
    let mut at = gap.begin;
    while let Some(next) = gap.next_rest(at, &states) {
        look.one()?;
        if left == 0 {
            break;
        }
        at = next;
        let before = tables.range(..=at).next_back();
        let jumped = before
            .map(|(_, states)| states.as_slice())
            .unwrap_or_default();
        let candidates = jumped.iter().chain(&[State::CALLED]);
        let mut sound = None;
        for state in candidates {
            let followed = paths::follow(gap, (at, *state), (&states, starts), &mut effects, look)?;
            left = left.saturating_sub(followed.steps);
            if followed.is_sound && followed.is_confirmed {
                sound = Some((*state, followed));
                break;
            }
        }
        let Some((state, followed)) = sound else {
            // Not the beginning of anything; what comes next may be.
            at = gap.after_end(at);
            continue;
        };
        if state == State::CALLED {
            functions += 1;
            tables.insert(at, followed.tables.clone());
        } else if let Some((_, known)) = tables.range_mut(..=at).next_back() {
            let new = followed.tables.iter().filter(|it| !known.contains(it));
            let new: Vec<State> = new.copied().collect();
            known.extend(new);
        }
        keep(&mut states, followed);
    }
    Ok(Some((functions, states)))
}

fn keep(states: &mut States, followed: Followed) {
    for (at, (state, size)) in followed.states {
        let known = match (followed.is_sound, followed.has_frame_pointer) {
            (true, _) => Known::State(state),
            (false, true) => Known::FramePointer,
            (false, false) => Known::Misread,
        };
        states.entry(at).or_insert((known, size));
    }
}

/// Adds the rows of a gap.
fn add(gap: &Gap, states: &States, origin: u64, rows: &mut Rows) -> Result<(), NoTable> {
    let mut last = NONE;
    let mut end = gap.begin;
    for (at, (state, size)) in states {
        let rule = match state {
            Known::State(_) if gap.returns_from_signal(*at) => SIGNAL,
            Known::State(state) => state.rule(),
            Known::Misread => UNKNOWN,
            Known::FramePointer => NONE,
        };
        if end < *at && last != NONE {
            rows.add((end - origin) as u32, NONE)?;
            last = NONE;
        }
        if rule != last {
            // A handler's return address is that of the first instruction, and the byte before is what is looked up.
            let early = rule == SIGNAL && *at > gap.begin;
            rows.add((*at - u64::from(early) - origin) as u32, rule)?;
            last = rule;
        }
        end = at + u64::from(*size);
    }
    if end < gap.end() && last != NONE {
        rows.add((end - origin) as u32, NONE)?;
    }
    Ok(())
}
