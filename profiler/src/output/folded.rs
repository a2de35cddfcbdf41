//! `stacks.folded`: one line for each distinct stack, as every flame graph tool reads it.
//!
//! `container;state;thread;outermost;…;leaf nanoseconds`. The number is time, because time is what all
//! states have in common: counts of samples could not stand beside blocked time. Kernel frames end in
//! `_[k]`, inlined functions in `_[i]`.
//!
//! `quota.folded` has the same form: the part of the on-CPU time that burnt a quota. `syscalls.folded` as well: the
//! time in system calls, with the call as outermost frame.

use std::io::Write;

use crate::analysis::stacks::{StackRef, Stacks, shared_frames};

/// Writes one line for each stack, in the order of `stacks`.
///
/// `containers` are the labels that the stacks' containers refer to.
pub fn write(stacks: &Stacks, containers: &[&str], out: &mut impl Write) -> std::io::Result<()> {
    let mut line = String::new();
    // Where each frame of the line ends. Stacks are in order: a line has most of its frames from the one before.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Option<StackRef<'_>> = None;
    for stack in stacks.iter() {
        let shared = before.map_or(0, |before| shared_frames(&before, &stack));
        before = Some(stack);
        if shared == 0 {
            line.clear();
            line.push_str(containers[stack.container]);
            line.push(';');
            line.push_str(stack.state.name());
            line.push(';');
            line.push_str(&stacks.name(stack.thread).text);
            ends.clear();
        } else {
            line.truncate(ends[shared - 1]);
            ends.truncate(shared);
        }
        for frame in &stack.frames[shared..] {
            let name = stacks.name(*frame);
            line.push(';');
            line.push_str(&name.text);
            line.push_str(name.kind.mark());
            ends.push(line.len());
        }
        out.write_all(line.as_bytes())?;
        writeln!(out, " {}", stack.ns)?;
    }
    Ok(())
}
