//! `cargo xtask setup`: installs what the tasks need, or names it and the command that installs it.
//!
//! Every part asks first and installs only what is not there, so a second run changes nothing and is quick.

mod apt;
mod bpf;
mod programs;
mod unpack;

use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;

pub(crate) use apt::{Apt, candidate, is_root};
pub(crate) use unpack::{download, find, root as unpacked};

/// Install or name what is missing. Without a BPF toolchain everything but `ebpf` works.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these parts (repeatable); default: all.
    #[arg(long, value_name = "PART")]
    only: Vec<Part>,
}

/// What can be set up on its own.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// A compiler and a linker for `cargo xtask ebpf`.
    Bpf,
    /// QEMU and the kernels for `cargo xtask vm`.
    Vm,
    /// The Docker daemon for the tests with real containers.
    Docker,
    /// Rust components and programs that the tests and checks call.
    Tests,
}

/// Runs the task. The exit code is 1 when something is still missing.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let parts = match args.only.as_slice() {
        [] => Part::value_variants(),
        only => only,
    };
    let missing = ensure(parts);
    if missing == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    println!("{missing} missing: what needs them will be skipped");
    Ok(ExitCode::FAILURE)
}

/// Sets up `parts` as far as possible and returns how many things are still missing.
pub(crate) fn ensure(parts: &[Part]) -> usize {
    let mut apt = Apt::new();
    let mut missing = 0;
    for part in parts {
        let results = match part {
            Part::Bpf => bpf::ensure(&mut apt),
            Part::Vm => programs::vm(&mut apt),
            Part::Docker => programs::docker(&mut apt),
            Part::Tests => programs::tests(&mut apt),
        };
        let part = part
            .to_possible_value()
            .map(|value| value.get_name().to_owned());
        let part = part.unwrap_or_default();
        for (what, result) in results {
            match result {
                Ok(detail) => println!("{part}: {what}: {detail}"),
                Err(error) => {
                    missing += 1;
                    println!("{part}: {what}: MISSING: {error:#}");
                }
            }
        }
    }
    missing
}

/// What was looked for, and what was found or why it is still missing.
type Found = (&'static str, Result<String>);
