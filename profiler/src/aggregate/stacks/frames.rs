//! The frames of one raw stack: names for its addresses, stand-ins for what is not known, and none of the scheduler's.

use std::collections::HashSet;

use ctprof_ebpf::abi::count_key::{CountKey, flags};
use ctprof_ebpf::abi::scope::SLOT_KERNEL;
use ctprof_ebpf::abi::stack::end;
use foldhash::HashMap as FastMap;

use crate::aggregate::addresses::{
    Names, image, kernel_call_sites, saved_call_sites, user_call_sites,
};
use crate::aggregate::skipped::user_frames;
use crate::collect::Samples;
use crate::model::{Cut, Frame, FrameId, FrameKind, FrameTable, Resolved, stand_in};

/// Frames that stand for stacks which are not known, so that their time stays in every view.
#[derive(Clone, Copy, Debug)]
pub struct Placeholders {
    /// Intervals that were too short to keep their stacks.
    pub short: FrameId,
    /// The user half of a stack that the thread had before the recording began.
    pub before: FrameId,
    /// Time that no sample or row accounts for.
    pub missing: FrameId,
    /// Functions that are known to be missing between two others.
    pub skipped: FrameId,
}

impl Placeholders {
    /// The frames, in this table.
    pub fn of(frames: &mut FrameTable) -> Self {
        let mut named = |name: &str| {
            frames.intern(Frame {
                function: name.into(),
                kind: FrameKind::StandIn,
                module: None,
                address: 0,
                inlined: false,
                file: None,
                line: 0,
            })
        };
        Self {
            short: named(stand_in::SHORT),
            before: named(stand_in::BEFORE),
            missing: named(stand_in::NO_STACK),
            skipped: named(stand_in::SKIPPED),
        }
    }
}

/// The kernel functions through which a thread leaves the CPU, and ctprof's own hook within them, are on every
/// stack off the CPU: they say nothing, and are left out.
#[must_use]
pub fn scheduler_frames(frames: &FrameTable) -> HashSet<FrameId> {
    const FUNCTIONS: &[&str] = &[
        "__schedule",
        "schedule",
        "preempt_schedule",
        "preempt_schedule_common",
        "preempt_schedule_irq",
        "preempt_schedule_notrace",
    ];
    (0_u32..)
        .zip(frames.frames())
        .filter(|(_, frame)| {
            frame.kind == FrameKind::Kernel && FUNCTIONS.contains(&&*frame.function)
        })
        .map(|(id, _)| FrameId(id))
        .collect()
}

/// Frames from the leaf among which the scheduler's are looked for.
const SCHEDULER_DEPTH: usize = 10;

pub(super) fn skip_scheduler(stack: &mut Vec<FrameId>, scheduler: &HashSet<FrameId>) {
    let last = stack
        .iter()
        .take(SCHEDULER_DEPTH)
        .rposition(|frame| scheduler.contains(frame));
    if let Some(last) = last {
        stack.drain(..=last);
    }
}

/// Frames of a row, leaf first, and why they do not reach the function where the thread began.
pub(in crate::aggregate) fn frames(
    samples: &Samples,
    names: &Names,
    key: &CountKey,
    skipped: FrameId,
) -> (Vec<FrameId>, Option<Cut>) {
    let kernel = kernel_call_sites(samples, key);
    let user = user_call_sites(samples, key);
    let mut frames = Vec::with_capacity(kernel.size_hint().0 + user.size_hint().1.unwrap_or(0));
    for address in kernel {
        if let Some(resolved) = names.kernel.get(&address) {
            frames.extend_from_slice(&resolved.frames);
        }
    }
    let end = samples.end(key.user_stack);
    let outermost = names.user.get(&image(key)).and_then(|known| {
        if matches!(end, end::BY_FRAME_POINTER | end::NO_TABLE) {
            let saved: Vec<(u32, u64)> = saved_call_sites(samples, key).collect();
            user_frames(user, &saved, known, skipped, &mut frames)
        } else {
            unwound_frames(user, known, &mut frames)
        }
    });
    // Where there is no user half, the kernel stack is all, and unwound to the end by the kernel itself.
    let reaches_root = key.slot == SLOT_KERNEL
        || key.flags & flags::NO_USER != 0
        || end == end::ROOT
        || end != end::UNMAPPED && outermost.is_some_and(|resolved| resolved.is_root);
    let cut = (!reaches_root).then_some(match end {
        end::NO_TABLE | end::UNMAPPED => Cut::NoTableYet,
        end::UNREADABLE => Cut::NotResident,
        end::UNKNOWN_RULE => Cut::UnknownRule,
        end::TOO_DEEP => Cut::TooDeep,
        end::NO_FRAME_POINTER => Cut::NoFramePointer,
        end::BROKEN => Cut::Broken,
        _ => Cut::FramePointers,
    });
    (frames, cut)
}

/// Adds the frames of a user stack that was unwound by tables, and returns the outermost one.
///
/// Of the functions that start a thread or `main` the innermost is the root, as it is of stacks that were unwound by frame
/// pointers, which hardly get behind it: one program has one root.
fn unwound_frames<'a>(
    addresses: impl Iterator<Item = u64>,
    known: &'a FastMap<u64, Resolved>,
    frames: &mut Vec<FrameId>,
) -> Option<&'a Resolved> {
    let found = addresses
        .enumerate()
        .filter_map(|(depth, address)| Some((depth, known.get(&address)?)))
        // What code without a description had in its frame pointer.
        .take_while(|(depth, resolved)| *depth == 0 || resolved.is_code);
    let mut stack: Vec<&Resolved> = found.map(|(_, resolved)| resolved).collect();
    while let [.., before, last] = stack.as_slice()
        && before.is_root
        && last.is_root
    {
        stack.pop();
    }
    for resolved in &stack {
        frames.extend_from_slice(&resolved.frames);
    }
    stack.pop()
}
