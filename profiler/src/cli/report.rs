//! `ctprof report`: prints a recording again, or draws its flame graph for some containers only.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use super::Format;
use crate::analysis::View;
use crate::analysis::isolation::{Calibrated, Layer};
use crate::analysis::summary::{ContainerSummary, Summary};
use crate::host::calibration;
use crate::model::Window;
use crate::model::text::printable;
use crate::output::flamegraph::{self, Graph};
use crate::output::report::{self, Options};
use crate::target::nearest;
use crate::views::syscalls::Syscalls;
use crate::{Error, Result, store};

/// Longest list of names in an error.
const MAX_HINT_CHARS: usize = 400;

/// How many names an error offers.
const MAX_OFFERED: usize = 5;

/// Print a recording again.
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// Folder that `ctprof record` wrote
    pub dir: PathBuf,
    /// Show only this container: its name, id or the start of its id (repeatable)
    #[arg(long, value_name = "NAME")]
    pub container: Vec<String>,
    /// Functions to list for each container, 0 for all. Default: as many as fit a screen
    #[arg(long, value_name = "N")]
    pub top: Option<usize>,
    /// Form of the report
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Measure on this host, in about a third of a second, what a seccomp filter adds to a system call, and say what that makes of
    /// the calls of containers under one; for recordings of this host, with --syscalls
    #[arg(long)]
    pub calibrate: bool,
    /// Also draw a flame graph of the shown containers into this file
    #[arg(long, value_name = "OUT.svg")]
    pub flamegraph: Option<PathBuf>,
    /// Which flame graph to draw
    #[arg(long, value_enum, default_value = Graph::WallClock.id(), requires = "flamegraph")]
    pub graph: Graph,
    /// Draw the waits of idle threads, too
    #[arg(long, requires = "flamegraph")]
    pub idle: bool,
}

impl ValueEnum for Graph {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.id()))
    }
}

