//! Moments that sums do not show: who has a lock, the longest stretch of a thread, and who is killed for want of memory.

use std::process::{Child, Command};
use std::thread::sleep;
use std::time::Duration;

use libtest_mimic::Trial;

use super::output;
use super::unwind::{compile, settle_ms};
use crate::harness::cgroup::Cgroup;
use crate::harness::ctprof::Ctprof;
use crate::harness::needs::{missing_privilege, missing_program, skipping};
use crate::harness::{Result, ensure};

const PROGRAM: &str = include_str!("moments.c");

/// What the program computes for without a wait.
const STRETCH_NS: u64 = 200_000_000;

pub(super) fn trials() -> Vec<Trial> {
    vec![skipping(
        "moments::of_a_lock_and_a_stretch",
        of_a_program,
        || missing_privilege().or_else(|| missing_program("gcc")),
    )]
}

/// Ends with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn of_a_program() -> Result {
    let cgroup = Cgroup::new("moments")?;
    let (folder, dir) = output()?;
    let flags = &["-O2", "-pthread"];
    let program = compile("gcc", ("moments", PROGRAM), folder.path(), flags)?;
    let mut command = Command::new(program);
    let joined = cgroup.enclose(&mut command)?;
    let _running = Running(command.spawn()?);
    drop(joined);
    let mut ctprof = Ctprof::record(&dir, &["--duration", "120s", "--moments"])
        .cgroup(&cgroup)
        .start()?;
    ctprof.wait_until_attached()?;
    sleep(Duration::from_millis(settle_ms()));
    let recording = ctprof.stop(&dir)?;
    recording.check()?;
    let row = recording.row(cgroup.path())?;
    let moments = row.value("moments");
    let mut held = 0;
    let mut all = 0;
    for waker in moments["wakers"].as_array().ok_or("no wakers")? {
        let ns = waker["ns"].as_u64().unwrap_or_default();
        all += ns;
        let functions = waker["functions"].as_array().ok_or("no functions")?;
        // Until its table is there, the innermost function of the C library is all that is known.
        if waker["thread"] == "holder"
            && (functions.len() < 2 || functions.iter().any(|it| it == "hold_it"))
        {
            held += ns;
        }
    }
    // Who got the lock hands it on at once: that is no time of the one that waits behind it.
    ensure!(
        held * 100 >= all * 95,
        "{held} of {all} ns are the holder's: {moments}"
    );
    // Two threads wait for it nearly all the time, but for waits that go on at the end.
    let least = recording.seconds()? * 2.0 * 0.7 * 1e9;
    ensure!(all as f64 >= least, "{all} of {least} ns: {moments}");
    let longest = moments["longest"].as_array().ok_or("no longest")?;
    let longest = longest.iter().find(|it| it[0] == "runner");
    let longest = longest.and_then(|it| it[1].as_u64()).ok_or("no runner")?;
    ensure!(
        (STRETCH_NS..STRETCH_NS * 5 / 4).contains(&longest),
        "{longest} ns without a wait, of {STRETCH_NS}"
    );
    Ok(())
}
