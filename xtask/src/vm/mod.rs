//! `cargo xtask vm`: the kernel matrix. Boots Debian's cloud kernels in QEMU with the kernel tests as init.

pub(crate) mod initramfs;
pub(crate) mod kernels;
mod qemu;
mod subjects;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::paths::{root, target};
use crate::summary::Summary;
use crate::{cmd, static_build};
use initramfs::Initramfs;
use kernels::Series;
pub(crate) use qemu::Options;

/// How often a trial is tried: an emulated CPU stands still for as long as the host has something else to do.
const TRIES: usize = 5;

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
    let good = summary.is_good() && !summary.passed.is_empty();
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
        let boot = |test_args: Vec<String>, trials: &[&str]| {
            let options = Options {
                test_args,
                ..options.clone()
            };
            boot(&runner, trials, &kernel.image, &initramfs.image, &options)
        };
        let mut result = Summary::default();
        if options.test_args.is_empty() {
            let wanted = |subject: &&str| !options.selected || subjects::is_tried(*series, subject);
            for subject in initramfs.subjects().into_iter().filter(wanted) {
                let first = format!("{subject}::");
                let trials = initramfs.trials.iter().map(String::as_str);
                let trials: Vec<&str> = trials.filter(|name| name.starts_with(&first)).collect();
                result.add(boot(vec![first], &trials)?);
            }
        } else {
            result.add(boot(options.test_args.clone(), &[])?);
        }
        result.try_again(&runner, TRIES, |test| {
            boot(vec!["--exact".to_owned(), test.to_owned()], &[test])
        })?;
        summary.add(result);
    }
    Ok(summary)
}

/// Boots a machine and reads the results of these trials. One that ends before them leaves some without an outcome, each
/// of which is tried again in a machine of its own; for the same reason every subject has one.
///
/// QEMU's emulation of several CPUs in several threads now and then executes an instruction that the kernel is
/// just patching (a static key), and the guest dies of it ("Oops: int3"); with one thread for all CPUs, the guest's
/// clock is too far off to count anything.
fn boot(
    runner: &str,
    trials: &[&str],
    image: &Path,
    initramfs: &Path,
    options: &Options,
) -> Result<Summary> {
    let begin = Instant::now();
    let (ended, output) = qemu::boot(runner, image, initramfs, options)?;
    let mut result = Summary::parse(runner, &output);
    let what = format!("{runner}: machine for {}", options.test_args.join(" "));
    for trial in trials {
        let name = format!("{runner}: {trial}");
        if !result.has_outcome(&name) && !result.unended.contains(&name) {
            result.unended.push(name);
        }
    }
    if let Err(error) = ended {
        println!("{what}: {error:#}");
        // No trial says so.
        if result.is_good() {
            result.failed.push(format!("{what}: {error:#}"));
        }
    }
    result.times.push((what, begin.elapsed()));
    Ok(result)
}

/// The file system of a machine, and what it can be asked to test.
struct Archive {
    image: PathBuf,
    /// Names of the trials.
    trials: Vec<String>,
}

impl Archive {
    /// First parts of the trials' names.
    fn subjects(&self) -> Vec<&str> {
        let names = self.trials.iter().filter_map(|name| name.split_once("::"));
        let mut subjects: Vec<&str> = names.map(|(subject, _)| subject).collect();
        subjects.dedup();
        subjects
    }
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
    if let Some(brief) = brief()? {
        archive.program("bin/brief", &brief);
    }
    let list = cmd::output(Command::new(&programs.tests).arg("--list"))?;
    let names = list.lines().filter_map(|line| line.strip_suffix(": test"));
    Ok(Archive {
        trials: names.map(str::to_owned).collect(),
        image: archive.write(&target().join("vm/initramfs.cpio"))?,
    })
}

/// A program without frame pointers, of processes that live for a millisecond; `None` without a C compiler. All other programs in
/// the machine keep frame pointers, which would hide that its tables are not found.
fn brief() -> Result<Option<Vec<u8>>> {
    let source = root().join("profiler/tests/kernel/subjects/unwind/brief.c");
    let program = target().join("vm/brief");
    std::fs::create_dir_all(target().join("vm"))?;
    let mut command = Command::new("gcc");
    command.args(["-O2", "-fomit-frame-pointer", "-static", "-w", "-o"]);
    command.args([&program, &source]);
    match command.status() {
        Ok(status) if status.success() => Ok(Some(std::fs::read(&program)?)),
        _ => Ok(None),
    }
}
