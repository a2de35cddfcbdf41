//! Raw samples to a profile: whose they are, what their addresses are called.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ctprof_ebpf::abi::scope::{SLOT_HOST, SLOT_KERNEL};

use super::beside::{self, Figures};
use crate::aggregate::{
    Addresses, CallNames, Names, Owners, Placeholders, balance, container_ledgers,
    container_stacks, container_syscalls, retain_rows, scheduler_frames,
};
use crate::collect::{Counted, Recorded, SessionPlan, WatchList};
use crate::host::cgroup::is_at_or_below;
use crate::host::containers::Containers;
use crate::host::{kernel, syscalls};
use crate::model::{Container, ContainerIdentity, FrameTable, Profile, Unavailable, Unnamed};
use crate::symbolize::Symbolizer;

const NS_PER_SECOND: u64 = 1_000_000_000;

/// What the numbers of system calls and errors are called on this machine.
pub const CALL_NAMES: CallNames = CallNames {
    call: syscalls::name_by,
    abi: syscalls::abi_name,
    error: syscalls::error_name,
};

/// Everything a profile is made of.
pub(super) struct Input<'a> {
    pub(super) plan: SessionPlan<'a>,
    pub(super) start_unix: Duration,
    pub(super) recorded: Recorded,
    pub(super) before: Figures,
    pub(super) after: Figures,
    pub(super) counted: Option<Counted>,
    pub(super) containers: Containers,
    pub(super) symbolizer: Symbolizer,
    /// When everything has to have its name.
    pub(super) deadline: Instant,
}

/// Puts the profile together.
pub(super) fn profile(input: Input<'_>) -> Profile {
    let Input {
        plan,
        start_unix,
        recorded,
        before,
        after,
        counted,
        containers: mut known,
        mut symbolizer,
        deadline,
    } = input;
    let SessionPlan {
        hierarchy, roots, ..
    } = plan;
    known.retry();
    let mut frames = FrameTable::default();
    let names = symbolize(
        Addresses::of(&recorded.samples),
        &mut symbolizer,
        deadline,
        &mut frames,
    );
    let (owners, mut containers) = owners(&recorded.watch, roots, &mut known);
    let placeholders = Placeholders::of(&mut frames);
    let ownerless = container_stacks(
        &recorded.samples,
        &names,
        &owners,
        NS_PER_SECOND / plan.frequency_hz,
        placeholders,
        &scheduler_frames(&frames),
        &mut containers,
    );
    let mut lost = recorded.lost;
    if let Some(raw) = &recorded.ledger {
        let elsewhere = elsewhere(&recorded.watch, &mut known);
        let unended = container_ledgers(
            raw,
            &owners,
            |slot| elsewhere.get(&slot).cloned(),
            &mut containers,
        );
        lost.insert("thread_end_missed".to_owned(), unended);
    }
    if let Some(calls) = &recorded.calls {
        container_syscalls(
            &calls.rows,
            calls.timed,
            CALL_NAMES,
            &owners,
            &mut containers,
        );
    }
    for container in &mut containers {
        balance(container);
    }
    let cgroups: Vec<String> = containers
        .iter()
        .map(|it| it.identity.cgroup.clone())
        .collect();
    let has_rows_below = |cgroup: &str| {
        cgroups
            .iter()
            .any(|other| other != cgroup && is_at_or_below(other, cgroup))
    };
    for container in &mut containers {
        let path = &container.identity.cgroup;
        if !path.is_empty() {
            container.cpu_quota_cores = hierarchy.quota_cores(path);
            container.cfs = after.cpu_since(&before, path);
            container.psi = after.psi_since(&before, path);
        }
    }
    for (slot, path) in recorded.watch.recorded() {
        let owner = owners.0.get(&slot);
        // The threads of `host` are not counted: its cgroups hold the kernel's, too.
        if let Some(container) = owner
            .and_then(|owner| containers.get_mut(*owner))
            .filter(|container| !container.identity.cgroup.is_empty())
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
        let is_chosen = roots.is_some() && !has_rows_below(cgroup);
        let is_alive = it.samples > 0
            || it.time_ns.values().any(|ns| *ns > 0)
            || it.threads.is_some_and(|threads| threads > 0);
        is_fixed || is_chosen || is_alive
    });
    let mut unavailable = recorded.unavailable;
    if let Some(cause) = hierarchy.missing_pressure() {
        unavailable.push(Unavailable {
            view: "psi".to_owned(),
            cause: format!("no stall times: {cause}"),
        });
    }
    match &counted {
        Some(counted) => unavailable.extend(beside::give(counted, &mut containers)),
        None => unavailable.push(Unavailable {
            view: "counters".to_owned(),
            cause: "no counters with --no-stacks: they make every switch between containers dearer"
                .to_owned(),
        }),
    }
    lost.insert("unknown_slot".to_owned(), ownerless);
    let off = containers.iter().filter(|it| it.residual_ns() != Some(0));
    let off = off.filter(|it| it.ledger.is_some()).count();
    lost.insert("ledger_residual".to_owned(), off as u64);
    Profile {
        ctprof_version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: kernel::release(),
        start_unix_ns: u64::try_from(start_unix.as_nanos()).unwrap_or(u64::MAX),
        window_ns: u64::try_from(recorded.window.as_nanos()).unwrap_or(u64::MAX),
        frequency_hz: plan.frequency_hz,
        event: plan.event.name().to_owned(),
        cpus: recorded.cpus as u64,
        stolen: beside::stolen_since(before.stolen, after.stolen),
        lost,
        unavailable,
        unnamed: unnamed(&symbolizer),
        containers,
        frames,
    }
}

