//! Rows of raw samples as stacks of containers.

use std::collections::HashMap;
use std::sync::Arc;

use ctprof_ebpf::abi::count_key::{CountKey, flags};
use ctprof_ebpf::abi::scope::SLOT_KERNEL;

use super::addresses::{Names, image, kernel_call_sites, user_call_sites};
use crate::collect::Samples;
use crate::model::text::printable;
use crate::model::{Container, FrameId, Resolved, Stack, State};

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
}

/// Gives every sample to its container. Returns the samples whose slot belongs to none.
///
/// `period_ns` is the time that one sample stands for.
pub fn container_stacks(
    samples: &Samples,
    names: &Names,
    owners: &Owners,
    period_ns: u64,
    containers: &mut [Container],
) -> u64 {
    let mut merged: HashMap<Identity, u64> = HashMap::new();
    let mut threads: HashMap<[u8; 16], Arc<str>> = HashMap::new();
    let mut ownerless = 0;
    for (key, count) in samples.counts() {
        let Some((owner, container)) = owners
            .0
            .get(&key.slot)
            .and_then(|owner| Some((*owner, containers.get_mut(*owner)?)))
        else {
            ownerless += count;
            continue;
        };
        let (frames, reaches_root) = frames(samples, names, key);
        let quality = &mut container.quality;
        match () {
            () if key.flags & (flags::USER_UNREADABLE | flags::STACK_LOST) != 0 => {
                quality.unreadable += count;
            }
            () if reaches_root && key.flags & flags::USER_CUT == 0 => quality.complete += count,
            () => quality.truncated += count,
        }
        let state = if key.flags & flags::IN_KERNEL == 0 {
            State::OnCpuUser
        } else {
            State::OnCpuKernel
        };
        container.samples += count;
        *container.time_ns.entry(state).or_default() += count * period_ns;
        let thread = threads
            .entry(key.comm)
            .or_insert_with(|| thread_name(&key.comm))
            .clone();
        *merged
            .entry(Identity {
                owner,
                state,
                pid: key.tgid,
                thread,
                frames,
            })
            .or_default() += count;
    }
    for (identity, samples) in merged {
        let Identity {
            owner,
            state,
            pid,
            thread,
            frames,
        } = identity;
        let time_ns = samples * period_ns;
        containers[owner].stacks.push(Stack {
            state,
            pid,
            thread,
            frames,
            count: samples,
            time_ns,
            syscall: None,
            burnt_quota: false,
        });
    }
    ownerless
}

/// Frames of a row, leaf first, and whether they reach the function where the thread began.
fn frames(samples: &Samples, names: &Names, key: &CountKey) -> (Vec<FrameId>, bool) {
    let mut frames = Vec::new();
    let mut outermost: Option<&Resolved> = None;
    for address in kernel_call_sites(samples, key) {
        if let Some(resolved) = names.kernel.get(&address) {
            frames.extend_from_slice(&resolved.frames);
        }
    }
    if let Some(known) = names.user.get(&image(key)) {
        for (depth, address) in user_call_sites(samples, key).enumerate() {
            let Some(resolved) = known.get(&address) else {
                continue;
            };
            // The leaf is where the CPU was, mapped or not.
            if depth > 0 && !resolved.is_code {
                break;
            }
            frames.extend_from_slice(&resolved.frames);
            outermost = Some(resolved);
        }
    }
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
    use ctprof_ebpf::abi::count_key::{CountKey, flags};

    use super::{Names, Owners, container_stacks};
    use crate::collect::Samples;
    use crate::model::{Container, FrameId, ProcessKey, Resolved, State};

    fn resolved(frames: &[u32], is_root: bool) -> Resolved {
        Resolved {
            frames: frames.iter().map(|id| FrameId(*id)).collect(),
            is_root,
            is_code: true,
        }
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
            1,
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
            (key, 7),
            (CountKey { slot: 6, ..key }, 1),
            (
                CountKey {
                    kernel_stack: 2,
                    flags: flags::IN_KERNEL,
                    ..key
                },
                2,
            ),
            (
                CountKey {
                    user_stack: 0,
                    flags: flags::USER_UNREADABLE,
                    ..key
                },
                3,
            ),
            (CountKey { slot: 99, ..key }, 11),
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

        let ownerless = container_stacks(&samples, &names, &owners, 10, &mut containers);

        assert_eq!(ownerless, 11);
        let container = &containers[0];
        assert_eq!(container.samples, 13);
        assert_eq!(container.time_ns[&State::OnCpuUser], 110);
        assert_eq!(container.time_ns[&State::OnCpuKernel], 20);
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
