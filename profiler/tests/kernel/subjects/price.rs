//! What stacks of waits cost, and what is done so that it is no more: reuse, and the limit.

use std::process::{Child, Command};
use std::thread::sleep;
use std::time::Duration;

use libtest_mimic::Trial;

use super::output;
use super::unwind::{compile, settle_ms};
use crate::harness::cgroup::Cgroup;
use crate::harness::ctprof::Ctprof;
use crate::harness::needs::{missing_privilege, missing_program, skipping};
use crate::harness::recording::Recording;
use crate::harness::{Result, emulated, ensure};

const PROGRAM: &str = include_str!("price.c");

/// The functions that the program waits in, and for what part of its waits.
const FUNCTIONS: [(&str, f64); 3] = [("wait_a", 0.5), ("wait_b", 0.3), ("wait_c", 0.2)];

/// How far a function's part may be off: the goal of a run under the limit.
fn near() -> f64 {
    // Under emulation, the limit is spent on a few dozen stacks.
    if emulated() { 0.2 } else { 0.03 }
}

pub(super) fn trials() -> Vec<Trial> {
    let needs = || missing_privilege().or_else(|| missing_program("gcc"));
    vec![
        skipping("price::a_wait_where_it_waited_before", reused, needs),
        skipping("price::a_wait_that_only_seems_the_same", distrusted, needs),
        skipping("price::a_limit_that_bites", limited, needs),
    ]
}

/// Ends with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A recording of the program, run with this argument.
fn recorded(argument: &str, options: &[&str]) -> Result<Recording> {
    let cgroup = Cgroup::new("price")?;
    let (folder, dir) = output()?;
    let flags = &["-O2", "-pthread", "-fomit-frame-pointer"];
    let program = compile("gcc", ("price", PROGRAM), folder.path(), flags)?;
    let mut command = Command::new(program);
    let joined = cgroup.enclose(command.arg(argument))?;
    let _running = Running(command.spawn()?);
    drop(joined);
    let options = [&["--duration", "120s"], options].concat();
    let mut ctprof = Ctprof::record(&dir, &options).cgroup(&cgroup).start()?;
    ctprof.wait_until_attached()?;
    sleep(Duration::from_millis(5_000 + settle_ms()));
    let recording = ctprof.stop(&dir)?;
    recording.check()?;
    Ok(recording)
}

/// Each function has its part of the time for which the program waits for a pipe. That stacks have all of the ledger's time is
/// checked of every recording.
fn check(recording: &Recording) -> Result {
    let asker = recording.folded.thread("asker").state("blocked_pipe");
    let all = asker.total();
    for (function, part) in FUNCTIONS {
        let found = asker.with(function) as f64 / all as f64;
        ensure!(
            (found - part).abs() < near(),
            "{function} has {found:.3} of {all} ns, not {part}"
        );
    }
    Ok(())
}

fn price(recording: &Recording, key: &str) -> Result<u64> {
    let value = &recording.summary["stack_price"][key];
    Ok(value.as_u64().ok_or_else(|| format!("no {key}"))?)
}

/// It waits at the same places again and again: nearly no stack is taken, and all that are looked at are what they should be.
fn reused() -> Result {
    let recording = recorded("same", &[])?;
    let asker = recording.folded.thread("asker").state("blocked_pipe");
    let (found, all) = (asker.with("wait_a"), asker.total());
    ensure!(found * 100 > all * 99, "wait_a has {found} of {all} ns");
    let of = |key| price(&recording, key);
    let (taken, reused, checked) = (of("taken")?, of("reused")?, of("checked")?);
    ensure!(reused > 40 * taken, "{taken} stacks taken, {reused} reused");
    ensure!(
        checked > reused / 400 && of("differed")? * 100 <= checked,
        "{checked} of {reused} checked, {} differed",
        of("differed")?
    );
    Ok(())
}

/// Its registers are the same, and how it came there is not: that is found out, and its stacks are taken each time.
fn distrusted() -> Result {
    let recording = recorded("alike", &["--max-overhead", "100%"])?;
    check(&recording)?;
    let of = |key| price(&recording, key);
    ensure!(
        of("differed")? >= 3 && of("skipped")? == 0,
        "{} of {} checked differed, {} skipped",
        of("differed")?,
        of("checked")?,
        of("skipped")?
    );
    Ok(())
}

/// It never waits at the same place, more often than the limit allows stacks of.
fn limited() -> Result {
    let recording = recorded("different", &["--max-overhead", "2%"])?;
    check(&recording)?;
    let of = |key| price(&recording, key);
    ensure!(
        of("skipped")? > of("taken")? && of("one_in")? > 1,
        "{} skipped, {} taken, 1 in {}",
        of("skipped")?,
        of("taken")?,
        of("one_in")?
    );
    // Under emulation, one stack may take longer than a tenth's limit.
    let part = of("cpu_ns")? as f64 / (recording.seconds()? * 1e9);
    ensure!(
        emulated() || part < 2.0 * 0.026,
        "stacks took {part:.4} of the time of a CPU, of two that may have 0.02 each"
    );
    Ok(())
}
