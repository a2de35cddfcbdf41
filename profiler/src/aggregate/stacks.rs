//! Rows of raw samples and intervals as stacks of containers.

mod frames;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ctprof_ebpf::abi::count_key::{CountKey, flags};
use ctprof_ebpf::abi::ledger::state;
use ctprof_ebpf::abi::scope::SLOT_KERNEL;
use foldhash::{HashMap as FastMap, HashMapExt as _};

use super::addresses::Names;
use super::ledger::state_of;
use crate::collect::Samples;
use crate::host::syscalls;
use crate::model::text::printable;
use crate::model::{Container, Cut, FrameId, Stack, StackQuality, State};
pub(super) use frames::frames;
use frames::skip_scheduler;
pub use frames::{Placeholders, scheduler_frames};

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

/// Where rows of samples and intervals went.
#[derive(Debug, Default)]
pub struct Given {
    /// Samples whose slot belongs to no container.
    pub ownerless: u64,
    /// Container and position among its stacks, of each of the rows that were asked for.
    pub places: Vec<Option<(usize, u32)>>,
}

/// Gives every sample and interval to its container, and says where these `rows_asked` went.
///
/// `period_ns` is the time that one sample stands for.
#[allow(clippy::too_many_arguments, reason = "each is a table of its own")]
pub fn container_stacks(
    samples: &Samples,
    names: &Names,
    owners: &Owners,
    period_ns: u64,
    placeholders: Placeholders,
    scheduler: &HashSet<FrameId>,
    rows_asked: &[CountKey],
    containers: &mut [Container],
) -> Given {
    let rows = samples.counts();
    // Samples or intervals, time, and the number of the stack in the order in which they come up.
    let mut merged: FastMap<Identity, (u64, u64, usize)> = FastMap::with_capacity(rows.len());
    let mut numbers: FastMap<CountKey, usize> = FastMap::with_capacity(rows_asked.len());
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
        let (mut stack, cut) = frames(samples, names, key, placeholders.skipped);
        let mut ns = count.ns;
        if is_sample {
            rate(&mut container.quality, key, count.count, cut);
            container.samples += count.count;
            ns = count.count * period_ns;
        } else {
            skip_scheduler(&mut stack, scheduler);
            if key.flags & (flags::SHORT | flags::BEFORE) == 0 {
                rate(&mut container.wait_quality, key, ns, cut);
            }
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
        let next = merged.len();
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
            .or_insert((0, 0, next));
        sum.0 += count.count;
        sum.1 += ns;
        if !rows_asked.is_empty() {
            numbers.insert(*key, sum.2);
        }
    }
    let mut places = vec![None; merged.len()];
    for (identity, (count, time_ns, number)) in merged {
        let stacks = &containers[identity.owner].stacks;
        places[number] = Some((identity.owner, stacks.len() as u32));
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
    let asked = rows_asked.iter();
    Given {
        ownerless,
        places: asked.map(|key| places[*numbers.get(key)?]).collect(),
    }
}

/// Counts how far the stack of these samples, or of a wait of so many ns, reaches, which is cut for this reason.
fn rate(quality: &mut StackQuality, key: &CountKey, count: u64, cut: Option<Cut>) {
    let cut = if key.flags & flags::USER_CUT == 0 {
        cut
    } else {
        Some(Cut::TooDeep)
    };
    match cut {
        _ if key.flags & (flags::USER_UNREADABLE | flags::STACK_LOST) != 0 => {
            quality.unreadable += count;
        }
        None => quality.complete += count,
        Some(cut) => {
            quality.truncated += count;
            quality.cut.add(cut, count);
        }
    }
}

pub(super) fn thread_name(comm: &[u8; 16]) -> Arc<str> {
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
    use ctprof_ebpf::abi::stack::end;

    use super::{Given, Names, Owners, Placeholders, container_stacks};
    use crate::collect::Samples;
    use crate::collect::samples::tests::record;
    use crate::model::{
        CallerAt, Container, Cut, FrameId, FrameTable, ProcessKey, Resolved, State,
    };

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
        samples.add_stack(1, &record(&[0x100, 0x201, 0x301], 0));
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
            &[],
            &mut containers,
        );

        assert_eq!(containers[0].stacks[0].frames, [FrameId(1)]);
        assert_eq!(containers[0].quality.truncated, 1);
    }

    #[test]
    fn unwound_stacks_have_one_root_and_say_why_they_end() {
        let mut samples = Samples::default();
        samples.add_stack(1, &record(&[0x100, 0x201, 0x301, 0x401], end::ROOT));
        samples.add_stack(2, &record(&[0x100, 0x201, 0x501], end::NO_FRAME_POINTER));
        for user_stack in [1, 2] {
            let key = CountKey {
                user_stack,
                ..CountKey::default()
            };
            samples.add_counts([(key, of(user_stack))]);
        }
        let mut names = Names::default();
        let user = names
            .user
            .entry(ProcessKey { pid: 0, exec_id: 0 })
            .or_default();
        user.insert(0x100, resolved(&[1], false));
        user.insert(0x200, resolved(&[2], false));
        user.insert(0x300, resolved(&[3], true));
        user.insert(0x400, resolved(&[4], true));
        user.insert(
            0x500,
            Resolved {
                is_code: false,
                ..resolved(&[5], false)
            },
        );
        let mut containers = [Container::default()];

        container_stacks(
            &samples,
            &names,
            &Owners([(0, 0)].into()),
            1,
            placeholders(),
            &HashSet::new(),
            &[],
            &mut containers,
        );

        let container = &containers[0];
        let mut frames: Vec<_> = container.stacks.iter().map(|it| &it.frames).collect();
        frames.sort_unstable();
        let ids = |ids: &[u32]| ids.iter().map(|id| FrameId(*id)).collect::<Vec<_>>();
        assert_eq!(frames, [&ids(&[1, 2]), &ids(&[1, 2, 3])]);
        assert_eq!(container.quality.complete, 1);
        let cut = container.quality.cut.sorted();
        assert_eq!(cut, [(Cut::NoFramePointer, 2)]);
    }

    #[test]
    fn samples_become_stacks_of_their_container() {
        let mut samples = Samples::default();
        samples.add_stack(1, &record(&[0x100, 0x201], 0));
        samples.add_stack(2, &record(&[0xffff_0000], 0));
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

        let Given { ownerless, .. } = container_stacks(
            &samples,
            &names,
            &owners,
            10,
            placeholders(),
            &HashSet::new(),
            &[],
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
