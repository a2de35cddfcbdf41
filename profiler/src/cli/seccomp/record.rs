//! `ctprof seccomp record`: a profile of what a container called.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use syscalls::Sysno;

use super::watch::{Wanted, Watched, WatchedContainer, watch};
use crate::cli::record::say;
use crate::cli::{duration, output_error};
use crate::collect::Recorded;
use crate::host::syscalls::error_name;
use crate::model::Loss;
use crate::model::units::{count, counted};
use crate::seccomp::{DefaultAction, Profile, to_json};
use crate::target::TargetArgs;
use crate::views::syscalls::lost;
use crate::{Error, Result};

/// Write a seccomp profile that allows what a container calls, and nothing else.
///
/// The profile is of the OCI runtime specification, as `docker run --security-opt seccomp=profile.json`, podman and
/// Kubernetes (a Localhost profile) take it. It allows every system call that the chosen containers made while this
/// ran, with any arguments, and the few that a runtime makes between the filter and the program (docs/seccomp.md lists
/// them). Calls that the container's present filter refused get the same error as before.
///
/// Let the container do all that it will have to do, its start and its end included: what it does not call now, it may
/// not call later. A container that starts while this runs (--new) is complete from its first instruction; of one that
/// runs already, the calls of its start are missing, and it is said so. Leave the container under its runtime's default
/// filter: calls that set it up are told from its own by that.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  ctprof seccomp record --new web -o web.json     (then docker run --name web …; Ctrl-C ends it)
  ctprof seccomp record -o true.json -- /bin/true")]
pub(super) struct RecordArgs {
    #[command(flatten)]
    target: TargetArgs,

    /// A container that is yet to start, by its name or the first characters of its id. Ends with that container.
    /// While this runs, calls of the whole host are counted
    #[arg(long, value_name = "NAME", conflicts_with_all = ["cgroup", "container", "pod", "pid"])]
    new: Option<String>,

    /// The file to write; - for standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// Replace the file if there is one
    #[arg(short, long)]
    force: bool,

    /// How long to record, such as 10s or 2m. Default: until Ctrl-C, or until what is recorded ends
    #[arg(short, long, value_name = "TIME", value_parser = duration::parse)]
    duration: Option<Duration>,

    /// What the profile has done with calls that it does not name
    #[arg(long, value_enum, default_value_t)]
    default_action: Action,

    /// Allow these calls as well, such as clock_gettime,getcpu
    #[arg(long, value_name = "CALL", value_delimiter = ',', value_parser = call_name)]
    allow: Vec<String>,

    /// The kernel's type information, for kernels that do not publish it at /sys/kernel/btf/vmlinux
    #[arg(long, value_name = "PATH")]
    btf: Option<PathBuf>,

