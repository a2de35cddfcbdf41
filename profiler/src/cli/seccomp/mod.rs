//! `ctprof seccomp`: seccomp profiles from what containers call, and against it.
//!
//! - `watch`: counts the calls of the chosen containers
//! - `record`: writes a profile
//! - `check`: holds a profile against what is called
//! - `callers`: who made the calls that it denies
//! - `report`: what a check has found

mod callers;
mod check;
mod record;
mod report;
mod watch;

use std::process::ExitCode;

use crate::Result;

/// Make a seccomp profile of what a container calls, or check one against it.
#[derive(Debug, clap::Args)]
pub struct SeccompArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Record(record::RecordArgs),
    Check(check::CheckArgs),
}

/// Runs the subcommand.
///
/// # Errors
/// A target that does not exist, a missing privilege or kernel feature, a profile that cannot be read or written.
pub fn run(args: &SeccompArgs, log: bool) -> Result<ExitCode> {
    match &args.command {
        Command::Record(args) => record::run(args, log),
        Command::Check(args) => check::run(args, log),
    }
}
