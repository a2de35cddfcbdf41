//! The report on the terminal: a table of containers, the functions that use the CPU, what to know before
//! trusting it, and where the files are.
//!
//! The text depends on the recording alone, not on the terminal's width or the hour, so that it is the same
//! whenever it is printed.

mod table;

use std::io::Write;
use std::path::Path;

use super::functions::{self, Functions};
use super::summary::{ContainerSummary, Summary};
use super::{View, directory, notes, units};
use crate::model::StateGroup;
use crate::model::text::printable;
use table::{Align, Table};

/// Containers whose functions are listed, unless some are asked for by name.
const DETAILED_CONTAINERS: usize = 10;

/// A container's name ends here, in columns.
const MAX_LABEL: usize = 48;

/// A function's name ends here: C++ templates fill screens.
const MAX_FUNCTION: usize = 100;

/// Functions listed for each container, if not told otherwise.
pub const DEFAULT_TOP: usize = 10;

/// What to print.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    /// Positions of the containers to show; `None` for all.
    pub only: Option<&'a [usize]>,
    /// Functions for each container, 0 for all.
    pub top: usize,
    /// Whether to use escape codes for bold and faint text.
    pub colour: bool,
    /// The recording's folder, to say what is in it.
    pub dir: Option<&'a Path>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            only: None,
            top: DEFAULT_TOP,
            colour: false,
            dir: None,
        }
    }
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
pub fn print(view: &View, options: &Options<'_>, out: &mut impl Write) -> std::io::Result<()> {
    let paint = Paint(options.colour);
    let summary = &view.summary;
    let positions = selected(summary, options.only);
    writeln!(out, "{}", paint.bold(&heading(summary)))?;
    writeln!(out)?;

    let (busy, idle): (Vec<usize>, Vec<usize>) = positions
        .iter()
        .partition(|position| summary.containers[**position].on_cpu_ns() > 0);
    if busy.is_empty() {
        writeln!(out, "No samples.")?;
        for line in notes::why_empty(summary, &positions) {
            writeln!(out, "  {line}")?;
        }
    } else {
        container_table(summary, &busy).write(&paint, out)?;
        print_idle(summary, &idle, out)?;
        if view.stacks.is_empty() {
            writeln!(out)?;
            writeln!(
                out,
                "The recording has no stacks: its functions are not known."
            )?;
        } else {
            print_all_functions(view, &busy, options, &paint, out)?;
        }
        print_notes(summary, &busy, &paint, out)?;
    }
    if let Some(dir) = options.dir {
        print_files(dir, out)?;
    }
    Ok(())
}

/// Prints the selected containers as one JSON object, with the keys of `summary.json` and each container's
/// functions.
pub fn print_json(view: &View, options: &Options<'_>, out: &mut impl Write) -> std::io::Result<()> {
    let functions = functions::top(
        &view.stacks,
        view.summary.containers.len(),
        StateGroup::OnCpu,
        options.top,
    );
    let mut summary = view.summary.clone();
    for (container, functions) in summary.containers.iter_mut().zip(functions) {
        container.functions = Some(functions.top);
    }
    if let Some(only) = options.only {
        let mut position = 0;
        summary.containers.retain(|_| {
            position += 1;
            only.contains(&(position - 1))
        });
    }
    summary.write(out)
}

fn selected(summary: &Summary, only: Option<&[usize]>) -> Vec<usize> {
    match only {
        Some(only) => only.to_vec(),
        None => (0..summary.containers.len()).collect(),
    }
}

fn heading(summary: &Summary) -> String {
    let sampling = &summary.sampling;
    printable(
        &format!(
            "ctprof {} · on-CPU profile of {} · {} at {} Hz on {} · Linux {}",
            summary.ctprof_version,
            units::seconds(summary.window_ns),
            sampling.event,
            sampling.frequency_hz,
            units::counted(sampling.cpus, "CPU"),
            summary.kernel,
        ),
        1000,
    )
}

