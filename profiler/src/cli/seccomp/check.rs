//! `ctprof seccomp check`: what a profile does to the calls that are made now.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::report;
use super::watch::{Wanted, watch};
use crate::cli::{Format, duration};
use crate::seccomp::{Filter, read};
use crate::target::TargetArgs;
use crate::{Error, Result};

/// Length of a check that names neither a duration nor a command.
const DEFAULT_DURATION: Duration = Duration::from_secs(10);
/// Largest profile that is read, in bytes; the largest in use have some 30 KB.
const LARGEST: u64 = 1 << 20;

/// Say what a seccomp profile would do to the calls that containers make now.
///
/// Shows for each container the calls that the profile would deny, with the processes, threads and functions that make
/// them; those that it may deny because a rule looks at arguments (which are not looked at here); and those that the
/// container's present filter has denied meanwhile, which are told on stderr as they happen; and then the calls that
/// the profile allows and nobody made.
///
/// Exit code: 0 if nothing would be denied; 1 if something would be. A call that the present filter has denied, and
/// that the profile denies by a rule of its own with the same error, changes nothing, and is no reason for 1. Other
/// codes as everywhere: 2 for a profile that cannot be used, 3 for a target that does not exist, 4 for a missing
/// privilege.
#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// The profile, in the form of the OCI runtime specification
    #[arg(short, long, value_name = "FILE")]
    profile: PathBuf,

    #[command(flatten)]
    target: TargetArgs,

    /// A container that is yet to start, by its name or the first characters of its id. Ends with that container
    #[arg(long, value_name = "NAME", conflicts_with_all = ["cgroup", "container", "pod", "pid"])]
    new: Option<String>,

    /// How long to look, such as 10s or 2m. Default: 10s, or with --new or a COMMAND until it ends
    #[arg(short, long, value_name = "TIME", value_parser = duration::parse)]
    duration: Option<Duration>,

    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    /// The kernel's type information, for kernels that do not publish it at /sys/kernel/btf/vmlinux
    #[arg(long, value_name = "PATH")]
    btf: Option<PathBuf>,

    /// A command to run and check in a cgroup of its own; its exit code is not used
    #[arg(last = true, value_name = "COMMAND", conflicts_with_all = ["cgroup", "container", "pod", "pid", "new"])]
    command: Vec<OsString>,
}

/// Checks and prints.
///
/// # Errors
/// The profile cannot be used; as [`watch`]; the output cannot be written.
pub(super) fn run(args: &CheckArgs, log: bool) -> Result<ExitCode> {
    let filter = filter(&args.profile)?;
    let has_end = args.new.is_some() || !args.command.is_empty();
    let watched = watch(&Wanted {
        to: "check a seccomp profile",
        target: &args.target,
        new: args.new.as_deref(),
        command: &args.command,
        duration: args.duration.or((!has_end).then_some(DEFAULT_DURATION)),
        btf: args.btf.as_deref(),
        log,
        filter: Some(&filter),
    })?;
    let findings = report::Findings::of(&args.profile, &filter, &watched);
    findings.print(args.format)?;
    Ok(ExitCode::from(u8::from(findings.would_deny)))
}

fn filter(path: &Path) -> Result<Filter> {
    let cannot = |cause: &str| {
        Error::Usage(format!(
            "cannot use the profile {}: {cause}",
            path.display()
        ))
    };
    let file = File::options()
        .read(true)
        // A FIFO must not make us wait for its writer.
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(|error| cannot(&error.to_string()))?;
    if !file.metadata().is_ok_and(|meta| meta.is_file()) {
        return Err(cannot("not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| cannot(&error.to_string()))?;
    if bytes.len() as u64 > LARGEST {
        return Err(cannot("larger than 1 MiB"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        cannot(&format!("not UTF-8 from byte {at} on"))
    })?;
    let profile = read(&text).map_err(|error| cannot(&error.to_string()))?;
    Ok(Filter::of(&profile))
}
