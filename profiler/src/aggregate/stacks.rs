//! Rows of raw samples and intervals as stacks of containers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ctprof_ebpf::abi::count_key::{CountKey, flags};
use ctprof_ebpf::abi::ledger::state;
use ctprof_ebpf::abi::scope::SLOT_KERNEL;
use foldhash::{HashMap as FastMap, HashMapExt as _};

use super::addresses::{Names, image, kernel_call_sites, saved_call_sites, user_call_sites};
use super::ledger::state_of;
use super::skipped::user_frames;
use crate::collect::Samples;
use crate::host::syscalls;
use crate::model::text::printable;
use crate::model::{Container, Frame, FrameId, FrameKind, FrameTable, Stack, State, stand_in};

/// Longest thread name: the kernel keeps 15 bytes.
const THREAD_NAME_CHARS: usize = 16;

/// Which container a slot belongs to, by its index.
#[derive(Debug, Default)]
pub struct Owners(pub HashMap<u32, usize>);

/// What makes two rows the same stack.
#[derive(PartialEq, Eq, Hash)]
struct Identity {
    owner: usize,
    state: State,
    pid: u32,
    thread: Arc<str>,
    frames: Vec<FrameId>,
    syscall: u32,
    burnt_quota: bool,
}

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
                kind: FrameKind::User,
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

fn skip_scheduler(stack: &mut Vec<FrameId>, scheduler: &HashSet<FrameId>) {
    let last = stack
        .iter()
        .take(SCHEDULER_DEPTH)
        .rposition(|frame| scheduler.contains(frame));
    if let Some(last) = last {
        stack.drain(..=last);
    }
}

/// Gives every sample and interval to its container. Returns the samples whose slot belongs to none.
///
/// `period_ns` is the time that one sample stands for.
pub fn container_stacks(
    samples: &Samples,
    names: &Names,
    owners: &Owners,
    period_ns: u64,
    placeholders: Placeholders,
    scheduler: &HashSet<FrameId>,
    containers: &mut [Container],
) -> u64 {
    let rows = samples.counts();
    let mut merged: FastMap<Identity, (u64, u64)> = FastMap::with_capacity(rows.len());
    let mut threads: FastMap<[u8; 16], Arc<str>> = FastMap::new();
    let mut calls: FastMap<u32, Option<Arc<str>>> = FastMap::new();
    let mut ownerless = 0;
    for (key, count) in rows {
        let is_sample = key.state as usize == state::ON_CPU;
        let Some((owner, container)) = owners
            .0
            .get(&key.slot)
            .and_then(|owner| Some((*owner, containers.get_mut(*owner)?)))
        else {
            ownerless += if is_sample { count.count } else { 0 };
            continue;
        };
        let (mut stack, reaches_root) = frames(samples, names, key, placeholders.skipped);
        let mut ns = count.ns;
        if is_sample {
            rate(container, key, count.count, reaches_root);
            container.samples += count.count;
            ns = count.count * period_ns;
        } else {
            skip_scheduler(&mut stack, scheduler);
        }
        if key.flags & flags::SHORT != 0 {
            stack = vec![placeholders.short];
        } else if key.flags & flags::BEFORE != 0 && key.slot != SLOT_KERNEL {
            stack.push(placeholders.before);
        }
        let thread = threads
            .entry(key.comm)
            .or_insert_with(|| thread_name(&key.comm))
            .clone();
        let sum = merged
            .entry(Identity {
                owner,
                state: state_of(key.state as usize, key.flags & flags::IN_KERNEL != 0),
                pid: key.tgid,
                thread,
                frames: stack,
                syscall: key.syscall,
                burnt_quota: is_sample && samples.is_burnt(key.period),
            })
            .or_default();
        sum.0 += count.count;
        sum.1 += ns;
    }
    for (identity, (count, time_ns)) in merged {
        let syscall = calls
            .entry(identity.syscall)
            .or_insert_with(|| syscalls::label(identity.syscall).map(Arc::from))
            .clone();
        containers[identity.owner].stacks.push(Stack {
            state: identity.state,
            pid: identity.pid,
            thread: identity.thread,
            frames: identity.frames,
            count,
            time_ns,
            syscall,
            burnt_quota: identity.burnt_quota,
        });
    }
    ownerless
}

/// Counts how far the stack of these samples reaches.
fn rate(container: &mut Container, key: &CountKey, count: u64, reaches_root: bool) {
    let quality = &mut container.quality;
    match () {
        () if key.flags & (flags::USER_UNREADABLE | flags::STACK_LOST) != 0 => {
            quality.unreadable += count;
        }
        () if reaches_root && key.flags & flags::USER_CUT == 0 => quality.complete += count,
        () => quality.truncated += count,
    }
}

