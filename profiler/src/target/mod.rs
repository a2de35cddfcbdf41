//! What the target options mean on this host: which cgroups, or why there are none.
//!
//! - `args`: the options, as they were typed
//! - `inventory`: what there is on this host to choose from
//! - `nearest`: names like one that does not exist

mod args;
pub mod inventory;
pub mod nearest;

use std::path::Path;

use crate::host::Host;
use crate::host::cgroup::{Cgroup, Hierarchy};
use crate::host::containers::Containers;
use crate::model::text::printable;
use crate::{Error, Result};
pub use args::TargetArgs;
use inventory::{Inventory, Row};
use nearest::hint;

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

/// The chosen cgroups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// In the order in which they were chosen, each cgroup once; one may be below another. Empty:
    /// everything is meant.
    pub roots: Vec<TargetRoot>,
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
    let pods = args
        .pod
        .iter()
        .map(|pod| parse_pod(pod))
        .collect::<Result<Vec<_>>>()?;
    let inventory = Inventory::read(hierarchy, containers)?;
    for wanted in &args.cgroup {
        for cgroup in find_cgroup(wanted, host, hierarchy, &inventory)? {
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
    for wanted in &args.container {
        let row = find_container(wanted, &inventory, containers.is_denied())?;
        resolved.add(&row.cgroup, row.identity.name.clone());
    }
    for (namespace, name) in pods {
        for row in find_pod(namespace, name, &inventory, containers.is_denied())? {
            let label = format!("{}/{name}/{}", printable(namespace, 200), row.identity.name);
            resolved.add(&row.cgroup, printable(&label, 400));
        }
    }
    for pid in &args.pid {
        let row = find_process(*pid, host, hierarchy, containers, &inventory)?;
        resolved.notes.push(format!(
            "process {pid} is in {} (cgroup {}): all of it is meant, not the process alone",
            row.identity.name, row.identity.cgroup
        ));
        resolved.add(&row.cgroup, row.identity.name.clone());
    }
    Ok(resolved)
}

impl Resolved {
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

/// Namespace and name.
fn parse_pod(text: &str) -> Result<(&str, &str)> {
    match text.split_once('/') {
        Some((namespace, name))
            if !namespace.is_empty() && !name.is_empty() && !name.contains('/') =>
        {
            Ok((namespace, name))
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
) -> Result<Vec<&'a Cgroup>> {
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
        return Ok(vec![found]);
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
            [unit] => return Ok(vec![unit]),
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

/// `*` and `?` stay within a name, `**` crosses names.
fn find_pattern<'a>(path: &str, shown: &str, inventory: &'a Inventory) -> Result<Vec<&'a Cgroup>> {
    let pattern = glob::Pattern::new(path).map_err(|error| {
        Error::Usage(format!(
            "--cgroup '{shown}' is not a pattern: {}",
            error.msg
        ))
    })?;
    let options = glob::MatchOptions {
        require_literal_separator: true,
        ..glob::MatchOptions::new()
    };
    let found: Vec<&Cgroup> = inventory
        .cgroups
        .iter()
        .filter(|cgroup| pattern.matches_with(&cgroup.path, options))
        .collect();
    if found.is_empty() {
        return Err(Error::NotFound(format!(
            "no cgroup matches '{shown}'; '*' stays within one name, '**' crosses them; see: ctprof ps \
             --all"
        )));
    }
    Ok(found)
}

fn find_container<'a>(wanted: &str, inventory: &'a Inventory, denied: bool) -> Result<&'a Row> {
    let shown = printable(wanted, 200);
    if wanted.is_empty() {
        return Err(Error::Usage(
            "--container takes a name or an id; got ''".to_owned(),
        ));
    }
    let rows: Vec<&Row> = inventory
        .rows
        .iter()
        .filter(|row| row.is_container())
        .collect();
    let find = |matches: &dyn Fn(&Row) -> bool| -> Vec<&'a Row> {
        rows.iter().copied().filter(|row| matches(row)).collect()
    };
    let mut found = find(&|row| row.identity.id == wanted);
    if found.is_empty() {
        found = find(&|row| row.identity.name == wanted);
    }
    if found.is_empty() {
        found = find(&|row| row.identity.id.starts_with(wanted));
    }
    match found.as_slice() {
        [row] => Ok(row),
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
            "several containers match {shown}: {}; use more of the id",
            list(several.iter().map(|row| describe(row)))
        ))),
    }
}

fn is_named(row: &Row, wanted: &str) -> bool {
    let name = row.identity.name.as_str();
    name == wanted
        || name.strip_suffix(".service") == Some(wanted)
        || name.strip_prefix('/') == Some(wanted)
}

fn find_pod<'a>(
    namespace: &str,
    name: &str,
    inventory: &'a Inventory,
    denied: bool,
) -> Result<Vec<&'a Row>> {
    let pods = || {
        inventory
            .rows
            .iter()
            .filter_map(|row| Some((row, row.identity.pod.as_ref()?)))
    };
    let found: Vec<&Row> = pods()
        .filter(|(_, pod)| pod.namespace == namespace && pod.name == name)
        .map(|(row, _)| row)
        .collect();
    if found.is_empty() {
        let wanted = format!("{namespace}/{name}");
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

fn find_process<'a>(
    pid: u32,
    host: &Host,
    hierarchy: &Hierarchy,
    containers: &mut Containers,
    inventory: &'a Inventory,
) -> Result<&'a Row> {
    let gone = || Error::NotFound(format!("no process {pid}; it may have ended"));
    let path = hierarchy.cgroup_of(pid)?.ok_or_else(gone)?;
    let Some(owner) = containers.owner(&path) else {
        return Err(Error::NotFound(format!(
            "process {pid} ({}) is in no container but in cgroup {}, with other processes of the host; \
             choose a cgroup with --cgroup, or leave out --pid to see the whole host",
            printable(&host.comm(pid).unwrap_or_default(), 15),
            printable(&path, 200)
        )));
    };
    inventory
        .rows
        .iter()
        .find(|row| row.cgroup.path == owner)
        // Its cgroup is younger or older than our look at the tree: the process moved or ended.
        .ok_or_else(gone)
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
        Some(pod) => format!(
            "{id} ({} in {}/{})",
            row.identity.name, pod.namespace, pod.name
        ),
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
