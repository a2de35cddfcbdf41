//! The load of a measurement, in a process of its own so that nothing else of xtask is measured.

use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::condition::Holding;
use crate::cmd;

/// Run a load and print how long one round of it took, in ns.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// CPUs, each with a pair of threads.
    #[arg(long, value_delimiter = ',', default_value = "1")]
    cpus: Vec<usize>,
    /// Ping-pongs of each pair, or calls.
    #[arg(long)]
    count: u64,
    /// Instead of a pair, a thread that calls the kernel.
    #[arg(long)]
    calls: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    // Once to warm up.
    rounds(args, args.count / 10)?;
    let start = Instant::now();
    rounds(args, args.count)?;
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let ns = start.elapsed().as_nanos() as f64 / args.count as f64;
    println!("{ns:.1}");
    Ok(ExitCode::SUCCESS)
}

/// Runs a load with these options under a condition; returns ns a round.
pub(super) fn measure(holding: &Holding, options: &[&str]) -> Result<f64> {
    let mut command = holding.command(std::env::current_exe()?);
    let text = cmd::output(command.arg("bench-load").args(options))?;
    let ns: f64 = text.parse().context("the load printed no number")?;
    ensure!(ns > 0.0, "the load took no time");
    Ok(ns)
}

fn rounds(args: &Args, count: u64) -> Result<()> {
    let pairs: Vec<_> = args
        .cpus
        .iter()
        .map(|&cpu| {
            let work = if args.calls { calls } else { ping_pong };
            std::thread::spawn(move || work(cpu, count))
        })
        .collect();
    for pair in pairs {
        pair.join()
            .map_err(|_| anyhow::anyhow!("a thread of the load panicked"))??;
    }
    Ok(())
}

/// The shortest call that reaches the kernel.
fn calls(cpu: usize, count: u64) -> Result<()> {
    bind(cpu)?;
    for _ in 0..count {
        // SAFETY: takes no argument and only returns a number.
        unsafe { libc::syscall(libc::SYS_getppid) };
    }
    Ok(())
}

pub(super) fn bind(cpu: usize) -> Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

/// Two threads on one CPU wake each other: two switches and two wakeups a round.
fn ping_pong(cpu: usize, count: u64) -> Result<()> {
    let (from_left, to_right) = pipe()?;
    let (from_right, to_left) = pipe()?;
    let right = std::thread::spawn(move || side(cpu, count, from_left, to_left, false));
    side(cpu, count, from_right, to_right, true)?;
    right
        .join()
        .map_err(|_| anyhow::anyhow!("a thread of the load panicked"))?
}

fn side(
    cpu: usize,
    count: u64,
    mut from: PipeReader,
    mut to: PipeWriter,
    begins: bool,
) -> Result<()> {
    bind(cpu)?;
    let mut byte = [0];
    for _ in 0..count {
        if begins {
            to.write_all(&byte)?;
            from.read_exact(&mut byte)?;
        } else {
            from.read_exact(&mut byte)?;
            to.write_all(&byte)?;
        }
    }
    Ok(())
}