/// Frames of a row, leaf first, and whether they reach the function where the thread began.
fn frames(
    samples: &Samples,
    names: &Names,
    key: &CountKey,
    skipped: FrameId,
) -> (Vec<FrameId>, bool) {
    let kernel = kernel_call_sites(samples, key);
    let user = user_call_sites(samples, key);
    let mut frames = Vec::with_capacity(kernel.size_hint().0 + user.size_hint().1.unwrap_or(0));
    for address in kernel {
        if let Some(resolved) = names.kernel.get(&address) {
            frames.extend_from_slice(&resolved.frames);
        }
    }
    let outermost = names.user.get(&image(key)).and_then(|known| {
        let saved: Vec<(u32, u64)> = saved_call_sites(samples, key).collect();
        user_frames(user, &saved, known, skipped, &mut frames)
    });
    // A kernel thread has no user half: its kernel stack is unwound to the end by the kernel itself.
    let reaches_root =
        key.slot == SLOT_KERNEL || outermost.is_some_and(|resolved| resolved.is_root);
    (frames, reaches_root)
}

fn thread_name(comm: &[u8; 16]) -> Arc<str> {
    let end = comm
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(comm.len());
    printable(&String::from_utf8_lossy(&comm[..end]), THREAD_NAME_CHARS).into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use ctprof_ebpf::abi::count_key::{Count, CountKey, flags};

    use super::{Names, Owners, Placeholders, container_stacks};
    use crate::collect::Samples;
    use crate::model::{CallerAt, Container, FrameId, FrameTable, ProcessKey, Resolved, State};

    fn resolved(frames: &[u32], is_root: bool) -> Resolved {
        Resolved {
            frames: frames.iter().map(|id| FrameId(*id)).collect(),
            is_root,
            is_code: true,
            caller: CallerAt::Unknown,
        }
    }

    fn of(count: u64) -> Count {
        Count { count, ns: 0 }
    }

    fn placeholders() -> Placeholders {
        Placeholders::of(&mut FrameTable::default())
    }

    #[test]
    fn noise_behind_the_last_real_caller_is_cut() {
        let mut samples = Samples::default();
        samples.add_stack(1, &[0x100, 0x201, 0x301]);
        samples.add_counts([(
            CountKey {
                user_stack: 1,
                ..CountKey::default()
            },
            of(1),
        )]);
        let mut names = Names::default();
        let user = names
            .user
            .entry(ProcessKey { pid: 0, exec_id: 0 })
            .or_default();
        user.insert(0x100, resolved(&[1], false));
        user.insert(
            0x200,
            Resolved {
                is_code: false,
                ..resolved(&[2], false)
            },
        );
        user.insert(0x300, resolved(&[3], true));
        let mut containers = [Container::default()];

        container_stacks(
            &samples,
            &names,
            &Owners([(0, 0)].into()),
            1,
            placeholders(),
            &HashSet::new(),
            &mut containers,
        );

        assert_eq!(containers[0].stacks[0].frames, [FrameId(1)]);
        assert_eq!(containers[0].quality.truncated, 1);
    }

    #[test]
    fn samples_become_stacks_of_their_container() {
        let mut samples = Samples::default();
        samples.add_stack(1, &[0x100, 0x201]);
        samples.add_stack(2, &[0xffff_0000]);
        let key = CountKey {
            user_stack: 1,
            slot: 5,
            tgid: 42,
            comm: *b"web\x1b\0\0\0\0\0\0\0\0\0\0\0\0",
            ..CountKey::default()
        };
        samples.add_counts([
            (key, of(7)),
            (CountKey { slot: 6, ..key }, of(1)),
            (
                CountKey {
                    kernel_stack: 2,
                    flags: flags::IN_KERNEL,
                    ..key
                },
                of(2),
            ),
            (
                CountKey {
                    user_stack: 0,
                    flags: flags::USER_UNREADABLE,
                    ..key
                },
                of(3),
            ),
            (CountKey { slot: 99, ..key }, of(11)),
        ]);
        let mut names = Names::default();
        names.kernel.insert(0xffff_0000, resolved(&[9], false));
        let user = names
            .user
            .entry(ProcessKey {
                pid: 42,
                exec_id: 0,
            })
            .or_default();
        user.insert(0x100, resolved(&[1, 2], false));
        user.insert(0x200, resolved(&[3], true));
        // Two cgroups of one container: their rows merge.
        let owners = Owners([(5, 0), (6, 0)].into());
        let mut containers = [Container::default()];

        let ownerless = container_stacks(
            &samples,
            &names,
            &owners,
            10,
            placeholders(),
            &HashSet::new(),
            &mut containers,
        );

        assert_eq!(ownerless, 11);
        let container = &containers[0];
        assert_eq!(container.samples, 13);
        let quality = container.quality;
        assert_eq!(
            (quality.complete, quality.truncated, quality.unreadable),
            (10, 0, 3)
        );
        let mut stacks: Vec<_> = container
            .stacks
            .iter()
            .map(|stack| {
                (
                    stack.frames.iter().map(|id| id.0).collect::<Vec<_>>(),
                    stack.count,
                    stack.state,
                )
            })
            .collect();
        stacks.sort();
        assert_eq!(
            stacks,
            [
                (vec![], 3, State::OnCpuUser),
                (vec![1, 2, 3], 8, State::OnCpuUser),
                (vec![9, 1, 2, 3], 2, State::OnCpuKernel),
            ]
        );
        assert!(
            container
                .stacks
                .iter()
                .all(|stack| &*stack.thread == "web?")
        );
    }
}
