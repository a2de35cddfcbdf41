//! Who ended waits for locks.

use std::collections::HashMap;

use ctprof_ebpf::abi::ledger::{reason, state};

use super::addresses::Names;
use super::stacks::{Owners, Placeholders, frames, thread_name};
use crate::collect::Samples;
use crate::model::{Container, FrameKind, FrameTable};
use crate::views::moments::{FUNCTIONS, Waker, add_waker};

/// Row, thread, where it let go of the lock, where the others waited for it.
type Held = (usize, String, Vec<String>, Vec<String>);

/// Gives each row those who ended the waits of its threads for locks.
pub fn container_wakers(
    samples: &Samples,
    names: &Names,
    table: &FrameTable,
    placeholders: Placeholders,
    owners: &Owners,
    containers: &mut [Container],
) {
    let functions = |key| {
        let (frames, _) = frames(samples, names, key, placeholders.skipped);
        let user = frames.iter().map(|id| table.frame(*id));
        let user = user.filter(|frame| frame.kind == FrameKind::User);
        let named = user.map(|frame| frame.function.to_string());
        named.take(FUNCTIONS).collect::<Vec<String>>()
    };
    // By the user stack that they waited with.
    let waits = samples
        .counts()
        .filter(|(key, _)| key.state as usize == state::BLOCKED + reason::LOCK as usize);
    let waits: HashMap<u64, _> = waits.map(|(key, _)| (key.user_stack, key)).collect();
    let mut found: HashMap<Held, (u64, u64)> = HashMap::new();
    for (key, count) in samples.wakes() {
        let Some(owner) = owners.0.get(&key.slot) else {
            continue;
        };
        let waited_in = waits.get(&key.period).map(|key| functions(key));
        let waker = (
            *owner,
            thread_name(&key.comm).to_string(),
            functions(key),
            waited_in.unwrap_or_default(),
        );
        let sum = found.entry(waker).or_default();
        sum.0 += count.count;
        sum.1 += count.ns;
    }
    for ((owner, thread, functions, waited_in), (count, ns)) in found {
        if let Some(row) = containers.get_mut(owner) {
            let waker = Waker {
                thread,
                functions,
                waited_in,
                count,
                ns,
            };
            add_waker(row, waker);
        }
    }
}
