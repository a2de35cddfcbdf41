//! What the target options mean on this host: which cgroups, or why there are none.
//!
//! - `args`: the options, as they were typed
//! - `inventory`: what there is on this host to choose from
//! - `rule`: what a target also means: what appears later
//! - `process`: processes that are meant by themselves
//! - `nearest`: names like one that does not exist

mod args;
pub mod inventory;
pub mod nearest;
mod process;
mod rule;

use std::path::Path;

use crate::host::Host;
use crate::host::cgroup::{Cgroup, Hierarchy};
use crate::host::containers::Containers;
use crate::model::Pod;
use crate::model::text::printable;
use crate::{Error, Result};
pub use args::TargetArgs;
use inventory::{Inventory, Row};
use nearest::hint;
pub use process::TargetProcess;
pub use rule::Rule;

/// Candidates that a message about an ambiguous name lists, at most.
const LISTED: usize = 8;

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

fn find_cgroup<'a>(
    wanted: &str,
    host: &Host,
    hierarchy: &Hierarchy,
    inventory: &'a Inventory,
) -> Result<(Vec<&'a Cgroup>, Option<Rule>)> {
    let shown = printable(wanted, 200);
    if wanted.is_empty() {
        return Err(Error::Usage(
            "--cgroup takes a path, a unit or a pattern; got ''".to_owned(),
        ));
    }
    let folder = path_of_folder(wanted, host, hierarchy);
    let path = match &folder {
        Some(path) => path.clone(),
        None => format!("/{}", wanted.trim_matches('/')),
    };
    if let Some(found) = inventory.cgroups.iter().find(|cgroup| cgroup.path == path) {
        return Ok((vec![found], None));
    }
    if wanted.contains(['*', '?', '[']) {
        return find_pattern(&path, &shown, inventory);
    }
    if !wanted.contains('/') {
        let units: Vec<&Cgroup> = inventory
            .cgroups
            .iter()
            .filter(|cgroup| cgroup.path.rsplit('/').next() == Some(wanted))
            .collect();
        match units.as_slice() {
            [] => {}
            [unit] => return Ok((vec![unit], None)),
            several => {
                let paths = several.iter().map(|cgroup| cgroup.path.as_str());
                return Err(Error::NotFound(format!(
                    "several cgroups are named {shown}: {}; use one of these paths, or the pattern \
                     '**/{shown}' for all",
                    list(paths)
                )));
            }
        }
    }
    if folder.is_some() && host.at(wanted).is_dir() {
        return Err(Error::NotFound(format!(
            "cgroup {shown} has no counterpart in the hierarchy of the cpu controller ({}), which is \
             the one that ctprof watches",
            hierarchy.mount_point().display()
        )));
    }
    // Offer the last part of a path for the last part that was typed, else whole paths.
    let names = inventory.cgroups.iter().map(|cgroup| cgroup.path.as_str());
    let otherwise = "; see: ctprof ps --all";
    let mut offered = hint(&path, names.clone(), otherwise);
    if offered == otherwise && !wanted.contains('/') {
        let units = names.map(|path| path.rsplit('/').next().unwrap_or(path));
        offered = hint(wanted, units, otherwise);
    }
    Err(Error::NotFound(format!(
        "no cgroup {shown}{}",
        printable(&offered, 1000)
    )))
}

/// The path in the hierarchy, for what is (or would be) a folder of a cgroup file system.
fn path_of_folder(wanted: &str, host: &Host, hierarchy: &Hierarchy) -> Option<String> {
    if !wanted.starts_with('/') {
        return None;
    }
    if let Some(path) = hierarchy.path_of_folder(Path::new(wanted)) {
        return Some(path);
    }
    // `/sys/fs/cgroup/cpu` is a symbolic link to `cpu,cpuacct` where the two are mounted together.
    let root = host.at("/");
    let real = std::fs::canonicalize(host.at(wanted)).ok()?;
    let real = Path::new("/").join(real.strip_prefix(std::fs::canonicalize(root).ok()?).ok()?);
    hierarchy.path_of_folder(&real)
}

fn find_pattern<'a>(
    path: &str,
    shown: &str,
    inventory: &'a Inventory,
) -> Result<(Vec<&'a Cgroup>, Option<Rule>)> {
    let pattern = glob::Pattern::new(path).map_err(|error| {
        Error::Usage(format!(
            "--cgroup '{shown}' is not a pattern: {}",
            error.msg
        ))
    })?;
    let found: Vec<&Cgroup> = inventory
        .cgroups
        .iter()
        .filter(|cgroup| pattern.matches_with(&cgroup.path, rule::PATTERN))
        .collect();
    if found.is_empty() {
        return Err(Error::NotFound(format!(
            "no cgroup matches '{shown}'; '*' stays within one name, '**' crosses them; see: ctprof ps \
             --all"
        )));
    }
    Ok((found, Some(Rule::Pattern(pattern))))
}

