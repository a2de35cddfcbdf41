//! `ctprof doctor`: what is wrong with a container, and what to change.

use std::collections::BTreeSet;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::signal::unix::SignalKind;

use super::record::progress::Progress;
use super::record::{SLICE, check_frequency, listen, say};
use super::{duration, output_error};
use crate::analysis::View;
use crate::analysis::doctor::Severity;
use crate::bpf::SamplingEvent;
use crate::collect::{Ended, Environment, Hooks, SessionPlan, Unwind, block_on};
use crate::host::cgroup::is_at_or_below;
use crate::model::{ContainerIdentity, Grouping, StateGroup, Window};
use crate::output::doctor::{self as shown, Examined};
use crate::output::report::colour_wanted;
use crate::recording::{Recording, raise_file_limit};
use crate::target::{Resolved, TargetArgs};
use crate::views;
use crate::{Error, Result, store};

/// How long what runs is recorded.
const DURATION: Duration = Duration::from_secs(30);

/// How long finding the names of functions may take.
const NAMES: Duration = Duration::from_secs(10);

/// Exit code where something is as bad as `--fail-on` says.
const FAILED: u8 = 5;

/// Say what is wrong with containers: findings with evidence, what to change, and what that brings.
///
/// Records everything on the host for a while, since the cause may be a neighbour, and tells of the chosen containers; or reads a
/// recording.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// A folder that `ctprof record` wrote, in place of what runs now; recorded with --syscalls it says most
    pub recording: Option<PathBuf>,

    #[command(flatten)]
    target: TargetArgs,

    /// How long to record what runs. Default: 30s
    #[arg(short, long, value_name = "TIME", value_parser = duration::parse, conflicts_with = "recording")]
    duration: Option<Duration>,

    /// Samples per second on each CPU
    #[arg(short = 'F', long, value_name = "HZ", default_value_t = 199, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    frequency: u64,

    /// Exit with 5 if a finding is this bad, or worse
    #[arg(long, value_enum, value_name = "SEVERITY")]
    fail_on: Option<FailOn>,

    /// Form of the findings
    #[arg(long, value_enum, default_value_t)]
    format: DoctorFormat,
}

/// From what on a finding fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// A warning, or worse
    Warning,
    /// Critical only
    Critical,
}

impl FailOn {
    const fn severity(self) -> Severity {
        match self {
            Self::Warning => Severity::Warning,
            Self::Critical => Severity::Critical,
        }
    }
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DoctorFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object, for machines
    Json,
    /// For pull requests and tickets
    Markdown,
}

/// Examines and prints.
///
/// # Errors
/// A recording that cannot be read, a target that is not there, a missing privilege or kernel feature.
pub fn run(args: &DoctorArgs, log: bool) -> Result<ExitCode> {
    let (window, chosen) = match &args.recording {
        Some(dir) => (store::read(dir)?, None),
        None => {
            let (window, chosen) = block_on(record(args, log))?;
            (window, Some(chosen))
        }
    };
    let (view, order) = View::of(&window);
    let is_meant = |row: &ContainerIdentity| match &chosen {
        _ if args.target.is_everything() => !row.is_kernel(),
        Some(chosen) => is_of(chosen, row),
        None => names(&args.target, row),
    };
    let examined: Vec<Examined<'_>> = view
        .summary
        .containers
        .iter()
        .zip(&order)
        .zip(&view.findings)
        .filter(|((_, index), _)| is_meant(&window.rows[**index].identity))
        .map(|((container, _), findings)| Examined {
            container,
            findings,
        })
        .collect();
    if examined.is_empty() && !args.target.is_everything() {
        return Err(Error::NotFound(
            "nothing of what was chosen is in the recording; ctprof report lists what is"
                .to_owned(),
        ));
    }
    print(args, &examined, window.duration_ns)?;
    let worst = examined.iter().filter_map(Examined::worst).max();
    let fails = |limit: FailOn| worst.is_some_and(|worst| worst >= limit.severity());
    Ok(match args.fail_on.is_some_and(fails) {
        true => ExitCode::from(FAILED),
        false => ExitCode::SUCCESS,
    })
}

fn print(args: &DoctorArgs, examined: &[Examined<'_>], window_ns: u64) -> Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    match args.format {
        DoctorFormat::Text => shown::text(examined, window_ns, colour_wanted(), &mut out),
        DoctorFormat::Json => shown::json(examined, window_ns, &mut out),
        DoctorFormat::Markdown => shown::markdown(examined, window_ns, &mut out),
    }
    .and_then(|()| out.flush())
    .map_err(|error| output_error(&error))
}

/// Whether a row is a part of what was chosen.
fn is_of(chosen: &Resolved, row: &ContainerIdentity) -> bool {
    if row.is_process() {
        return chosen
            .processes
            .iter()
            .any(|it| it.identity.name == row.name);
    }
    let path = row.cgroup.as_str();
    !path.is_empty()
        && (chosen
            .roots
            .iter()
            .any(|root| is_at_or_below(path, &root.cgroup))
            || chosen
                .rules
                .iter()
                .any(|rule| rule.root(path, row).is_some()))
}

/// Whether a row of a recording is meant by what was typed.
fn names(args: &TargetArgs, row: &ContainerIdentity) -> bool {
    let is_id = |wanted: &str| wanted.len() >= 4 && row.id.starts_with(wanted);
    let of_container = args.container.iter().any(|it| *it == row.name || is_id(it));
    let of_pod = row.pod.as_ref().is_some_and(|pod| {
        let name = format!("{}/{}", pod.namespace, pod.name);
        args.pod.contains(&name)
    });
    let of_cgroup = args.cgroup.iter().any(|it| is_at_or_below(&row.cgroup, it));
    of_container || of_pod || of_cgroup
}

async fn record(args: &DoctorArgs, log: bool) -> Result<(Window, Resolved)> {
    let env = Environment::detect("doctor", None)?;
    check_frequency(&env.host, args.frequency)?;
    let (chosen, containers) = env.resolve(&args.target)?;
    for note in &chosen.notes {
        say(note);
    }
    // A process by itself is a row only where it is recorded as one. Of all else, neighbours are a part of the answer.
    let (targets, containers) = if chosen.processes.is_empty() {
        env.resolve(&TargetArgs::default())?
    } else {
        (chosen.clone(), containers)
    };
    // From here on Ctrl-C ends the recording, not the process.
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let asked: BTreeSet<_> = views::switches().map(|(view, _)| view).collect();
    let views = views::asked(&env, &asked)?;
    let views: Vec<&dyn Hooks> = views.iter().map(|view| &**view).collect();
    let plan = SessionPlan {
        event: SamplingEvent::best(),
        frequency_hz: args.frequency,
        stacks: &StateGroup::ALL,
        unwind: Unwind::Auto,
        views: &views,
        slices: Some(SLICE),
        log,
        ..SessionPlan::new(&env, &targets)
    };
    let recording = Recording::begin(plan, Grouping::Container, containers)?;
    // Without names there is no answer, and nobody who asks a doctor counts seconds.
    let recording = recording.names_within(Some(NAMES));
    raise_file_limit();
    let limit = args.duration.unwrap_or(DURATION);
    let progress = Progress::begin(&chosen.describe(), Some(limit));
    let stop = async {
        tokio::select! {
            _ = interrupt.recv() => Ended::Interrupted,
            _ = terminate.recv() => Ended::Terminated,
        }
    };
    let finished = recording
        .run(Some(limit), stop, |elapsed, samples| {
            progress.show(elapsed, samples);
        })
        .await?;
    progress.end(finished.ended);
    Ok((finished.profile(), chosen))
}
