//! Raw samples to a window: whose they are, what their addresses are called.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::{Duration, Instant};

use super::beside::{self, Figures};
use crate::aggregate::{
    Addresses, Given, Names, Placeholders, balance, container_ledgers, container_slices,
    container_stacks, container_wakers, retain_rows, scheduler_frames,
};
use crate::bpf::SamplingEvent;
use crate::collect::{Recorded, WatchList};
use crate::grouping::{Naming, owners};
use crate::host::cgroup::Hierarchy;
use crate::host::containers::{Containers, ProcessPath};
use crate::host::kernel;
use crate::model::{FrameTable, Loss, Unnamed, Window};
use crate::symbolize::Symbolizer;
use crate::views::{self, Recorder};

const NS_PER_SECOND: u64 = 1_000_000_000;

/// Everything a window is made of.
pub(super) struct Input {
    pub(super) hierarchy: Hierarchy,
    pub(super) frequency_hz: u64,
    pub(super) event: SamplingEvent,
    pub(super) start_unix: Duration,
    pub(super) recorded: Recorded,
    pub(super) before: Figures,
    /// `None`: they are read, and views have their last look, when the window is put together.
    pub(super) after: Option<Figures>,
    pub(super) views: Recorder,
    pub(super) naming: Naming,
    pub(super) symbolizer: Symbolizer,
    /// When everything has to have its name.
    pub(super) deadline: Instant,
}

/// Puts the window together.
pub(super) fn profile(input: Input) -> Window {
    let Input {
        hierarchy,
        frequency_hz,
        event,
        start_unix,
        recorded,
        before,
        after,
        mut views,
        mut naming,
        mut symbolizer,
        deadline,
    } = input;
    let after = after.unwrap_or_else(|| {
        let cgroups = beside::recorded(&recorded.watch);
        views.last_look(&cgroups);
        Figures::read(&hierarchy, &cgroups)
    });
    naming.settle();
    let mut frames = FrameTable::default();
    let names = symbolize(
        Addresses::of(&recorded.samples),
        &mut symbolizer,
        deadline,
        &mut frames,
    );
    let (owners, mut containers) = owners(&recorded.watch, &mut naming);
    let placeholders = Placeholders::of(&mut frames);
    let rows_sliced = recorded.slices.as_ref();
    let rows_sliced = rows_sliced.map_or(&[][..], |slices| &slices.keys);
    let Given { ownerless, places } = container_stacks(
        &recorded.samples,
        &names,
        &owners,
        NS_PER_SECOND / frequency_hz,
        placeholders,
        &scheduler_frames(&frames),
        rows_sliced,
        &mut containers,
    );
    container_wakers(
        &recorded.samples,
        &names,
        &frames,
        placeholders,
        &owners,
        &mut containers,
    );
    views.fold(&recorded, &owners, &mut containers);
    let mut lost = recorded.lost;
    if let Some(raw) = &recorded.ledger {
        let elsewhere = elsewhere(&recorded.watch, naming.containers());
        let unended = container_ledgers(
            raw,
            &owners,
            |slot| elsewhere.get(&slot).cloned(),
            &mut containers,
        );
        lost.insert(Loss::ThreadEndMissed, unended);
    }
    for container in &mut containers {
        balance(container);
    }
    let slices_ns = match &recorded.slices {
        Some(slices) => {
            container_slices(slices, &places, views::item_name, &owners, &mut containers)
        }
        None => Vec::new(),
    };
    let cgroups = containers.iter().map(|it| it.identity.cgroup.clone());
    let cgroups: BTreeSet<String> = cgroups.collect();
    for container in &mut containers {
        let path = &container.identity.cgroup;
        if !path.is_empty() {
            container.cpu_quota_cores = hierarchy.quota_cores(path);
        }
        if !path.is_empty() && !container.identity.is_process() {
            container.cfs = after.cpu_since(&before, path);
        }
    }
    for (slot, path) in recorded.watch.recorded() {
        let owner = owners.0.get(&slot);
        // The threads of `host` are not counted: its cgroups hold the kernel's, too.
        if let Some(container) = owner
            .and_then(|owner| containers.get_mut(*owner))
            .filter(|it| !it.identity.cgroup.is_empty() && !it.identity.is_process())
        {
            let threads = container.threads.get_or_insert_default();
            *threads += after.threads(path);
        }
    }
    // `host` and `kernel` are always there, and so is what was asked for, even with nothing in it, unless it is but
    // a folder of what is shown.
    retain_rows(&mut containers, |it| {
        let cgroup = &it.identity.cgroup;
        let is_fixed = cgroup.is_empty();
        let is_chosen = recorded.watch.roots().is_some()
            && (it.identity.is_process() || !is_any_below(&cgroups, cgroup));
        let is_alive = it.samples > 0
            || it.time_ns.values().any(|ns| *ns > 0)
            || it.threads.is_some_and(|threads| threads > 0);
        is_fixed || is_chosen || is_alive
    });
    let mut unavailable = recorded.unavailable;
    unavailable.extend(views.give(&mut containers));
    lost.insert(Loss::UnknownSlot, ownerless);
    let off = containers.iter().filter(|it| it.residual_ns() != Some(0));
    let off = off.filter(|it| it.ledger.is_some()).count();
    lost.insert(Loss::LedgerResidual, off as u64);
    Window {
        ctprof_version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: kernel::release(),
        start_unix_ns: u64::try_from(start_unix.as_nanos()).unwrap_or(u64::MAX),
        duration_ns: u64::try_from(recorded.window.as_nanos()).unwrap_or(u64::MAX),
        frequency_hz,
        event: event.name().to_owned(),
        cpus: recorded.cpus as u64,
        stolen: beside::stolen_since(before.stolen, after.stolen),
        lost,
        unavailable,
        unnamed: unnamed(&symbolizer),
        rows: containers,
        slices_ns,
        frames,
    }
}

