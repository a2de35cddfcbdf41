//! What a reader has to know of two recordings before comparing them.

use super::judge::FEWEST_WINDOWS;
use super::naming::Naming;
use super::series::Series;
use crate::model::{StateGroup, Window};

/// One line each.
pub(super) fn notes(a: &Window, b: &Window, naming: &Naming) -> Vec<String> {
    let mut notes = Vec::new();
    let mut differs = |what: &str, of_a: &str, of_b: &str, then: &str| {
        if of_a != of_b {
            notes.push(format!("{what} differs: {of_a} and {of_b}; {then}"));
        }
    };
    differs(
        "the kernel",
        &a.kernel,
        &b.kernel,
        "times in the kernel may differ for that alone",
    );
    differs(
        "the number of CPUs",
        &a.cpus.to_string(),
        &b.cpus.to_string(),
        "this may be another machine, and CPU time of one is not that of another",
    );
    differs(
        "the version of ctprof",
        &a.ctprof_version,
        &b.ctprof_version,
        "what they measure may differ",
    );
    differs(
        "what triggers samples",
        &a.event,
        &b.event,
        "functions that run with interrupts off are seen by one of them only",
    );
    for (window, name) in [(a, "A"), (b, "B")] {
        match Series::windows_of(window) {
            0 => notes.push(format!(
                "{name} has no windows: nothing can be told from noise; record again with this ctprof"
            )),
            windows if windows < FEWEST_WINDOWS => notes.push(format!(
                "{name} has {windows} windows, and with fewer than {FEWEST_WINDOWS} nothing can be told from noise; record for longer"
            )),
            _ => {}
        }
    }
    let has_stacks = |window: &Window| {
        let mut stacks = window.rows.iter().flat_map(|row| &row.stacks);
        stacks.any(|stack| stack.state.group() == StateGroup::OnCpu)
    };
    for (window, name) in [(a, "A"), (b, "B")] {
        if !has_stacks(window) {
            notes.push(format!(
                "{name} has no samples of what ran: no functions on the CPU are compared"
            ));
        }
    }
    for file in &naming.files {
        notes.push(format!(
            "names of functions of {file} were not ready in one of them, so none of its functions can be told from noise; record with a longer --names-within"
        ));
    }
    notes
}
