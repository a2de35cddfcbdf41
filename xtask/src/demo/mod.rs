//! `cargo xtask demo`: ctprof on two small cgroups that compete for one CPU.
//!
//! Building needs no privilege, recording does: the task builds, then runs itself again as root.
//! - `load`: the programs that compete
//! - `cgroup`: the cgroups that they run in

pub(crate) mod cgroup;
pub(crate) mod load;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::{cmd, paths};
use cgroup::Cgroup;

/// Name of the shop's thread functions and of its cgroup; three threads.
const SHOP: &str = "shop";
/// The same for the nightly report; one thread.
const REPORT: &str = "report";

/// Build ctprof, record two cgroups that compete for a CPU, and show what it found. Asks for root.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to write the recording; an earlier recording there is replaced.
    #[arg(long, value_name = "DIR", default_value = "ctprof-demo")]
    output: PathBuf,
    /// How long to record.
    #[arg(long, value_name = "TIME", default_value = "5s")]
    duration: String,
    /// Built already, and root: record. The task runs itself with this.
    #[arg(long, hide = true)]
    as_root: bool,
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if args.as_root {
        return record(args);
    }
    println!("building ctprof (release)…");
    cmd::run(cmd::cargo().args(["build", "--release", "--package", "ctprof"]))?;
    let this = std::env::current_exe().context("cannot find this program")?;
    let mut again = if is_root()? {
        Command::new(this)
    } else {
        println!("recording needs root: asking sudo");
        let mut sudo =
            Command::new(cmd::find("sudo").context("not root, and there is no sudo; run as root")?);
        sudo.arg("--preserve-env=CARGO_TARGET_DIR").arg(this);
        sudo
    };
    again
        .args([
            "demo",
            "--as-root",
            "--duration",
            &args.duration,
            "--output",
        ])
        .arg(&args.output);
    let status = again
        .status()
        .with_context(|| format!("cannot run `{}`", cmd::line(&again)))?;
    Ok(ExitCode::from(
        u8::try_from(status.code().unwrap_or(1)).unwrap_or(1),
    ))
}

fn record(args: &Args) -> Result<ExitCode> {
    // Ctrl-C ends ctprof early; it is not to end us before everything is taken away again.
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    let ctprof = paths::target().join("release/ctprof");
    let shop = Competitor::start(SHOP, 3)?;
    let report = Competitor::start(REPORT, 1)?;
    println!(
        "two cgroups share CPU 0: {} has three busy threads, {} has one",
        shop.path(),
        report.path()
    );
    let mut record = Command::new(&ctprof);
    record
        .args(["record", "--duration", &args.duration, "--output"])
        .arg(&args.output);
    if is_recording(&args.output) {
        record.arg("--force");
    }
    for competitor in [&shop, &report] {
        record.arg("--cgroup").arg(competitor.path());
    }
    let status = record
        .status()
        .with_context(|| format!("cannot run {}", ctprof.display()))?;
    drop((shop, report));
    if !status.success() {
        return Ok(ExitCode::from(
            u8::try_from(status.code().unwrap_or(1)).unwrap_or(1),
        ));
    }
    if !interrupted.load(Ordering::Relaxed) {
        println!(
            "\nBoth cgroups got half of the CPU, however many threads they have: the kernel shares between\n\
             cgroups first. Open {} in a browser, or run:\n  go tool pprof {}",
            args.output.join("flamegraph.svg").display(),
            args.output.join("profile.pb.gz").display()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// A program in a cgroup of its own; both go when it is dropped.
struct Competitor {
    process: Child,
    cgroup: Cgroup,
}

impl Competitor {
    fn start(name: &str, threads: u32) -> Result<Self> {
        let cgroup = Cgroup::create(&format!("ctprof-demo-{name}"))?;
        let process = Command::new(std::env::current_exe()?)
            .args(["demo-load", name, "--threads", &threads.to_string()])
            .stdin(Stdio::null())
            .spawn()
            .context("cannot start the demo's load")?;
        let competitor = Self { process, cgroup };
        competitor.cgroup.enter(competitor.process.id())?;
        Ok(competitor)
    }

    fn path(&self) -> &str {
        self.cgroup.path()
    }
}

impl Drop for Competitor {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if let Err(error) = self.cgroup.remove() {
            eprintln!("warning: {error:#}");
        }
    }
}

fn is_recording(folder: &Path) -> bool {
    folder.join("summary.json").is_file()
}

/// Whether this process runs as root.
fn is_root() -> Result<bool> {
    let status =
        std::fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    match ids.and_then(|ids| ids.split_whitespace().nth(1)) {
        Some(effective) => Ok(effective == "0"),
        None => bail!("/proc/self/status has no Uid line"),
    }
}
