//! `ctprof seccomp`: profiles from what containers call, and containers against profiles.
//!
//! - `record`: writes the profile of what a container called
//! - `check`: what a profile would deny, has denied, and allows in vain

mod check;
mod record;

use std::process::ExitCode;

use clap::Subcommand;

use crate::Result;

/// Write a seccomp profile of what a container really calls, or check a profile against a container.
#[derive(Debug, clap::Args)]
pub struct SeccompArgs {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    Record(record::RecordArgs),
    Check(check::CheckArgs),
}

/// Runs the task. The exit code of a check is 1 if the profile would deny a call, or a call was denied.
///
/// # Errors
/// A target that does not exist, a missing privilege or kernel feature, a file that cannot be read or written.
pub fn run(args: &SeccompArgs, log: bool) -> Result<ExitCode> {
    match &args.task {
        Task::Record(args) => record::run(args, log),
        Task::Check(args) => check::run(args, log),
    }
}
