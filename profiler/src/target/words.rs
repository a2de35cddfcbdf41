//! How errors and labels call what was chosen, or could have been.

use super::inventory::Row;
use crate::model::text::printable;

/// A container of a pod, as it can be typed.
pub(super) fn full_name(row: &Row) -> String {
    match &row.identity.pod {
        Some(pod) => printable(
            &format!("{}/{}/{}", pod.namespace, pod.name, row.identity.name),
            600,
        ),
        None => row.identity.name.clone(),
    }
}

pub(super) fn denied_note(denied: bool) -> &'static str {
    if denied {
        " (some containers have no name here: their runtime's files may only be read by root)"
    } else {
        ""
    }
}

pub(super) fn describe(row: &Row) -> String {
    let id = row.identity.id.get(..12).unwrap_or(&row.identity.id);
    match &row.identity.pod {
        Some(_) => format!("{id} ({})", full_name(row)),
        None => format!("{id} ({})", row.identity.name),
    }
}

/// Candidates that a message about an ambiguous name lists, at most.
const LISTED: usize = 8;

pub(super) fn list<T: AsRef<str>>(items: impl ExactSizeIterator<Item = T>) -> String {
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
