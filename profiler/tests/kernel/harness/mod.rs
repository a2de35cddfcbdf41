//! What the trials are made of.

pub(crate) mod agent;
pub(crate) mod calls;
pub(crate) mod cgroup;
pub(crate) mod ctprof;
pub(crate) mod folded;
pub(crate) mod ledger;
pub(crate) mod needs;
pub(crate) mod program;
pub(crate) mod recording;
pub(crate) mod unpacked;

use std::path::PathBuf;
use std::time::Duration;

use libtest_mimic::Failed;

/// Result of a trial and of everything in it.
pub(crate) type Result<T = ()> = std::result::Result<T, Failed>;

/// Fails the trial with a message unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        let holds: bool = $condition;
        if !holds {
            return Err(libtest_mimic::Failed::from(format!($($message)+)));
        }
    };
}
pub(crate) use ensure;

/// True in a virtual machine without hardware support, where every instruction is translated.
pub(crate) fn emulated() -> bool {
    std::env::var_os("CTPROF_TEST_EMULATED").is_some()
}

/// Sampling frequency for counts: high, so that a short trial has enough samples for a tight comparison.
/// Under emulation timer interrupts come late when the host is busy, and one that is late by a period is not
/// made up for: there the period is longer than most delays.
pub(crate) fn frequency() -> u64 {
    if emulated() { 49 } else { 497 }
}

/// How far samples / (frequency x CPU seconds) may be from 1. Under emulation some delays of timer
/// interrupts remain, and there are fewer samples.
pub(crate) fn sample_tolerance() -> f64 {
    if emulated() { 0.10 } else { 0.03 }
}

/// Samples to expect from `cpu_ns` of CPU time at `frequency`.
#[allow(clippy::cast_precision_loss, reason = "2^52 ns are 52 days")]
pub(crate) fn expected(frequency: u64, cpu_ns: u64) -> f64 {
    frequency as f64 * cpu_ns as f64 / 1e9
}

/// How long to wait for something that takes milliseconds on an idle machine. It only decides when a trial gives up: a
/// recording of a whole host whose CPUs a dozen compilers share has taken half a minute to write.
pub(crate) fn patience() -> Duration {
    Duration::from_secs(120)
}

/// This program, to be started again as a workload.
pub(crate) fn this_program() -> Result<PathBuf> {
    Ok(std::env::current_exe()?)
}

/// The program of the kernel tests, which is the workload of all tests: cargo puts it beside this one.
pub(crate) fn this_workload() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let folder = this.parent().ok_or("this program is in no folder")?;
    let newest = std::fs::read_dir(folder)?
        .flatten()
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.starts_with("kernel-") && !name.contains('.')
        })
        .max_by_key(|entry| entry.metadata().and_then(|meta| meta.modified()).ok());
    let missing = "the kernel tests are not built; run `cargo test --no-run --test kernel`";
    Ok(newest.ok_or(missing)?.path())
}

/// `check` until it returns something or [`patience`] is over.
pub(crate) fn wait_for<T>(what: &str, mut check: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let end = std::time::Instant::now() + patience();
    loop {
        if let Some(value) = check()? {
            return Ok(value);
        }
        ensure!(std::time::Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Fails unless `actual` is within `tolerance` (a ratio) of `expected`.
pub(crate) fn close(what: &str, actual: f64, expected: f64, tolerance: f64) -> Result {
    let error = (actual - expected).abs() / expected;
    ensure!(
        error <= tolerance,
        "{what}: {actual:.1} is {:.1} % away from {expected:.1}; allowed are {:.1} %",
        error * 100.0,
        tolerance * 100.0
    );
    Ok(())
}

/// Fails unless `actual` is within `tolerance` (a ratio) of `expected`, or within `slack_ns` of it.
#[allow(clippy::cast_precision_loss, reason = "2^52 ns are 52 days")]
pub(crate) fn close_ns(
    what: &str,
    actual: u64,
    expected: u64,
    tolerance: f64,
    slack_ns: u64,
) -> Result {
    let allowed = (expected as f64 * tolerance).max(slack_ns as f64);
    ensure!(
        actual.abs_diff(expected) as f64 <= allowed,
        "{what}: {:.3} ms instead of {:.3} ms, which is {:.3} ms off; allowed are {:.3} ms",
        actual as f64 / 1e6,
        expected as f64 / 1e6,
        actual.abs_diff(expected) as f64 / 1e6,
        allowed / 1e6
    );
    Ok(())
}

/// A tolerance that holds on real CPUs; under emulation a CPU stands still at times while the clock goes on.
pub(crate) fn tolerance(real: f64, emulated_one: f64) -> f64 {
    if emulated() { emulated_one } else { real }
}

/// How far apart two threads may be entered in the ledger, or taken out, when a recording begins or ends.
pub(crate) fn visit_ns() -> u64 {
    if emulated() { 60_000_000 } else { 2_000_000 }
}
