//! Threads that went to sleep before their stacks could be had: before the recording, or before there were tables.

use std::path::Path;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::super::output;
use super::{EARLY, compile, mostly, settle_ms};
use crate::harness::cgroup::Cgroup;
use crate::harness::ctprof::Ctprof;
use crate::harness::folded::Folded;
use crate::harness::program::Program;
use crate::harness::recording::Recording;
use crate::harness::{Result, ensure};

const PROGRAM: &str = include_str!("asleep.c");

const FLAGS: &[&str] = &["-O2", "-pthread"];

/// State, the functions on the way from the root, and how often the last of them.
type Chain = (&'static str, &'static [&'static str], usize);

const CHAINS: &[Chain] = &[
    ("blocked_sleep", &["first", "down"], 300),
    ("blocked_lock", &["second", "wants_lock"], 1),
    ("blocked_pipe", &["third", "reads"], 1),
    ("blocked_lock", &["main", "joins"], 1),
];

/// Ends with its owner.
struct Sleeper(Child);

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(super) fn before_the_recording() -> Result {
    let cgroup = Cgroup::new("asleep")?;
    let folder = output()?.0;
    let program = compile("gcc", ("asleep", PROGRAM), folder.path(), FLAGS)?;
    let _sleeper = start(&cgroup, &program)?;
    let (recording, ()) = record(&cgroup, || Ok(()))?;
    all_whole(&recording, &cgroup, 1)
}

/// Records the cgroup until tables are made for what runs in it, `then` after it has begun.
fn record<T>(cgroup: &Cgroup, then: impl FnOnce() -> Result<T>) -> Result<(Recording, T)> {
    let (_folder, dir) = output()?;
    let mut ctprof = Ctprof::record(&dir, &["--duration", "120s"])
        .cgroup(cgroup)
        .start()?;
    ctprof.wait_until_attached()?;
    let started = then()?;
    sleep(Duration::from_millis(settle_ms()));
    let recording = ctprof.stop(&dir)?;
    recording.check()?;
    Ok((recording, started))
}

/// Without a compiler, so in every machine that is tried.
pub(super) fn on_any_kernel() -> Result {
    let cgroup = Cgroup::new("asleep")?;
    let sleeper = Program::start(Some(&cgroup), &["sleep", "--ms", "600000"])?;
    let (recording, ()) = record(&cgroup, || Ok(()))?;
    drop(sleeper);
    let row = recording.row(cgroup.path())?;
    ensure!(
        row.is_available("unwinding"),
        "{}",
        recording.summary["unavailable"]
    );
    let stacks = recording
        .folded
        .container(cgroup.path())
        .state("blocked_sleep");
    mostly("blocked_sleep", &stacks, 0.99, |frames| {
        frames.iter().any(|frame| frame == "main")
    })
}

/// All sleep before anybody has looked at their program.
pub(super) fn before_the_tables() -> Result {
    let cgroup = Cgroup::new("asleep")?;
    let folder = output()?.0;
    let program = compile("gcc", ("asleep", PROGRAM), folder.path(), FLAGS)?;
    let (recording, _sleepers) = record(&cgroup, || {
        Ok([start(&cgroup, &program)?, start(&cgroup, &program)?])
    })?;
    all_whole(&recording, &cgroup, 2)?;
    let row = recording.row(cgroup.path())?;
    let complete = row.number("wait_stacks/complete")?;
    let cut = row.value("wait_stacks/cut");
    let early: u64 = EARLY.iter().filter_map(|it| cut[it].as_u64()).sum();
    ensure!(
        early * 100 <= complete,
        "{early} ns cut early, {complete} ns complete: {cut}"
    );
    Ok(())
}

/// Every wait of so many programs from its beginning, whenever its stack was had.
fn all_whole(recording: &Recording, cgroup: &Cgroup, programs: u64) -> Result {
    let stacks = recording.folded.container(cgroup.path());
    let least = (settle_ms() - 500) * 1_000_000 * programs;
    for state in ["blocked_sleep", "blocked_lock", "blocked_pipe"] {
        let chains: Vec<&Chain> = CHAINS.iter().filter(|(it, ..)| *it == state).collect();
        let stacks = stacks.state(state);
        mostly(state, &stacks, 0.99, |frames| {
            chains.iter().any(|chain| follows(frames, chain))
        })?;
        for chain in chains {
            let ns = slept(&stacks, chain);
            ensure!(ns >= least, "{ns} of at least {least} ns in {:?}", chain.1);
        }
    }
    Ok(())
}

fn slept(stacks: &Folded, chain: &Chain) -> u64 {
    let of_chain = stacks.each().filter(|(frames, _)| follows(frames, chain));
    of_chain.map(|(_, ns)| ns).sum()
}

fn follows(frames: &[String], (_, functions, times): &Chain) -> bool {
    let own: Vec<&str> = frames
        .iter()
        .map(String::as_str)
        .filter(|frame| CHAINS.iter().any(|(_, all, _)| all.contains(frame)))
        .collect();
    let Some((last, before)) = functions.split_last() else {
        return false;
    };
    own.len() == before.len() + times
        && own.starts_with(before)
        && own[before.len()..].iter().all(|it| it == last)
}

/// Starts the program, and waits until its four threads sleep.
fn start(cgroup: &Cgroup, program: &Path) -> Result<Sleeper> {
    let mut command = Command::new(program);
    let _joined = cgroup.enclose(&mut command)?;
    let sleeper = Sleeper(command.spawn()?);
    let tasks = format!("/proc/{}/task", sleeper.0.id());
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let mut asleep = 0;
        for task in std::fs::read_dir(&tasks)? {
            let stat = std::fs::read_to_string(task?.path().join("stat"))?;
            asleep += usize::from(stat.contains(") S "));
        }
        if asleep == 4 {
            return Ok(sleeper);
        }
        ensure!(Instant::now() < deadline, "{asleep} of 4 threads sleep");
        sleep(Duration::from_millis(1));
    }
}
