//! `--container` and `--pod`: a name, or an id.

use super::inventory::{Inventory, Row};
use super::nearest::hint;
use super::rule::Rule;
use super::words::{denied_note, describe, list};
use crate::model::Pod;
use crate::model::text::printable;
use crate::{Error, Result};

/// The container, of this pod if there is one, and what else is meant if it comes.
pub(super) fn find_container<'a>(
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

pub(super) fn find_pod<'a>(
    wanted: &Pod,
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
