//! `cargo xtask vm`: the kernel matrix. Boots Debian's cloud kernels in QEMU with the kernel tests as init.

pub(crate) mod initramfs;
pub(crate) mod kernels;
mod qemu;
mod subjects;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::summary::Summary;
use crate::{cmd, static_build};
use initramfs::Initramfs;
use kernels::Series;
pub(crate) use qemu::Options;

/// How often a trial, or a machine that ends before its trials, is tried: an emulated CPU stands still for as long as
/// the host has something else to do.
const TRIES: usize = 3;

/// Run the kernel tests on other kernels, in QEMU.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this kernel series (repeatable); default: all.
    #[arg(long, value_enum)]
    kernel: Vec<Series>,
    /// Use /dev/kvm instead of emulation.
    #[arg(long)]
    kvm: bool,
    /// Longest time that one boot may take, in seconds.
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    timeout: u64,
    /// Arguments for the test program, such as a part of a test's name.
    #[arg(last = true)]
    test_args: Vec<String>,
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let series = match args.kernel.as_slice() {
        [] => &Series::ALL[..],
        chosen => chosen,
    };
    let options = Options {
        limit: Duration::from_secs(args.timeout),
        kvm: args.kvm,
        selected: false,
        test_args: args.test_args.clone(),
    };
    let summary = matrix(series, &options)?;
    summary.print();
    // A kernel that cannot be had is no success when it was asked for.
    let good = summary.failed.is_empty() && summary.passed > 0;
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Boots every kernel in `series`, one after the other. What cannot be had is skipped, with the reason.
///
/// # Errors
/// When the test programs cannot be built.
pub(crate) fn matrix(series: &[Series], options: &Options) -> Result<Summary> {
    let mut summary = Summary::default();
    let mut initramfs = None;
    for series in series {
        let runner = format!("vm {}", series.name());
        let kernel = match qemu::available().and_then(|()| kernels::get(*series)) {
            Ok(kernel) => kernel,
            Err(error) => {
                summary.skip(&runner, &format!("{error:#}"));
                continue;
            }
        };
        let initramfs = match &initramfs {
            Some(built) => built,
            None => initramfs.insert(archive()?),
        };
        println!("{runner}: {}", kernel.name);
        let boot = |options: &Options| boot(&runner, &kernel.image, &initramfs.image, options);
        let mut result = Summary::default();
        if options.test_args.is_empty() {
            let wanted =
                |subject: &&String| !options.selected || subjects::is_tried(*series, subject);
            for subject in initramfs.subjects.iter().filter(wanted) {
                result.add(boot(&Options {
                    test_args: vec![format!("{subject}::")],
                    ..options.clone()
                })?);
            }
        } else {
            result.add(boot(options)?);
        }
        result.try_again(&runner, TRIES, |test| {
            boot(&Options {
                test_args: vec!["--exact".to_owned(), test.to_owned()],
                ..options.clone()
            })
        })?;
        summary.add(result);
    }
    Ok(summary)
}

/// Boots a machine and reads its results. A machine that does not get to its verdict is booted again, twice at most;
/// for the same reason every subject has a machine of its own.
///
/// QEMU's emulation of several CPUs in several threads now and then executes an instruction that the kernel is
/// just patching (a static key), and the guest dies of it ("Oops: int3"); with one thread for all CPUs, the guest's
/// clock is too far off to count anything.
fn boot(runner: &str, image: &Path, initramfs: &Path, options: &Options) -> Result<Summary> {
    let begin = Instant::now();
    let (mut ended, mut output) = qemu::boot(runner, image, initramfs, options)?;
    let mut died = None;
    for number in 2..=TRIES {
        let Err(error) = &ended else {
            break;
        };
        if output.contains(qemu::VERDICT) {
            break;
        }
        println!("{runner}: {error:#}; booting once more");
        let what = options.test_args.join(" ");
        died = Some((
            format!("{runner}: the machine itself, at {what} ({error:#})"),
            number,
        ));
        (ended, output) = qemu::boot(runner, image, initramfs, options)?;
    }
    let mut result = Summary::parse(runner, &output);
    let what = format!("{runner}: machine for {}", options.test_args.join(" "));
    result.times.push((what, begin.elapsed()));
    match ended {
        Ok(()) => result.tried_again.extend(died),
        Err(error) if result.failed.is_empty() => {
            result.failed.push(format!("{runner}: {error:#}"));
        }
        Err(_) => {}
    }
    Ok(result)
}

/// The file system of a machine, and what it can be asked to test.
struct Archive {
    image: PathBuf,
    /// First parts of the tests' names.
    subjects: Vec<String>,
}

/// The file system of the machine: the test program as init, ctprof, and an almost empty `/dev`.
fn archive() -> Result<Archive> {
    let programs = static_build::tests()?;
    let mut archive = Initramfs::new();
    for folder in ["bin", "dev", "proc", "sys", "tmp", "run", "root"] {
        archive.folder(folder);
    }
    archive.character_device("dev/console", 5, 1);
    archive.character_device("dev/null", 1, 3);
    archive.program("init", &std::fs::read(&programs.tests)?);
    archive.program("bin/ctprof", &std::fs::read(&programs.ctprof)?);
    let list = cmd::output(Command::new(&programs.tests).arg("--list"))?;
    let mut subjects: Vec<String> = list
        .lines()
        .filter_map(|line| Some(line.strip_suffix(": test")?.split_once("::")?.0.to_owned()))
        .collect();
    subjects.dedup();
    Ok(Archive {
        image: archive.write(&crate::paths::target().join("vm/initramfs.cpio"))?,
        subjects,
    })
}
