//! `ctprof record`: samples containers for a while and writes what they did.
//!
//! - `command`: a program to run and record, in a cgroup of its own
//! - `progress`: how far it is

pub(super) mod command;
pub(super) mod progress;

use std::ffi::OsString;
use std::future::pending;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use tokio::signal::unix::{SignalKind, signal};

use super::{duration, output_error, rows};
use crate::bpf::SamplingEvent;
use crate::cli::switches::{Switches, ToRecord};
use crate::collect::{Ended, Environment, Hooks, SessionPlan, Unwind, block_on};
use crate::host::btf::Throttle;
use crate::host::{Host, kernel};
use crate::model::{Grouping, StateGroup};
use crate::output::{self, report};
use crate::recording::{Recording, raise_file_limit};
use crate::store::RecordingDir;
use crate::target::{Resolved, TargetArgs};
use crate::views;
use crate::{Error, Result, memory};
use command::RunningCommand;
use progress::Progress;

/// Length of a recording that names neither a duration nor a command.
const DEFAULT_DURATION: Duration = Duration::from_secs(10);

/// Record where the time of containers goes: a ledger of states, flame graphs, pprof, folded stacks.
///
/// Records the chosen containers, or with a COMMAND exactly that command's life in a cgroup of its own, or
/// everything on the host. Ctrl-C ends a recording early and still writes everything.
///
/// A COMMAND and its recording end together. When --duration is over first, everything in the command's cgroup gets
/// SIGTERM, and SIGKILL 3 s later; ctprof's exit code is then 0. Ctrl-C ends the recording and the command (SIGINT, 3 s
/// later SIGTERM, then SIGKILL); a second one kills it at once. When the command exits first, what it left running in
/// its cgroup is ended in the same way.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Environment:
  DEBUGINFOD_URLS         Servers (http, https, file URLs, separated by spaces) that are asked by build id for debug
                          information that this host has not. Unset, nobody is asked. sudo passes it on with
                          --preserve-env=DEBUGINFOD_URLS. What comes after the time for names is left out:
                          --names-within gives more
  DEBUGINFOD_CACHE_PATH   Where it is kept; default: debuginfod_client in XDG_CACHE_HOME or ~/.cache
  DEBUGINFOD_TIMEOUT      Seconds for an answer, and for each 100 kB of it; default: 90
  DEBUGINFOD_MAXTIME      Seconds for a file; default: 600
  DEBUGINFOD_MAXSIZE      Bytes of a file; default, and most: 2 GiB")]
pub struct RecordArgs {
    #[command(flatten)]
    target: TargetArgs,

    /// What a row is
    #[arg(long, value_name = "ROWS", default_value = "container", value_parser = rows::parser())]
    by: Grouping,

    /// How long to record, such as 10s or 2m; a COMMAND that still runs then is ended. Default: 10s, or the COMMAND's life
    #[arg(short, long, value_name = "TIME", value_parser = duration::parse)]
    duration: Option<Duration>,

    /// Samples per second on each CPU. The default avoids beating with timers that tick 100 times a second
    #[arg(short = 'F', long, value_name = "HZ", default_value_t = 99, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    frequency: u64,

    /// What triggers samples
    #[arg(long, value_enum, default_value_t)]
    event: EventChoice,

    /// Folder to write to; new, or an earlier recording with --force. Default: ./ctprof-DATE-TIME
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,

    /// Replace an earlier recording in the output folder
    #[arg(long, requires = "output")]
    force: bool,

    /// Only the time ledger, at its lowest cost: no samples, no flame graphs
    #[arg(long)]
    no_stacks: bool,

    /// Take stacks of these states only; times are measured for all of them
    #[arg(
        long = "state",
        value_enum,
        value_name = "STATE",
        value_delimiter = ',',
        conflicts_with = "no_stacks"
    )]
    states: Vec<StateChoice>,

    /// How user stacks are unwound
    #[arg(long, value_enum, default_value_t, conflicts_with = "no_stacks")]
    unwind: Unwind,

    #[command(flatten)]
    views: Switches<ToRecord>,

    /// Keep stacks of waits and sleeps that took at least this long; shorter ones are counted without
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration::parse_or_zero)]
    min_block: Duration,

    /// How long finding the names of functions may take after the recording; what is not named by then is counted and
    /// shown as its address. Default: what leaves time for the report within a second, 0.55 s to 0.85 s
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    names_within: Option<Duration>,

    /// The kernel's type information, for kernels that do not publish it at /sys/kernel/btf/vmlinux
    #[arg(long, value_name = "PATH")]
    btf: Option<PathBuf>,

    /// Entries of the maps of counts and stacks: makes full maps testable
    #[arg(long, hide = true)]
    map_entries: Option<u32>,

    /// How to tell throttled time: makes the ways that older kernels need testable
    #[arg(long, value_enum, hide = true)]
    throttle: Option<ThrottleChoice>,

    /// Functions that the report shows for each container, 0 for all. Default: as many as fit a screen
    #[arg(long, value_name = "N")]
    top: Option<usize>,

    /// A command to run and record in a cgroup of its own; its exit code becomes ctprof's, 128 and the number where a
    /// signal ended it, 127 where it does not exist, 126 where it cannot be executed
    #[arg(last = true, value_name = "COMMAND", conflicts_with_all = ["cgroup", "container", "pod", "pid"])]
    command: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum EventChoice {
    /// Hardware cycles where there are any, else cpu-clock
    #[default]
    Auto,
    /// Hardware cycles; also sees code that runs with interrupts off
    Cycles,
    /// The kernel's clock, at an exact rate
    CpuClock,
}

