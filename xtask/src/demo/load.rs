//! What competes in the demo: busy threads with functions that a flame graph can tell apart.

use std::hint::black_box;
use std::process::ExitCode;

use anyhow::{Result, bail};

/// Burn CPU 0 until killed, for the demo.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// `shop` or `report`.
    name: String,
    #[arg(long)]
    threads: u32,
}

/// Runs the load; returns only on an error.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let work = match args.name.as_str() {
        "shop" => serve_orders,
        "report" => nightly_report,
        other => bail!("no load is called {other}"),
    };
    // One CPU for all, so that they compete on a machine of any size.
    let mut cpu = rustix::thread::CpuSet::new();
    cpu.set(0);
    rustix::thread::sched_setaffinity(None, &cpu)?;
    std::thread::scope(|scope| {
        for number in 0..args.threads {
            let name = format!("{}-{number}", args.name);
            std::thread::Builder::new()
                .name(name)
                .spawn_scoped(scope, work)?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn serve_orders() {
    loop {
        render_page();
        check_stock();
    }
}

fn nightly_report() {
    loop {
        sum_up_sales();
    }
}

#[inline(never)]
fn render_page() {
    spin(700_000);
}

#[inline(never)]
fn check_stock() {
    spin(300_000);
}

#[inline(never)]
fn sum_up_sales() {
    spin(1_000_000);
}

#[inline(always)]
fn spin(rounds: u64) {
    let mut sum = 0_u64;
    for round in 0..rounds {
        sum = black_box(sum.wrapping_mul(31).wrapping_add(round));
    }
}