/// Reads the recording and prints it to stdout.
pub fn run(args: &ReportArgs) -> Result<()> {
    let window = store::read(&args.dir)?;
    let (mut view, order) = View::of(&window);
    if args.calibrate {
        calibrate(&window, &order, &mut view.summary)?;
    }
    let only = if args.container.is_empty() {
        None
    } else {
        Some(select(&view.summary, &args.container)?)
    };
    if let Some(path) = &args.flamegraph {
        draw(args, &view, only.as_deref(), path)?;
    }
    let options = Options {
        only: only.as_deref(),
        top: args.top,
        colour: report::colour_wanted(),
        dir: Some(&args.dir),
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    match args.format {
        Format::Text => report::print(&view, &options, &mut out),
        Format::Json => report::print_json(&view, &options, &mut out),
    }
    .and_then(|()| out.flush())
    .map_err(|error| Error::io("write the report to", Path::new("stdout"), &error))
}

/// Says of containers under a seccomp filter what that costs their calls.
fn calibrate(window: &Window, order: &[usize], summary: &mut Summary) -> Result<()> {
    let kernel = rustix::system::uname();
    let kernel = kernel.release().to_string_lossy();
    if kernel != window.kernel.as_str() {
        return Err(Error::Usage(format!(
            "cannot calibrate a recording of Linux {}: this is Linux {kernel}; run it on the recorded host",
            printable(&window.kernel, MAX_HINT_CHARS)
        )));
    }
    let calls = |index: usize| window.rows[index].measured.get::<Syscalls>();
    if order.iter().all(|index| calls(*index).is_none()) {
        return Err(Error::Usage(
            "cannot calibrate a recording without system calls; record with --syscalls".to_owned(),
        ));
    }
    let cost = calibration::seccomp().map_err(|error| {
        Error::Failed(format!(
            "cannot measure what a seccomp filter costs: {error}"
        ))
    })?;
    for (container, index) in summary.containers.iter_mut().zip(order) {
        let (Some(isolation), Some(calls)) = (&mut container.isolation, calls(*index)) else {
            continue;
        };
        if isolation.layers.iter().any(|it| it.layer == Layer::Seccomp) {
            let calls = calls.0.iter().map(|call| call.count);
            let calls = calls.fold(0, u64::saturating_add);
            isolation.calibrated = Some(Calibrated {
                calls,
                least_ns: (calls as f64 * cost.answered) as u64,
                filtered_ns: (calls as f64 * cost.filtered) as u64,
            });
        }
    }
    Ok(())
}

/// Positions of the containers that the names mean, in the order of the summary.
fn select(summary: &Summary, wanted: &[String]) -> Result<Vec<usize>> {
    let mut positions = Vec::new();
    for name in wanted {
        positions.push(find(summary, name)?);
    }
    positions.sort_unstable();
    positions.dedup();
    Ok(positions)
}

fn find(summary: &Summary, wanted: &str) -> Result<usize> {
    // A label is one container's alone; a name or the start of an id may be several's.
    let tests: [fn(&ContainerSummary, &str) -> bool; 3] = [
        |c, wanted| c.label == wanted,
        |c, wanted| c.name == wanted || c.id == wanted,
        |c, wanted| wanted.len() >= 4 && c.id.starts_with(wanted),
    ];
    for test in tests {
        let mut found = (0..summary.containers.len())
            .filter(|position| test(&summary.containers[*position], wanted));
        match (found.next(), found.next()) {
            (Some(one), None) => return Ok(one),
            (Some(one), Some(two)) => {
                let labels = [one, two]
                    .into_iter()
                    .chain(found)
                    .map(|position| summary.containers[position].label.clone());
                return Err(Error::NotFound(format!(
                    "{wanted:?} is the name of several containers; say which: {}",
                    quoted(labels)
                )));
            }
            (None, _) => {}
        }
    }
    let labels = || summary.containers.iter().map(|c| c.label.as_str());
    let all = match summary.containers.len() {
        0 => "; it has none".to_owned(),
        _ => format!("; it has {}", quoted(labels())),
    };
    Err(Error::NotFound(format!(
        "no container {wanted:?} in this recording{}",
        // The recording is a file that anyone may have written.
        printable(&nearest::hint(wanted, labels(), &all), MAX_HINT_CHARS)
    )))
}

fn quoted(labels: impl Iterator<Item = impl AsRef<str>>) -> String {
    let labels: Vec<String> = labels
        .map(|label| format!("{:?}", label.as_ref()))
        .collect();
    match labels.len().checked_sub(MAX_OFFERED) {
        None | Some(0) => labels.join(", "),
        Some(more) => format!("{} and {more} more", labels[..MAX_OFFERED].join(", ")),
    }
}

/// Draws into a file beside `path` first: a graph that was there stays whole if this fails.
fn draw(args: &ReportArgs, view: &View, only: Option<&[usize]>, path: &Path) -> Result<()> {
    if view.stacks.is_empty() && view.summary.samples() > 0 {
        return Err(Error::Failed(format!(
            "cannot draw {}: the recording has no stacks",
            path.display()
        )));
    }
    let all: Vec<usize> = (0..view.summary.containers.len()).collect();
    let mut drawn = Vec::new();
    let options = flamegraph::Options {
        containers: only.unwrap_or(&all),
        with_idle: args.idle,
    };
    flamegraph::write(args.graph, view, options, &mut drawn)
        .map_err(|error| Error::io("draw", path, &error))?;
    // A device or a pipe cannot be replaced, and a link's target is what is meant.
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let replaceable = target.metadata().map_or(true, |meta| meta.is_file());
    if !replaceable {
        return std::fs::write(path, &drawn).map_err(|error| Error::io("write", path, &error));
    }
    let mut temporary = target.clone().into_os_string();
    temporary.push(format!(".{}.part", std::process::id()));
    std::fs::File::create_new(&temporary)
        .and_then(|mut file| file.write_all(&drawn))
        .and_then(|()| std::fs::rename(&temporary, &target))
        .map_err(|error| {
            let _ = std::fs::remove_file(&temporary);
            Error::io("write", path, &error)
        })
}
