//! The report on the terminal: where each container's time went, why, what to know before trusting it, and where the
//! files are.
//!
//! - `shown`: which containers are in the table, and which are idle
//! - `overview`: the table of containers
//! - `detail`: one container: findings, waits, functions
//! - `figures`: one container's figures, line by line
//! - `threads`: its threads by name
//! - `isolation`: those of what its isolation costs
//!
//! The text depends on the recording alone, not on the terminal's width or the hour, so that it is the same
//! whenever it is printed.

mod detail;
mod figures;
mod isolation;
mod overview;
mod shown;
mod threads;

use std::io::Write;
use std::path::Path;

use super::{notes, summary};
use crate::analysis::summary::Summary;
use crate::analysis::{View, functions};
use crate::model::text::printable;
use crate::model::{StateGroup, units};
use crate::store::directory;
use detail::Detail;
use shown::Shown;

/// Containers that are described one by one, unless some are asked for by name.
const DETAILED_CONTAINERS: usize = 5;

/// A container's name ends here, in columns.
const MAX_LABEL: usize = 48;

/// Functions listed of a container that is shown alone, if not told otherwise.
const DEFAULT_TOP: usize = 10;

/// Functions listed of each of several containers, if not told otherwise.
const DEFAULT_TOP_OF_MANY: usize = 3;

/// What to print.
#[derive(Clone, Debug, Default)]
pub struct Options<'a> {
    /// Positions of the containers to show; `None` for all.
    pub only: Option<&'a [usize]>,
    /// Functions for each container, 0 for all; `None` for as many as fit.
    pub top: Option<usize>,
    /// Whether to use escape codes for bold and faint text.
    pub colour: bool,
    /// The recording's folder, to say what is in it.
    pub dir: Option<&'a Path>,
}

/// Whether text on stdout may have colours: it is a terminal, and nobody asked for none
/// (<https://no-color.org>).
#[must_use]
pub fn colour_wanted() -> bool {
    use std::io::IsTerminal;
    std::io::stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|value| value != "dumb")
}

/// Prints the report as text.
///
/// # Errors
/// What the writer fails with.
pub fn print(view: &View, options: &Options<'_>, out: &mut impl Write) -> std::io::Result<()> {
    let paint = Paint(options.colour);
    let summary = &view.summary;
    let positions = selected(summary, options.only);
    writeln!(out, "{}", paint.bold(&heading(summary)))?;
    writeln!(out)?;
    let shown = if has_ledger(summary, &positions) {
        Shown::by_ledger(summary, &positions, options)
    } else {
        Shown::by_samples(summary, &positions)
    };
    if shown.busy.is_empty() {
        writeln!(out, "No samples.")?;
        for line in notes::why_empty(summary, &positions) {
            writeln!(out, "  {line}")?;
        }
    } else {
        print_tables(view, &shown, options, &paint, out)?;
        print_notes(summary, &shown, &paint, out)?;
    }
    if let Some(dir) = options.dir {
        print_files(dir, out)?;
    }
    Ok(())
}

/// Prints the selected containers as one JSON object, with the keys of `summary.json`, and each container's stalled
/// time, findings and functions.
///
/// # Errors
/// What the writer fails with.
pub fn print_json(view: &View, options: &Options<'_>, out: &mut impl Write) -> std::io::Result<()> {
    let functions = functions::top(
        &view.stacks,
        view.summary.containers.len(),
        StateGroup::OnCpu,
        options.top.unwrap_or(DEFAULT_TOP),
    );
    let mut summary = view.summary.clone();
    for (position, (container, functions)) in
        summary.containers.iter_mut().zip(functions).enumerate()
    {
        if container.thread_time_ns.is_some() {
            container.stalled_ns = Some(container.stalled_ns());
            container.findings = Some(view.findings[position].clone());
        }
        container.functions = Some(functions.top);
    }
    if let Some(only) = options.only {
        let mut position = 0;
        summary.containers.retain(|_| {
            position += 1;
            only.contains(&(position - 1))
        });
    }
    summary::write(&summary, out)
}

fn selected(summary: &Summary, only: Option<&[usize]>) -> Vec<usize> {
    match only {
        Some(only) => only.to_vec(),
        None => (0..summary.containers.len()).collect(),
    }
}

fn has_ledger(summary: &Summary, positions: &[usize]) -> bool {
    positions
        .iter()
        .any(|position| summary.containers[*position].thread_time_ns.is_some())
}