fn unnamed(symbolizer: &Symbolizer) -> Vec<Unnamed> {
    symbolizer
        .problems()
        .iter()
        .map(|(problem, count)| Unnamed {
            cause: problem.id().to_owned(),
            count,
            explanation: problem.explain().to_owned(),
        })
        .collect()
}

fn symbolize(
    addresses: Addresses,
    symbolizer: &mut Symbolizer,
    deadline: Instant,
    frames: &mut FrameTable,
) -> Names {
    let mut names = Names::default();
    let kernel = symbolizer.kernel(&addresses.kernel, frames);
    names
        .kernel
        .extend(addresses.kernel.into_iter().zip(kernel));
    // Once more: a process that still lives may have mapped libraries and compiled code since. Most of the time is for
    // their files.
    symbolizer.drop_waiting();
    let now = Instant::now();
    let for_looks = deadline.saturating_duration_since(now) / 3;
    symbolizer.look_again(addresses.user.keys().copied(), now + for_looks);
    symbolizer.read_ahead(&addresses.user, Some(deadline));
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
        .filter(|(_, path)| !watch.is_recorded(path))
        .filter_map(|(slot, path)| {
            let owner = names.owner(path)?;
            Some((slot, names.identify(&owner).name.clone()))
        })
        .collect()
}

/// Folds slots into containers: rows of the profile, and which slot belongs to which.
#[must_use]
pub fn owners(
    watch: &WatchList,
    roots: Option<&[String]>,
    names: &mut Containers,
) -> (Owners, Vec<Container>) {
    let mut owners = Owners::default();
    let mut rows: Vec<Container> = Vec::new();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    if roots.is_none() {
        for (slot, name) in [(SLOT_HOST, "host"), (SLOT_KERNEL, "kernel")] {
            owners.0.insert(slot, rows.len());
            rows.push(row(ContainerIdentity {
                name: name.to_owned(),
                runtime: name.to_owned(),
                ..ContainerIdentity::default()
            }));
        }
    }
    for (slot, path) in watch.recorded() {
        let Some(owner) = owner(path, roots, names) else {
            // A folder of the host, such as `/`: who runs there is in no container.
            owners.0.insert(slot, SLOT_HOST as usize);
            continue;
        };
        let index = *known.entry(owner).or_insert_with_key(|owner| {
            rows.push(row(names.identify(owner)));
            rows.len() - 1
        });
        owners.0.insert(slot, index);
    }
    (owners, rows)
}

fn row(identity: ContainerIdentity) -> Container {
    Container {
        identity,
        ..Container::default()
    }
}

/// The cgroup whose row `path` belongs to; `None` for the host's.
///
/// A chosen cgroup is one row with all below it, but containers and services below it keep rows of their own.
#[must_use]
pub fn owner(path: &str, roots: Option<&[String]>, names: &mut Containers) -> Option<String> {
    let owner = names.owner(path);
    let Some(roots) = roots else {
        return owner;
    };
    let root = roots
        .iter()
        .filter(|root| is_at_or_below(path, root))
        .max_by_key(|root| root.len())?;
    match owner {
        Some(owner)
            if is_at_or_below(&owner, root) && names.identify(&owner).runtime != "cgroup" =>
        {
            Some(owner)
        }
        _ => Some(root.clone()),
    }
}
