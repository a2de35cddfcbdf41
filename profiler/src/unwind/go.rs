//! Rows of Go's functions, whose frame descriptions are programs of their own.
//!
//! Go keeps frame pointers, but they skip the caller of a function that has none of its own (short ones that call nothing),
//! and of every function at its first instructions. Sources: `runtime/traceback.go`, `cmd/internal/obj/x86/obj6.go`, and
//! `runtime/asm_amd64.s` for the functions that change stacks, of Go 1.18 to 1.26.

use super::code::{Claim, Clipped, Code, Found};
use super::look::Look;
use super::rows::Rows;
use super::rule::{self, CALLED, END, NONE, Rule, SIGNAL, SWITCHED, UNKNOWN};
use super::{Limits, NoTable};
use crate::symbolize::go::{GoFrame, GoFrames, Kind};

/// The Go part of a file.
pub(super) struct Go<'a> {
    frames: GoFrames<'a>,
    limits: &'a Limits,
}

impl<'a> Go<'a> {
    pub(super) const fn new(frames: GoFrames<'a>, limits: &'a Limits) -> Self {
        Self { frames, limits }
    }

    /// Adds its code.
    pub(super) fn code(&self, found: &mut Found<'_>) -> Result<(), NoTable> {
        let mut look = Look::new(self.limits.deadline);
        self.frames.each(|frame| {
            look.one()?;
            found.add((frame.begin, frame.end))
        })
    }

    /// Adds its rows; says of how many functions they make no sense.
    pub(super) fn rows(&self, code: &mut Code<'_>, rows: &mut Rows) -> Result<usize, NoTable> {
        let mut look = Look::new(self.limits.deadline);
        let mut damaged = 0;
        self.frames.each(|frame| {
            look.one()?;
            let is_sound = match code.claim((frame.begin, frame.end)) {
                Claim::Rows(clipped) => function(&frame, &clipped, rows, &mut look)?,
                Claim::Nothing => true,
                Claim::Changed => false,
            };
            damaged += usize::from(!is_sound);
            Ok::<_, NoTable>(())
        })?;
        Ok(damaged)
    }
}

/// Adds the rows of a function; says if they make sense.
fn function(
    frame: &GoFrame<'_>,
    code: &Clipped,
    rows: &mut Rows,
    look: &mut Look,
) -> Result<bool, NoTable> {
    let mut add = |at: u64, rule| rows.add((at - code.origin) as u32, rule);
    let mut is_sound = true;
    let always = match frame.kind {
        Kind::Root => Some(END),
        Kind::Restorer => {
            // A handler's return address is that of its first instruction, and what is looked up is the byte before.
            if code.begin > code.origin {
                add(code.begin - 1, SIGNAL)?;
            }
            Some(SIGNAL)
        }
        Kind::Unknown => Some(UNKNOWN),
        Kind::Usual | Kind::Switches => None,
    };
    if let Some(rule) = always {
        add(code.begin, rule)?;
    } else {
        let mut last = None;
        for (at, depth) in frame.depths() {
            look.one()?;
            if at >= code.end {
                break;
            }
            let rule = rule_of(frame.kind, depth);
            is_sound &= rule != UNKNOWN;
            if last != Some(rule) {
                add(at, rule)?;
                last = Some(rule);
            }
        }
        if last.is_none() {
            is_sound = false;
            add(code.begin, UNKNOWN)?;
        }
    }
    add(code.end, NONE)?;
    Ok(is_sound)
}

/// What holds where the stack pointer is so many bytes below the return address.
fn rule_of(kind: Kind, depth: i32) -> Rule {
    match (kind, depth) {
        (_, 0) => CALLED,
        // The frame pointer is the first thing that a function with a frame saves.
        (Kind::Switches, 8..) => SWITCHED,
        (_, 8..) => rule::below_saved(depth).unwrap_or(UNKNOWN),
        _ => UNKNOWN,
    }
}
