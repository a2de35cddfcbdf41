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

/// How long it sleeps between stretches, and with the lock.
const PAUSE_NS: u64 = 100_000_000;
const HELD_NS: u64 = 50_000_000;

/// What one of its threads computes for without a look for events, in stretches of the same length.
const LOOK_NS: u64 = 40_000_000;

pub(super) fn trials() -> Vec<Trial> {
    let needs = || missing_privilege().or_else(|| missing_program("gcc"));
    vec![
        skipping(
            "moments::of_a_lock_and_a_stretch",
            || of_a_program(&["--moments"], STRETCH_NS),
            needs,
        ),
        skipping(
            "moments::of_looks_that_do_not_wait",
            || of_a_program(&["--moments", "--syscalls"], LOOK_NS),
            needs,
        ),
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

/// `look_ns`: how long the thread computes that looks for events meanwhile, as far as these `views` see the looks.
fn of_a_program(views: &[&str], look_ns: u64) -> Result {
    let cgroup = Cgroup::new("moments")?;
    let (folder, dir) = output()?;
    let flags = &["-O2", "-pthread"];
    let program = compile("gcc", ("moments", PROGRAM), folder.path(), flags)?;
    let mut command = Command::new(program);
    let joined = cgroup.enclose(&mut command)?;
    let _running = Running(command.spawn()?);
    drop(joined);
    let options = [&["--duration", "120s"], views].concat();
    let mut ctprof = Ctprof::record(&dir, &options).cgroup(&cgroup).start()?;
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
    for (kind, thread, wanted) in [
        ("longest", "runner", STRETCH_NS),
        ("longest", "looker", look_ns),
        ("longest_waits", "runner", PAUSE_NS),
        ("longest_waits", "holder", HELD_NS),
    ] {
        let mut found = moments[kind].as_array().ok_or(kind)?.iter();
        let found = found.find(|it| it[0] == thread);
        let found = found.and_then(|it| it[1].as_u64()).ok_or(thread)?;
        ensure!(
            (wanted..wanted * 5 / 4).contains(&found),
            "{kind} of {thread}: {found} ns, of {wanted}"
        );
    }
    Ok(())
}