fn container_table(summary: &Summary, positions: &[usize]) -> Table {
    let rows = || {
        positions
            .iter()
            .map(|position| &summary.containers[*position])
    };
    let all_ns = summary.on_cpu_ns();
    let mut table = Table::new();
    table.column("CONTAINER", Align::Left, rows(), |c| {
        table::cut(&c.label, MAX_LABEL)
    });
    table.column("CPU TIME", Align::Right, rows(), |c| {
        units::seconds(c.on_cpu_ns())
    });
    table.column("CORES", Align::Right, rows(), |c| {
        if summary.window_ns == 0 {
            return "-".to_owned();
        }
        format!("{:.2}", c.on_cpu_ns() as f64 / summary.window_ns as f64)
    });
    table.column("SHARE", Align::Right, rows(), |c| {
        units::percent(c.on_cpu_ns(), all_ns)
    });
    table.column("KERNEL", Align::Right, rows(), |c| {
        units::percent(c.kernel_ns(), c.on_cpu_ns())
    });
    table.column("SAMPLES", Align::Right, rows(), |c| units::count(c.samples));
    if rows().any(|c| c.cpu_quota_cores.is_some()) {
        table.column("QUOTA", Align::Right, rows(), |c| {
            c.cpu_quota_cores
                .map_or_else(|| "-".to_owned(), |cores| format!("{cores:.2}"))
        });
    }
    if rows().any(|c| c.cfs.is_some_and(|cfs| cfs.throttled_periods > 0)) {
        table.column("THROTTLED PERIODS", Align::Right, rows(), |c| match c.cfs {
            Some(cfs) if cfs.periods > 0 => format!("{} of {}", cfs.throttled_periods, cfs.periods),
            _ => "-".to_owned(),
        });
    }
    if rows().any(|c| c.incomplete_stacks() > 0) {
        table.column("STACKS CUT", Align::Right, rows(), |c| {
            units::percent(c.incomplete_stacks(), c.stack_samples())
        });
    }
    table
}

fn print_idle(summary: &Summary, idle: &[usize], out: &mut impl Write) -> std::io::Result<()> {
    const MAX_NAMED: usize = 8;
    if idle.is_empty() {
        return Ok(());
    }
    let mut names: Vec<String> = idle
        .iter()
        .take(MAX_NAMED)
        .map(|position| table::cut(&summary.containers[*position].label, MAX_LABEL))
        .collect();
    if idle.len() > MAX_NAMED {
        names.push(format!("{} more", idle.len() - MAX_NAMED));
    }
    writeln!(out, "no samples: {}", names.join(", "))
}

fn print_all_functions(
    view: &View,
    busy: &[usize],
    options: &Options<'_>,
    paint: &Paint,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let containers = &view.summary.containers;
    let functions = functions::top(
        &view.stacks,
        containers.len(),
        StateGroup::OnCpu,
        options.top,
    );
    let detailed = match options.only {
        Some(_) => busy.len(),
        None => busy.len().min(DETAILED_CONTAINERS),
    };
    for position in &busy[..detailed] {
        print_functions(&containers[*position], &functions[*position], paint, out)?;
    }
    if detailed < busy.len() {
        let more = units::counted((busy.len() - detailed) as u64, "more container");
        writeln!(out)?;
        writeln!(
            out,
            "{more} with less CPU time: ctprof report DIR --container NAME shows their functions"
        )?;
    }
    Ok(())
}

fn print_functions(
    container: &ContainerSummary,
    functions: &Functions,
    paint: &Paint,
    out: &mut impl Write,
) -> std::io::Result<()> {
    writeln!(out)?;
    writeln!(
        out,
        "{}",
        paint.bold(&table::cut(&container.label, MAX_LABEL))
    )?;
    let mut table = Table::new();
    table.column("SELF", Align::Right, functions.top.iter(), |f| {
        units::percent(f.self_ns, functions.total_ns)
    });
    table.column("TOTAL", Align::Right, functions.top.iter(), |f| {
        units::percent(f.total_ns, functions.total_ns)
    });
    table.column("FUNCTION", Align::Left, functions.top.iter(), |f| {
        let mut name = table::cut(&f.name, MAX_FUNCTION);
        if f.kernel {
            name.push_str(" [k]");
        }
        name
    });
    table.write(paint, out)?;
    let more = functions.distinct - functions.top.len();
    if more > 0 {
        let more = units::counted(more as u64, "more function");
        writeln!(out, "{}", paint.faint(&more))?;
    }
    Ok(())
}

fn print_notes(
    summary: &Summary,
    positions: &[usize],
    paint: &Paint,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let mut lines = notes::losses(summary);
    lines.extend(notes::containers_with_incomplete_stacks(
        positions
            .iter()
            .map(|position| &summary.containers[*position]),
    ));
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