    /// A command to run and record in a cgroup of its own; its exit code becomes ctprof's
    #[arg(last = true, value_name = "COMMAND", conflicts_with_all = ["cgroup", "container", "pod", "pid", "new"])]
    command: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Action {
    /// They fail with EPERM
    #[default]
    Errno,
    /// They are carried out, and the kernel's log names them: to try a profile out
    Log,
}

fn call_name(text: &str) -> Result<String, String> {
    let is_known = Sysno::from_str(text).is_ok() || syscalls::x86::Sysno::from_str(text).is_ok();
    if is_known {
        Ok(text.to_owned())
    } else {
        Err("not the name of a system call".to_owned())
    }
}

/// Records, and writes the profile. Returns the command's exit code where there is a command.
///
/// # Errors
/// As [`watch`]; nothing was called; the file cannot be written.
pub(super) fn run(args: &RecordArgs, log: bool) -> Result<ExitCode> {
    let file = Output::of(&args.output, args.force)?;
    let watched = watch(&Wanted {
        to: "record a seccomp profile",
        target: &args.target,
        new: args.new.as_deref(),
        command: &args.command,
        duration: args.duration,
        btf: args.btf.as_deref(),
        log,
        filter: None,
    })?;
    if watched.containers.is_empty() {
        return Err(Error::Failed(format!(
            "no system call was seen, so {} is not written; {}",
            args.output.display(),
            match &args.new {
                Some(name) => format!("no container called {name} started meanwhile"),
                None => "is the container at work? Try a longer --duration".to_owned(),
            }
        )));
    }
    let called = watched.containers.iter().map(|it| &it.called);
    let profile = Profile::of(called, &args.allow);
    let default = match args.default_action {
        Action::Errno => DefaultAction::Errno,
        Action::Log => DefaultAction::Log,
    };
    let text = to_json(&profile.to_oci(default))
        .map_err(|error| Error::Failed(format!("cannot make the profile: {error}")))?;
    file.write(&text)?;
    tell(&watched, &profile, &args.output);
    Ok(watched.code)
}

/// Says what the profile is made of, and what it may lack.
fn tell(watched: &Watched, profile: &Profile, path: &Path) {
    for container in &watched.containers {
        tell_container(container);
    }
    say(&format!(
        "{}: allows {}: {} seen, {} for the runtime, {} by --allow",
        path.display(),
        counted(profile.allowed() as u64, "system call"),
        profile.called.len(),
        profile.needed.len(),
        profile.also.len()
    ));
    for (error, names) in &profile.refused {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        say(&format!(
            "refused with {} as before: {}",
            error_name(*error),
            names.join(", ")
        ));
    }
    if !profile.refused_by_arguments.is_empty() {
        let names: Vec<&str> = profile
            .refused_by_arguments
            .iter()
            .map(String::as_str)
            .collect();
        say(&format!(
            "allowed with any arguments, and refused with some by the present filter: {}",
            names.join(", ")
        ));
    }
    for (name, times) in &profile.unknown {
        say(&format!(
            "left out: {name}, called {}: a number without a name",
            self::times(*times)
        ));
    }
    tell_losses(&watched.recorded);
}

fn tell_container(container: &WatchedContainer) {
    let label = container.label();
    let called = &container.called;
    let since = if container.is_complete {
        "from its first instruction"
    } else {
        "since it was watched"
    };
    let under = if called.is_confined {
        ", under its filter"
    } else {
        ""
    };
    say(&format!(
        "{label}: {} called {} {since}{under}",
        counted(called.kinds() as u64, "system call"),
        self::times(called.times()),
    ));
    if !container.is_complete {
        say(&format!(
            "{label} ran before: calls of its start are not in the profile; to have them, start it again under --new"
        ));
    }
    if container.has_setup() {
        say(&format!(
            "{label} has no seccomp filter: what its runtime called to set it up is in the profile, too; record it under its runtime's default filter"
        ));
    }
}

/// Causes for which calls may be missing.
const LOSSES: [(Loss, &str); 4] = [
    (lost::MAP_FULL, "the table of calls is full"),
    (Loss::ScopeFull, "more cgroups than slots"),
    (
        Loss::SubtreeFull,
        "more cgroups in a container than slots for it",
    ),
    (
        Loss::EventDropped,
        "births of cgroups that were not told of",
    ),
];

fn tell_losses(recorded: &Recorded) {
    for (loss, meaning) in LOSSES {
        let found = recorded.lost.get(&loss).copied().unwrap_or(0);
        if found > 0 {
            say(&format!(
                "the profile may lack calls: {meaning} ({}: {})",
                loss.name(),
                count(found)
            ));
        }
    }
}

fn times(times: u64) -> String {
    counted(times, "time")
}

/// Where the profile goes: there whole, or not at all.
enum Output {
    Stdout,
    File { path: PathBuf, beside: PathBuf },
}

impl Output {
    /// What can be wrong with the file is found before anything is recorded.
    fn of(path: &Path, force: bool) -> Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::Stdout);
        }
        let Some(name) = path.file_name() else {
            return Err(Error::Usage(format!(
                "-o takes a file; {} is a folder",
                path.display()
            )));
        };
        match fs::metadata(path) {
            Ok(found) if !found.is_file() => {
                return Err(Error::Usage(format!(
                    "-o takes a file; {} is something else",
                    path.display()
                )));
            }
            Ok(_) if !force => {
                return Err(Error::Usage(format!(
                    "{} exists; use --force to replace it",
                    path.display()
                )));
            }
            _ => {}
        }
        let mut beside = OsString::from(".");
        beside.push(name);
        beside.push(format!(".{}", std::process::id()));
        let beside = path.with_file_name(beside);
        fs::File::create_new(&beside).map_err(|error| Error::io("write", path, &error))?;
        let _ = fs::remove_file(&beside);
        Ok(Self::File {
            path: path.to_owned(),
            beside,
        })
    }

    fn write(&self, text: &str) -> Result<()> {
        match self {
            Self::Stdout => {
                let mut out = std::io::stdout().lock();
                out.write_all(text.as_bytes())
                    .and_then(|()| out.flush())
                    .map_err(|error| output_error(&error))
            }
            Self::File { path, beside } => fs::write(beside, text)
                .and_then(|()| fs::rename(beside, path))
                .map_err(|error| {
                    let _ = fs::remove_file(beside);
                    Error::io("write", path, &error)
                }),
        }
    }
}