impl EventChoice {
    fn event(self) -> SamplingEvent {
        match self {
            Self::Auto => SamplingEvent::best(),
            Self::Cycles => SamplingEvent::Cycles,
            Self::CpuClock => SamplingEvent::CpuClock,
        }
    }
}

/// A way to tell throttled time that is not the best one, as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ThrottleChoice {
    Queue,
    Hook,
    Pelt,
    None,
}

impl ThrottleChoice {
    const fn way(self) -> Throttle {
        match self {
            Self::Queue => Throttle::ByQueue,
            Self::Hook => Throttle::ByHook,
            Self::Pelt => Throttle::ByPelt,
            Self::None => Throttle::Unknown,
        }
    }
}

/// A quarter of the ledger, as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StateChoice {
    /// What runs on the CPU (sampled)
    OnCpu,
    /// What waits for a CPU
    RunQueue,
    /// What a CPU quota stopped
    Throttled,
    /// What sleeps, and on what
    Blocked,
}

impl RecordArgs {
    /// The states whose stacks are wanted.
    fn stack_states(&self) -> Vec<StateGroup> {
        if self.no_stacks {
            return Vec::new();
        }
        if self.states.is_empty() {
            return StateGroup::ALL.to_vec();
        }
        self.states
            .iter()
            .map(|choice| match choice {
                StateChoice::OnCpu => StateGroup::OnCpu,
                StateChoice::RunQueue => StateGroup::RunQueue,
                StateChoice::Throttled => StateGroup::Throttled,
                StateChoice::Blocked => StateGroup::Blocked,
            })
            .collect()
    }
}

/// What a recording's figures are kept for one by one, so that a comparison knows how much they vary.
pub(super) const SLICE: Duration = Duration::from_secs(1);

/// Records, writes and reports. Returns the command's exit code where there is a command.
///
/// # Errors
/// A target that does not exist, a missing privilege or kernel feature, an output that cannot be written.
pub fn run(args: &RecordArgs, log: bool) -> Result<ExitCode> {
    block_on(record(args, log))
}

async fn record(args: &RecordArgs, log: bool) -> Result<ExitCode> {
    let env = Environment::detect("record", args.btf.as_deref())?;
    check_frequency(&env.host, args.frequency)?;
    let (mut targets, containers) = env.resolve(&args.target)?;
    for note in &targets.notes {
        say(note);
    }
    let start_unix = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let dir = match &args.output {
        Some(path) => RecordingDir::open(path, args.force)?,
        None => RecordingDir::create_default(&PathBuf::from("."), start_unix.as_secs())?,
    };

    let mut command = RunningCommand::prepare(&args.command, &env.hierarchy)?;
    if let Some(command) = &command {
        targets = Resolved::of_cgroup(command.cgroup(), command.name());
    }
    // From here on Ctrl-C ends the recording, not the process.
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;

    let stacks = args.stack_states();
    let views = views::asked(&env, &args.views.on)?;
    let views: Vec<&dyn Hooks> = views.iter().map(|view| &**view).collect();
    let plan = SessionPlan {
        event: args.event.event(),
        frequency_hz: args.frequency,
        map_entries: args.map_entries,
        throttle: args.throttle.map(ThrottleChoice::way),
        stacks: &stacks,
        unwind: args.unwind,
        min_block: args.min_block,
        slices: Some(SLICE),
        views: &views,
        log,
        ..SessionPlan::new(&env, &targets)
    };
    let recording = Recording::begin(plan, args.by, containers)?.names_within(args.names_within);
    if let Some(command) = &mut command {
        command.start()?;
    }
    // Not before: the command keeps the limit that it would have had without us.
    raise_file_limit();
    let limit = args
        .duration
        .or(command.is_none().then_some(DEFAULT_DURATION));
    let progress = Progress::begin(&targets.describe(), limit);
    let stop = async {
        tokio::select! {
            _ = interrupt.recv() => Ended::Interrupted,
            _ = terminate.recv() => Ended::Terminated,
            () = async {
                match &mut command {
                    Some(command) => command.exited().await,
                    None => pending().await,
                }
            } => Ended::CommandExited,
        }
    };
    let finished = recording
        .run(limit, stop, |elapsed, samples| {
            progress.show(elapsed, samples);
        })
        .await?;
    let ended = finished.ended;
    progress.end(ended);
    memory::keep_large_blocks();
    let profile = finished.profile();
    let code = match command {
        Some(command) => command.finish(ended).await,
        None => ExitCode::SUCCESS,
    };
    let written = output::write_all(&dir, &profile)?;
    let options = report::Options {
        top: args.top,
        colour: report::colour_wanted(),
        dir: Some(&written.dir),
        ..report::Options::default()
    };
    report::print(&written.view, &options, &mut std::io::stdout().lock())
        .map_err(|error| output_error(&error))?;
    // The process ends here: taking hundreds of thousands of stacks apart first would only keep the user waiting.
    std::mem::forget((profile, written));
    Ok(code)
}

/// perf lowers its own limit when interrupts take long; a frequency above it is refused without a word why.
pub(super) fn check_frequency(host: &Host, frequency: u64) -> Result<()> {
    match kernel::sysctl(host, "kernel/perf_event_max_sample_rate") {
        Some(limit) if limit >= 0 && frequency > limit.unsigned_abs() => {
            Err(Error::Usage(format!(
                "cannot sample at {frequency} Hz: this kernel allows {limit} Hz now; lower --frequency, or raise kernel.perf_event_max_sample_rate"
            )))
        }
        _ => Ok(()),
    }
}

pub(super) fn listen(kind: SignalKind) -> Result<tokio::signal::unix::Signal> {
    signal(kind).map_err(|error| Error::Failed(format!("cannot listen for signals: {error}")))
}

/// Talks to the user, on stderr. A closed stderr is no reason to stop.
pub(super) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "ctprof: {line}");
}
