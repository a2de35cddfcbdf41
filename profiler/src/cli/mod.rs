//! Command line: what was typed, what it means, one file per subcommand.

pub mod agent;
pub mod check;
pub mod compare;
pub mod doctor;
pub mod duration;
pub mod ps;
pub mod record;
pub mod report;
mod rows;
pub mod seccomp;
pub mod switches;
pub mod syscalls;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use serde::Serialize;

use crate::agent::settings::LogFormat;
use crate::{Error, Result};

/// Why is my container slow? Profiles containers and cgroups with eBPF, without touching them.
#[derive(Debug, Parser)]
#[command(
    name = "ctprof",
    version,
    max_term_width = 100,
    arg_required_else_help = true
)]
struct Args {
    /// Log what ctprof does, to stderr; twice for more. CTPROF_LOG sets a filter instead
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Record(record::RecordArgs),
    Syscalls(syscalls::SyscallsArgs),
    Seccomp(seccomp::SeccompArgs),
    Report(report::ReportArgs),
    Compare(compare::CompareArgs),
    Doctor(doctor::DoctorArgs),
    Ps(ps::PsArgs),
    Check(check::CheckArgs),
    Agent(agent::AgentArgs),
}

/// How a command prints its result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// One JSON object, for machines
    Json,
}

/// Parses the command line, runs the command and turns its outcome into an exit code.
#[must_use]
pub fn run() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return refuse(&error),
    };
    if !matches!(args.command, Command::Agent(_)) {
        log_to_stderr(args.verbose, "warn", LogFormat::Text);
    }
    let result = match &args.command {
        Command::Record(record) => record::run(record, args.verbose > 0),
        Command::Syscalls(syscalls) => syscalls::run(syscalls, args.verbose > 0),
        Command::Seccomp(seccomp) => seccomp::run(seccomp, args.verbose > 0),
        Command::Report(args) => report::run(args).map(|()| ExitCode::SUCCESS),
        Command::Compare(compare) => compare::run(compare, args.verbose > 0),
        Command::Doctor(doctor) => doctor::run(doctor, args.verbose > 0),
        Command::Ps(args) => ps::run(args).map(|()| ExitCode::SUCCESS),
        Command::Check(args) => check::run(args).map(|()| ExitCode::SUCCESS),
        Command::Agent(agent) => agent::run(agent, args.verbose),
    };
    result.unwrap_or_else(|error| {
        if !matches!(error, Error::OutputClosed) {
            // Nothing is left to tell if stderr is closed, too.
            let _ = writeln!(std::io::stderr(), "ctprof: {error}");
        }
        error.exit_code()
    })
}

/// Help and version as clap prints them; a wrong command line in one line.
fn refuse(error: &clap::Error) -> ExitCode {
    if !error.use_stderr()
        || error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    {
        // Help that cannot be written is help that nobody reads.
        let _ = error.print();
        return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
    }
    let text = error.to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let what = lines
        .next()
        .unwrap_or_default()
        .trim_start_matches("error: ");
    let rest: Vec<&str> = lines
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
        .collect();
    let separator = if what.ends_with(':') || rest.is_empty() {
        " "
    } else {
        "; "
    };
    let line = format!("{what}{separator}{}", rest.join(", "));
    let _ = writeln!(
        std::io::stderr(),
        "ctprof: {}; see ctprof --help",
        line.trim_end()
    );
    ExitCode::from(2)
}

/// `quiet` is what is logged without `-v`.
fn log_to_stderr(verbose: u8, quiet: &str, format: LogFormat) {
    let level = match verbose {
        0 => quiet,
        1 => "ctprof=debug,ctprof_bpf=debug,info",
        _ => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("CTPROF_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => log.without_time().init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}

/// Prints one JSON object to stdout.
///
/// # Errors
/// Stdout cannot be written.
fn print_json(value: &impl Serialize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)
        .map_err(std::io::Error::from)
        .and_then(|()| writeln!(out))
        .map_err(|error| output_error(&error))
}

/// What a failure to write to stdout means.
fn output_error(error: &std::io::Error) -> Error {
    Error::io("write to", std::path::Path::new("standard output"), error)
}
