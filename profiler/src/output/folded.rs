//! `stacks.folded`: one line for each distinct stack, as every flame graph tool reads it.
//!
//! `container;state;thread;outermost;…;leaf nanoseconds`. The number is time, because time is what all
//! states have in common: counts of samples could not stand beside blocked time. Kernel frames end in
//! `_[k]`, inlined functions in `_[i]`.
//!
//! `quota.folded` has the same form: the part of the on-CPU time that burnt a quota. `syscalls.folded` as well: the
//! time in system calls, with the call as outermost frame.

use std::collections::HashMap;
use std::io::{BufRead, Read, Write};

use super::names;
use super::stacks::{Builder, NameId, Stacks};
use super::states::ViewState;
use super::summary::Summary;

/// A line may hold a few thousand inlined frames with long names, and no more.
const MAX_LINE_BYTES: u64 = 4 << 20;

/// Sums of more than a hundred years are not time: they would overflow the sums of the views.
const MAX_TOTAL_NS: u64 = 1 << 62;

/// Writes one line for each stack, in the order of `stacks`.
///
/// `containers` are the labels that the stacks' containers refer to.
pub fn write(stacks: &Stacks, containers: &[&str], out: &mut impl Write) -> std::io::Result<()> {
    let mut line = String::new();
    for stack in stacks.iter() {
        line.clear();
        line.push_str(containers[stack.container]);
        line.push(';');
        line.push_str(stack.state.name());
        line.push(';');
        line.push_str(stacks.name(stack.thread));
        for frame in stack.frames {
            line.push(';');
            line.push_str(stacks.name(*frame));
        }
        out.write_all(line.as_bytes())?;
        writeln!(out, " {}", stack.ns)?;
    }
    Ok(())
}

/// What is wrong with a file of folded stacks.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Reading failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A line is not a stack of this recording.
    #[error("line {line}: {problem}")]
    Line {
        /// Number of the line, from 1.
        line: u64,
        /// What it should have been.
        problem: String,
    },
}

/// Reads stacks back. Lines of states that this version does not know are skipped.
pub fn read(input: impl BufRead, summary: &Summary) -> Result<Stacks, ReadError> {
    let containers: HashMap<&str, usize> = summary
        .containers
        .iter()
        .enumerate()
        .map(|(position, container)| (container.label.as_str(), position))
        .collect();
    let mut builder = Builder::default();
    let mut frames = Vec::new();
    let mut total: u64 = 0;
    let mut input = input;
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        if (&mut input)
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut bytes)?
            == 0
        {
            break;
        }
        let fail = |problem: &str| ReadError::Line {
            line,
            problem: problem.to_owned(),
        };
        if bytes.len() as u64 == MAX_LINE_BYTES {
            return Err(fail("too long to be a stack"));
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| fail("not UTF-8"))?;
        let (stack, ns) = text
            .trim_end_matches('\n')
            .rsplit_once(' ')
            .ok_or_else(|| fail("no number of nanoseconds at the end"))?;
        let ns: u64 = ns
            .parse()
            .map_err(|_| fail("no number of nanoseconds at the end"))?;
        total = total
            .checked_add(ns)
            .filter(|total| *total < MAX_TOTAL_NS)
            .ok_or_else(|| fail("more time than a recording can hold"))?;
        let mut fields = stack.split(';');
        let (Some(container), Some(state), Some(thread)) =
            (fields.next(), fields.next(), fields.next())
        else {
            return Err(fail("not container;state;thread;frames"));
        };
        let container = *containers.get(container).ok_or_else(|| {
            fail(&format!(
                "container {} is not in summary.json",
                names::field(container)
            ))
        })?;
        let Some(state) = ViewState::from_name(state) else {
            continue;
        };
        let thread = name(&mut builder, thread);
        frames.clear();
        frames.extend(fields.map(|frame| name(&mut builder, frame)));
        if frames.is_empty() {
            return Err(fail("a stack without frames"));
        }
        if builder.is_full(frames.len()) {
            return Err(fail("more frames than a recording can hold"));
        }
        builder.push(container, state, thread, &frames, ns);
    }
    Ok(builder.finish())
}

/// Names that are known are clean; another's file may hold others.
fn name(builder: &mut Builder, name: &str) -> NameId {
    builder
        .known_name(name)
        .unwrap_or_else(|| builder.name(&names::field_read_back(name)))
}