/// The container, of this pod if there is one, and what else is meant if it comes.
fn find_container<'a>(
    wanted: &str,
    pod: Option<&Pod>,
    inventory: &'a Inventory,
    denied: bool,
) -> Result<(&'a Row, Rule)> {
    let shown = match pod {
        Some(pod) => printable(&format!("{}/{}/{wanted}", pod.namespace, pod.name), 400),
        None => printable(wanted, 200),
    };
    if wanted.is_empty() {
        return Err(Error::Usage(
            "--container takes a name or an id; got ''".to_owned(),
        ));
    }
    let rows: Vec<&Row> = inventory
        .rows
        .iter()
        .filter(|row| row.is_container() && (pod.is_none() || row.identity.pod.as_ref() == pod))
        .collect();
    let find = |matches: &dyn Fn(&Row) -> bool| -> Vec<&'a Row> {
        rows.iter().copied().filter(|row| matches(row)).collect()
    };
    let mut found = find(&|row| row.identity.id == wanted);
    let mut by_name = false;
    if found.is_empty() {
        found = find(&|row| row.identity.name == wanted);
        by_name = !found.is_empty();
    }
    if found.is_empty() {
        found = find(&|row| row.identity.id.starts_with(wanted));
    }
    match found.as_slice() {
        [row] if by_name => {
            let rule = Rule::Name {
                name: wanted.to_owned(),
                pod: pod.cloned(),
            };
            Ok((row, rule))
        }
        [row] => Ok((row, Rule::Id(row.identity.id.clone()))),
        [] => {
            let names = rows.iter().map(|row| row.identity.name.as_str());
            let unit = inventory
                .rows
                .iter()
                .find(|row| !row.is_container() && is_named(row, wanted));
            Err(Error::NotFound(format!(
                "no running container {shown}{}{}",
                match unit {
                    Some(unit) => format!("; it is a cgroup: --cgroup {}", unit.identity.cgroup),
                    None => hint(wanted, names, "; see: ctprof ps"),
                },
                denied_note(denied)
            )))
        }
        several => Err(Error::NotFound(format!(
            "several containers match {shown}: {}; use more of the id{}",
            list(several.iter().map(|row| describe(row))),
            if several.iter().any(|row| row.identity.pod.is_some()) {
                ", or NAMESPACE/POD/NAME"
            } else {
                ""
            }
        ))),
    }
}

fn is_named(row: &Row, wanted: &str) -> bool {
    let name = row.identity.name.as_str();
    name == wanted
        || name.strip_suffix(".service") == Some(wanted)
        || name.strip_prefix('/') == Some(wanted)
}

fn find_pod<'a>(wanted: &Pod, inventory: &'a Inventory, denied: bool) -> Result<Vec<&'a Row>> {
    let pods = || {
        inventory
            .rows
            .iter()
            .filter_map(|row| Some((row, row.identity.pod.as_ref()?)))
    };
    let found: Vec<&Row> = pods()
        .filter(|(_, pod)| *pod == wanted)
        .map(|(row, _)| row)
        .collect();
    if found.is_empty() {
        let wanted = format!("{}/{}", wanted.namespace, wanted.name);
        let names: Vec<String> = pods()
            .map(|(_, pod)| format!("{}/{}", pod.namespace, pod.name))
            .collect();
        return Err(Error::NotFound(format!(
            "no pod {} on this host{}{}",
            printable(&wanted, 200),
            hint(
                &wanted,
                names.iter().map(String::as_str),
                "; see: ctprof ps"
            ),
            denied_note(denied)
        )));
    }
    Ok(found)
}

/// A container of a pod, as it can be typed.
fn full_name(row: &Row) -> String {
    match &row.identity.pod {
        Some(pod) => printable(
            &format!("{}/{}/{}", pod.namespace, pod.name, row.identity.name),
            600,
        ),
        None => row.identity.name.clone(),
    }
}

fn denied_note(denied: bool) -> &'static str {
    if denied {
        " (some containers have no name here: their runtime's files may only be read by root)"
    } else {
        ""
    }
}

fn describe(row: &Row) -> String {
    let id = row.identity.id.get(..12).unwrap_or(&row.identity.id);
    match &row.identity.pod {
        Some(_) => format!("{id} ({})", full_name(row)),
        None => format!("{id} ({})", row.identity.name),
    }
}

fn list<T: AsRef<str>>(items: impl ExactSizeIterator<Item = T>) -> String {
    let more = items.len().saturating_sub(LISTED);
    let mut shown: Vec<String> = items
        .take(LISTED)
        .map(|item| printable(item.as_ref(), 200))
        .collect();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests;
