//! What the target options mean on this host: which cgroups, or why there are none.
//!
//! - `args`: the options, as they were typed
//! - `inventory`: what there is on this host to choose from
//! - `rule`: what a target also means: what appears later
//! - `process`: processes that are meant by themselves
//! - `nearest`: names like one that does not exist

mod args;
mod cgroups;
mod containers;
pub mod inventory;
pub mod nearest;
mod process;
mod rule;
mod words;

use crate::host::Host;
use crate::host::cgroup::{Cgroup, Hierarchy};
use crate::host::containers::Containers;
use crate::model::Pod;
use crate::model::text::printable;
use crate::{Error, Result};
pub use args::TargetArgs;
use cgroups::find_cgroup;
use containers::{find_container, find_pod};
use inventory::Inventory;
pub use process::TargetProcess;
pub use rule::Rule;
use words::full_name;

/// A cgroup that is meant, with all below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetRoot {
    /// Path from the root of the watched hierarchy, `/` first. Not safe to print.
    pub cgroup: String,
    /// Its kernfs id.
    pub id: u64,
    /// What to call it towards the user. Free of control characters.
    pub label: String,
}

/// What was chosen. Without any root or process, everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// Cgroups, in the order in which they were chosen, each once; one may be below another.
    pub roots: Vec<TargetRoot>,
    /// What is meant as well if it appears later.
    pub rules: Vec<Rule>,
    /// Processes, each once.
    pub processes: Vec<TargetProcess>,
    /// What a user may not expect, one line each, for standard error.
    pub notes: Vec<String>,
}

/// Finds out what was meant.
///
/// # Errors
/// [`Error::Usage`] for an option in a form that cannot mean anything, [`Error::NotFound`] when nothing or
/// too much on this host has that name.
pub fn resolve(
    args: &TargetArgs,
    host: &Host,
    hierarchy: &Hierarchy,
    containers: &mut Containers,
) -> Result<Resolved> {
    let mut resolved = Resolved::default();
    if args.is_everything() {
        return Ok(resolved);
    }
    let mut pods = args
        .pod
        .iter()
        .map(|pod| parse_pod(pod))
        .collect::<Result<Vec<_>>>()?;
    let mut names = Vec::new();
    for wanted in &args.container {
        names.push(match wanted.split('/').collect::<Vec<_>>().as_slice() {
            [namespace, pod, name] => (Some(of_pod(namespace, pod)), *name),
            _ => (None, wanted.as_str()),
        });
    }
    // Containers of pods: those of this name in each of them.
    if !pods.is_empty() && !names.is_empty() {
        let in_pods = |name| pods.iter().map(move |pod| (Some(pod.clone()), name));
        names = names
            .iter()
            .flat_map(|(pod, name)| match pod {
                Some(pod) => vec![(Some(pod.clone()), *name)],
                None => in_pods(*name).collect(),
            })
            .collect();
        pods.clear();
    }
    let inventory = Inventory::read(hierarchy, containers)?;
    let denied = containers.is_denied();
    for wanted in &args.cgroup {
        let (found, rule) = find_cgroup(wanted, host, hierarchy, &inventory)?;
        resolved.rules.extend(rule);
        for cgroup in found {
            let container = inventory
                .rows
                .iter()
                .find(|row| row.is_container() && row.cgroup.id == cgroup.id);
            let label = match container {
                Some(row) => row.identity.name.clone(),
                None => printable(&cgroup.path, 200),
            };
            resolved.add(cgroup, label);
        }
    }
    for (pod, wanted) in names {
        let (row, rule) = find_container(wanted, pod.as_ref(), &inventory, denied)?;
        resolved.rules.push(rule);
        let label = match &pod {
            Some(_) => full_name(row),
            None => row.identity.name.clone(),
        };
        resolved.add(&row.cgroup, label);
    }
    for pod in pods {
        for row in find_pod(&pod, &inventory, denied)? {
            resolved.add(&row.cgroup, full_name(row));
        }
        resolved.rules.push(Rule::Pod(pod));
    }
    for pid in &args.pid {
        let (process, notes) = process::find(*pid, host, hierarchy, containers)?;
        resolved.notes.extend(notes);
        if !resolved.processes.contains(&process) {
            resolved.processes.push(process);
        }
    }
    Ok(resolved)
}

impl Resolved {
    /// One cgroup with all below it, and nothing else.
    #[must_use]
    pub fn of_cgroup(path: &str, label: &str) -> Self {
        Self {
            roots: vec![TargetRoot {
                cgroup: path.to_owned(),
                id: 0,
                label: label.to_owned(),
            }],
            ..Self::default()
        }
    }

    /// Nothing was chosen.
    #[must_use]
    pub const fn is_everything(&self) -> bool {
        self.roots.is_empty() && self.processes.is_empty()
    }

    /// What it is, towards the user.
    #[must_use]
    pub fn describe(&self) -> String {
        if self.is_everything() {
            return "everything".to_owned();
        }
        let roots = self.roots.iter().map(|root| root.label.as_str());
        let processes = self.processes.iter().map(|it| it.identity.name.as_str());
        roots.chain(processes).collect::<Vec<_>>().join(", ")
    }

    fn add(&mut self, cgroup: &Cgroup, label: String) {
        if self.roots.iter().all(|root| root.id != cgroup.id) {
            self.roots.push(TargetRoot {
                cgroup: cgroup.path.clone(),
                id: cgroup.id,
                label,
            });
        }
    }
}

fn of_pod(namespace: &str, name: &str) -> Pod {
    Pod {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

/// Namespace and name.
fn parse_pod(text: &str) -> Result<Pod> {
    match text.split_once('/') {
        Some((namespace, name))
            if !namespace.is_empty() && !name.is_empty() && !name.contains('/') =>
        {
            Ok(of_pod(namespace, name))
        }
        _ => Err(Error::Usage(format!(
            "--pod takes NAMESPACE/NAME, as in --pod default/{}; got '{}'",
            printable(
                text.trim_matches('/').rsplit('/').next().unwrap_or("web"),
                80
            ),
            printable(text, 80)
        ))),
    }
}

#[cfg(test)]
mod tests;