fn heading(summary: &Summary) -> String {
    let sampling = &summary.sampling;
    let all: Vec<usize> = (0..summary.containers.len()).collect();
    let what = if has_ledger(summary, &all) {
        "time ledger"
    } else {
        "on-CPU profile"
    };
    let how = match sampling.cpus {
        0 => "no stacks".to_owned(),
        cpus => format!(
            "{} at {} Hz on {}",
            sampling.event,
            sampling.frequency_hz,
            units::counted(cpus, "CPU")
        ),
    };
    printable(
        &format!(
            "ctprof {} · {what} of {} · {how} · Linux {}",
            summary.ctprof_version,
            units::duration(summary.window_ns),
            summary.kernel,
        ),
        1000,
    )
}

fn print_tables(
    view: &View,
    shown: &Shown,
    options: &Options<'_>,
    paint: &Paint,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let summary = &view.summary;
    let table = if shown.by_ledger {
        writeln!(out, "{}", overview::LEDGER_HEADING)?;
        writeln!(out)?;
        overview::ledger(summary, &shown.busy)
    } else {
        overview::samples(summary, &shown.busy)
    };
    table.write_with(out, None, |line| paint.faint(line))?;
    if shown.more > 0 {
        let more = units::counted(shown.more as u64, "more container");
        writeln!(out, "{more} with less stalled time: see --format json")?;
    }
    shown.print_idle(summary, out)?;
    if view.stacks.is_empty() {
        writeln!(out)?;
        writeln!(
            out,
            "The recording has no stacks: its functions are not known."
        )?;
        if !shown.by_ledger {
            return Ok(());
        }
    }
    let full = shown.busy.len() == 1;
    let top = options.top.unwrap_or(match full || !shown.by_ledger {
        true => DEFAULT_TOP,
        false => DEFAULT_TOP_OF_MANY,
    });
    let detail = Detail {
        view,
        functions: &functions::top(
            &view.stacks,
            summary.containers.len(),
            StateGroup::OnCpu,
            top,
        ),
        full,
    };
    let is_worth_it = |position: &&usize| {
        options.only.is_some() || full || !shown.by_ledger || detail.is_worth_it(**position)
    };
    let most = match options.only {
        Some(_) => usize::MAX,
        None => DETAILED_CONTAINERS,
    };
    let mut detailed = 0;
    for position in shown.busy.iter().filter(is_worth_it).take(most) {
        detail.print(*position, paint, out)?;
        detailed += 1;
    }
    let more = shown.busy.len() - detailed + shown.more;
    if more > 0 {
        let more = units::counted(more as u64, "more container");
        writeln!(out)?;
        writeln!(
            out,
            "{more}: ctprof report DIR --container NAME tells more of each"
        )?;
    }
    Ok(())
}

fn print_notes(
    summary: &Summary,
    shown: &Shown,
    paint: &Paint,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let containers = || {
        shown
            .busy
            .iter()
            .map(|position| &summary.containers[*position])
    };
    let mut lines = Vec::new();
    if containers().all(|container| container.samples == 0) {
        let why = notes::why_empty(summary, &shown.busy).into_iter().take(1);
        lines.extend(why.map(|why| format!("no samples: {why}")));
    }
    lines.extend(notes::stolen(summary));
    lines.extend(notes::losses(summary));
    lines.extend(notes::containers_with_incomplete_stacks(containers()));
    if shown.by_ledger {
        lines.extend(notes::containers_without_ledger(containers()));
    }
    lines.extend(notes::unavailable(summary));
    lines.extend(notes::unnamed(summary));
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    writeln!(out, "{}", paint.bold("Note"))?;
    for line in lines {
        writeln!(out, "  {line}")?;
    }
    Ok(())
}

fn print_files(dir: &Path, out: &mut impl Write) -> std::io::Result<()> {
    let there: Vec<&str> = directory::FILES
        .into_iter()
        .filter(|name| dir.join(name).symlink_metadata().is_ok())
        .collect();
    writeln!(out)?;
    writeln!(
        out,
        "{}: {}",
        printable(&dir.display().to_string(), 4096),
        there.join(", ")
    )
}

/// Bold and faint text, or neither.
struct Paint(bool);

impl Paint {
    fn bold(&self, text: &str) -> String {
        self.with("1", text)
    }

    fn faint(&self, text: &str) -> String {
        self.with("2", text)
    }

    fn with(&self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
