//! Slots to the rows of a recording.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ctprof_ebpf::abi::scope::{SLOT_HOST, SLOT_KERNEL};

use super::naming::{Named, Naming, fixed_identity};
use crate::aggregate::Owners;
use crate::collect::WatchList;
use crate::host::cgroup::is_at_or_below;
use crate::host::containers::{Containers, ProcessPath};
use crate::model::text::printable;
use crate::model::{Container, ContainerIdentity, Fixed, GroupKey, Grouping, Runtime};

/// Slots that are no cgroup's.
const FIXED: [(u32, Fixed); 2] = [(SLOT_HOST, Fixed::Host), (SLOT_KERNEL, Fixed::Kernel)];
/// Names of containers that the row of a namespace has beside its number.
const MEMBERS: usize = 3;
/// Longest path in a name, in characters.
const PATH_CHARS: usize = 4096;

/// Folds slots into rows: the rows of the window, and which slot belongs to which.
#[must_use]
pub fn owners(watch: &WatchList, naming: &mut Naming) -> (Owners, Vec<Container>) {
    match naming.grouping() {
        Grouping::Container => by_container(watch, naming.containers()),
        _ => by_key(watch, naming),
    }
}

/// Containers and services, and chosen cgroups with all below that is in none.
fn by_container(watch: &WatchList, names: &mut Containers) -> (Owners, Vec<Container>) {
    let roots = watch.roots();
    let mut owners = Owners::default();
    let mut rows: Vec<Container> = Vec::new();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    if roots.is_none() {
        for (slot, fixed) in FIXED {
            owners.0.insert(slot, rows.len());
            rows.push(row(fixed_identity(fixed)));
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

/// Rows by what tells them apart, whatever was chosen.
fn by_key(watch: &WatchList, naming: &mut Naming) -> (Owners, Vec<Container>) {
    let mut owners = Owners::default();
    let mut rows: Vec<Container> = Vec::new();
    let mut known: HashMap<GroupKey, usize> = HashMap::new();
    let mut members: Vec<BTreeSet<String>> = Vec::new();
    let is_everything = watch.roots().is_none();
    let fixed = FIXED.into_iter().filter(|_| is_everything);
    let fixed = fixed.map(|(slot, fixed)| (slot, naming.fixed(fixed)));
    let mut all: Vec<(u32, Arc<Named>)> = fixed.collect();
    for (slot, path) in watch.recorded() {
        if ProcessPath::is(path) {
            owners.0.insert(slot, rows.len());
            rows.push(row(naming.containers().identify(path)));
            members.push(BTreeSet::new());
        } else {
            all.push((slot, naming.of(path)));
        }
    }
    for (slot, named) in all {
        let index = *known.entry(named.key.clone()).or_insert_with(|| {
            rows.push(row(identity(naming.grouping(), &named)));
            members.push(BTreeSet::new());
            rows.len() - 1
        });
        owners.0.insert(slot, index);
        members[index].insert(named.identity.name.clone());
    }
    for (row, members) in rows.iter_mut().zip(members) {
        if naming.grouping().namespace() == Some(row.identity.runtime) {
            let shown: Vec<&str> = members.iter().take(MEMBERS).map(String::as_str).collect();
            let more = if members.len() > MEMBERS { ", …" } else { "" };
            row.identity.name += &format!(" ({}{more})", shown.join(", "));
        }
    }
    (owners, rows)
}

/// Who a row is.
fn identity(grouping: Grouping, named: &Named) -> ContainerIdentity {
    let key = &named.key;
    match grouping {
        Grouping::Container | Grouping::Pod => named.identity.clone(),
        Grouping::Cgroup if key.cgroup.is_empty() => named.identity.clone(),
        Grouping::Cgroup => ContainerIdentity {
            name: printable(&key.cgroup, PATH_CHARS),
            runtime: Runtime::Cgroup,
            cgroup: key.cgroup.clone(),
            ..ContainerIdentity::default()
        },
        _ => ContainerIdentity {
            name: match key.kernel_namespace.as_str() {
                "" => format!("{} not known", grouping.name()),
                inode => format!("{} {inode}", grouping.name()),
            },
            runtime: grouping.namespace().unwrap_or_default(),
            ..ContainerIdentity::default()
        },
    }
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
    let Some(roots) = roots.filter(|_| !ProcessPath::is(path)) else {
        return owner;
    };
    let root = roots
        .iter()
        .filter(|root| is_at_or_below(path, root))
        .max_by_key(|root| root.len())?;
    match owner {
        Some(owner)
            if is_at_or_below(&owner, root)
                && names.identify(&owner).runtime != Runtime::Cgroup =>
        {
            Some(owner)
        }
        _ => Some(root.clone()),
    }
}
