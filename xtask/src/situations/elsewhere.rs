//! What the host does beside all situations: a busy host is a neighbour of every container, and ctprof is right to say so.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::interrupt::Interrupt;

/// How long it is looked at.
const WINDOW: Duration = Duration::from_secs(1);

/// Above this share of its CPUs a host is too busy for what is measured on it.
pub(super) const BUSY: f64 = 0.15;

/// Share of the host's CPUs that is in use now; ask while no container runs.
pub(super) fn busy(interrupt: &Interrupt) -> Result<f64> {
    let (used, all) = ticks()?;
    interrupt.wait_until(Instant::now() + WINDOW)?;
    let (used_then, all_then) = ticks()?;
    Ok((used_then - used) as f64 / (all_then - all).max(1) as f64)
}

/// Ticks of all CPUs since boot: those in use or stolen, and all of them.
fn ticks() -> Result<(u64, u64)> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().context("/proc/stat is empty")?;
    let ticks: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        // Time of guests, behind these, is in that of users as well.
        .take(8)
        .map(str::parse)
        .collect::<std::result::Result<_, _>>()?;
    let all: u64 = ticks.iter().sum();
    // Idle and waiting for a disk.
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    Ok((all - idle, all))
}
