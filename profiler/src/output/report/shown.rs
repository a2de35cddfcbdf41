//! Which containers the report shows, and how.

use std::io::Write;

use super::{MAX_LABEL, Options};
use crate::analysis::summary::{ContainerSummary, Summary};
use crate::model::units;
use crate::table::cut;

/// Containers in the table, unless some are asked for by name.
const MAX_ROWS: usize = 40;

/// Containers that ran and were held up for less than the length of the recording divided by this are named in one line.
const IDLE_SHARE: u64 = 1000;

/// Which containers are shown, and how.
pub(super) struct Shown {
    /// In the table.
    pub(super) busy: Vec<usize>,
    /// Named in one line.
    idle: Vec<usize>,
    /// Left out of the table, because it is long enough.
    pub(super) more: usize,
    /// What the idle ones have in common.
    idle_is: String,
    /// Whether there is a ledger.
    pub(super) by_ledger: bool,
}

impl Shown {
    /// By time at work and stalled; all that are asked for by name.
    pub(super) fn by_ledger(summary: &Summary, positions: &[usize], options: &Options<'_>) -> Self {
        let floor = summary.window_ns / IDLE_SHARE;
        let is_busy = |container: &ContainerSummary| {
            container.on_cpu_ns().saturating_add(container.stalled_ns()) > floor
        };
        let (mut busy, mut idle): (Vec<usize>, Vec<usize>) = positions
            .iter()
            .partition(|it| options.only.is_some() || is_busy(&summary.containers[**it]));
        if busy.is_empty() {
            std::mem::swap(&mut busy, &mut idle);
        }
        let more = match options.only {
            Some(_) => 0,
            None => busy.len().saturating_sub(MAX_ROWS),
        };
        busy.truncate(busy.len() - more);
        Self {
            busy,
            idle,
            more,
            idle_is: format!(
                "idle (at work or held up for less than {})",
                units::duration(floor)
            ),
            by_ledger: true,
        }
    }

    /// By samples, where there is nothing else.
    pub(super) fn by_samples(summary: &Summary, positions: &[usize]) -> Self {
        let (busy, idle) = positions
            .iter()
            .partition(|position| summary.containers[**position].on_cpu_ns() > 0);
        Self {
            busy,
            idle,
            more: 0,
            idle_is: "no samples".to_owned(),
            by_ledger: false,
        }
    }

    /// The line that names the idle ones.
    pub(super) fn print_idle(
        &self,
        summary: &Summary,
        out: &mut impl Write,
    ) -> std::io::Result<()> {
        const MAX_NAMED: usize = 8;
        let idle = &self.idle;
        if idle.is_empty() {
            return Ok(());
        }
        let mut names: Vec<String> = idle
            .iter()
            .take(MAX_NAMED)
            .map(|position| cut(&summary.containers[*position].label, MAX_LABEL))
            .collect();
        if idle.len() > MAX_NAMED {
            names.push(format!("{} more", idle.len() - MAX_NAMED));
        }
        writeln!(out, "{}: {}", self.idle_is, names.join(", "))
    }
}
