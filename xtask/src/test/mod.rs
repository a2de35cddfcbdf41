//! `cargo xtask test`: every test there is. Sets up what is missing, runs unit and integration tests, then as
//! root the kernel and Docker tests, then the kernel matrix, and ends with one line that counts them all.

mod runners;

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::ValueEnum;

use crate::summary::Summary;
use crate::vm::{self, kernels::Series};
use crate::{image, setup, static_build};

/// Longest time that one boot of a kernel of the matrix may take.
const VM_LIMIT: Duration = Duration::from_secs(300);

/// Run every test, as root and on other kernels too.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these groups (repeatable); default: all.
    #[arg(long, value_name = "GROUP")]
    only: Vec<Group>,
    /// Install nothing.
    #[arg(long)]
    no_setup: bool,
}

/// Tests that need the same things.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Group {
    /// Unit, integration and documentation tests, which need nothing.
    Plain,
    /// Tests that read mutated input, for a minute.
    Fuzz,
    /// Tests on the running kernel, which need root.
    Kernel,
    /// Tests with real containers, which need root and Docker.
    Docker,
    /// The kernel tests on other kernels, which need QEMU.
    Vm,
}

impl Group {
    /// Whether its tests compare times: nothing else may run beside them.
    const fn needs_quiet(self) -> bool {
        matches!(self, Self::Kernel | Self::Docker | Self::Vm)
    }

    const fn needs_static_programs(self) -> bool {
        matches!(self, Self::Docker | Self::Vm)
    }
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let groups = match args.only.as_slice() {
        [] => Group::value_variants(),
        only => only,
    };
    if !args.no_setup {
        // What is still missing then shows as skipped tests.
        setup::ensure(setup::Part::value_variants());
    }
    let mut summary = Summary::default();
    let mut times = Vec::new();
    // One CPU is idle for much of the time that the first groups take: what later ones need is built meanwhile.
    let mut ahead = groups
        .iter()
        .any(|group| group.needs_static_programs())
        .then(|| thread::spawn(static_build::tests));
    for group in groups {
        if group.needs_quiet()
            && let Some(ahead) = ahead.take()
        {
            // Whoever needs the programs says what was wrong.
            let _ = ahead.join();
        }
        let begin = Instant::now();
        let result = match group {
            Group::Plain => runners::plain(),
            Group::Fuzz => runners::fuzz(),
            Group::Kernel => runners::privileged("kernel"),
            Group::Docker => {
                // Without it the trials of the image say so, and are skipped.
                let image = static_build::tests().and_then(|built| image::prepare(&built.ctprof));
                if let Err(error) = image {
                    eprintln!("docker: no image: {error:#}");
                }
                runners::privileged("docker")
            }
            Group::Vm => vm::matrix(
                &Series::ALL,
                &vm::Options {
                    limit: VM_LIMIT,
                    kvm: false,
                    selected: true,
                    test_args: Vec::new(),
                },
            ),
        };
        let name = group.to_possible_value();
        let name = name.as_ref().map_or("tests", |value| value.get_name());
        times.push(format!("{name} {} s", begin.elapsed().as_secs()));
        match result {
            Ok(result) => summary.add(result),
            Err(error) => {
                eprintln!("{name}: {error:#}");
                summary.failed.push(format!("{name}: could not be run"));
            }
        }
    }
    println!("\nbuilding and running took: {}", times.join(", "));
    summary.print();
    Ok(if summary.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