/// Whether any of these paths lies below `path`. By looking at the first that may: there are as many rows as cgroups.
fn is_any_below(all: &BTreeSet<String>, path: &str) -> bool {
    let above = format!("{}/", path.trim_end_matches('/'));
    let from = (Bound::Excluded(above.as_str()), Bound::Unbounded);
    let first = all.range::<str, _>(from).next();
    first.is_some_and(|first| first.starts_with(&above))
}

fn unnamed(symbolizer: &Symbolizer) -> Vec<Unnamed> {
    symbolizer
        .problems()
        .iter()
        .map(|(cause, count)| Unnamed { cause, count })
        .collect()
}

fn symbolize(
    addresses: Addresses,
    symbolizer: &mut Symbolizer,
    deadline: Instant,
    frames: &mut FrameTable,
) -> Names {
    let mut names = Names::default();
    symbolizer.begin_kernel();
    // Once more: a process that still lives may have mapped libraries and compiled code since. Most of the time is for
    // their files.
    symbolizer.drop_waiting();
    let now = Instant::now();
    let for_looks = deadline.saturating_duration_since(now) / 3;
    symbolizer.look_again(addresses.user.keys().copied(), now + for_looks);
    symbolizer.read_ahead(&addresses.user, Some(deadline));
    let kernel = symbolizer.kernel(&addresses.kernel, frames);
    names
        .kernel
        .extend(addresses.kernel.into_iter().zip(kernel));
    for (process, user) in addresses.user {
        let resolved = symbolizer.user(process, &user, frames);
        names
            .user
            .insert(process, user.into_iter().zip(resolved).collect());
    }
    names
}

/// Names for slots that are not recorded: those of their containers, or services.
fn elsewhere(watch: &WatchList, names: &mut Containers) -> BTreeMap<u32, String> {
    watch
        .iter()
        .filter(|(_, path)| !ProcessPath::is(path) && !watch.is_recorded(path))
        .filter_map(|(slot, path)| {
            let owner = names.owner(path)?;
            Some((slot, names.identify(&owner).name.clone()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::is_any_below;

    #[test]
    fn below_is_below_and_not_beside() {
        let all = ["", "/a", "/a-b", "/a/b", "/c"].map(str::to_owned).into();
        let below = ["/", "/a"];
        for path in ["/", "/a", "/a-b", "/a/b", "/c", "/d"] {
            assert_eq!(is_any_below(&all, path), below.contains(&path), "{path}");
        }
        assert!(!is_any_below(&["/".to_owned()].into(), "/"));
    }
}
