//! `--cgroup`: a path, a unit or a pattern.

use std::path::Path;

use super::inventory::Inventory;
use super::nearest::hint;
use super::rule::{self, Rule};
use super::words::list;
use crate::host::Host;
use crate::host::cgroup::{Cgroup, Hierarchy};
use crate::model::text::printable;
use crate::{Error, Result};

pub(super) fn find_cgroup<'a>(
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
