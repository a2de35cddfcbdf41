//! Containers that are paused: `docker pause` is one of the two freezers.

use std::thread::sleep;
use std::time::Duration;

use libtest_mimic::Trial;

use super::record;
use crate::harness::cgroup::Cgroup;
use crate::harness::ledger::Row;
use crate::harness::needs::privileged;
use crate::harness::program::{Facts, Program, now_ns};
use crate::harness::{Result, close_ns, ensure, tolerance};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        privileged("frozen::by_v2", by_v2),
        privileged("frozen::by_v1", by_v1),
        privileged("frozen::before_the_recording", before),
    ]
}

/// Threads of the workload.
const THREADS: u64 = 5;
/// The states that its threads are in while they are not frozen, with the name under which they tell for how long they did
/// not run.
const SLEEPERS: [(&str, &str); 4] = [
    ("blocked_sleep", "blocked_ns"),
    ("blocked_poll", "polled_ns"),
    ("blocked_net", "received_ns"),
    ("blocked_pipe", "read_ns"),
];
const STEP: Duration = Duration::from_millis(400);

/// How long it may take until all threads have noticed, and what else they do.
fn slack_ns() -> u64 {
    tolerance(30e6, 150e6) as u64
}

/// For how long the workload was frozen.
#[derive(Clone, Copy)]
struct Frozen {
    /// At least that long.
    ns: u64,
    /// What its threads may be off that by: [`slack_ns`], and the time that freezing and thawing took, during which they may
    /// have been either.
    slack_ns: u64,
}

/// Freezes the workload in the middle; for how long, and what it says. `None` where there is no such freezer.
fn freeze(
    cgroup: &Cgroup,
    freezer: impl Fn(bool) -> Result<bool>,
) -> Result<Option<(Frozen, Facts)>> {
    let args = ["block", "--how", "frozen", "--times", "20", "--each", "60"];
    let program = Program::start(Some(cgroup), &args)?;
    sleep(STEP);
    let before = now_ns();
    let has_one = freezer(true)?;
    let from = now_ns();
    sleep(STEP);
    let to = now_ns();
    freezer(false)?;
    let after = now_ns();
    let frozen = Frozen {
        ns: to - from,
        slack_ns: slack_ns() + (after - before) - (to - from),
    };
    let facts = program.end()?;
    Ok(has_one.then_some((frozen, facts)))
}

/// Has every thread stop in the kernel.
fn by_v2() -> Result {
    let arena = Cgroup::arena("frozen")?;
    let cgroup = arena.child("in")?;
    let v2 = |frozen| cgroup.freeze(frozen).map(|()| true);
    let (recording, found) = record(&[&cgroup], || freeze(&cgroup, v2))?;
    let (frozen, facts) = found.ok_or("no freezer")?;
    let row = recording.row(cgroup.path())?;
    computed(row, frozen, &facts)?;
    let Frozen {
        ns: frozen,
        slack_ns: slack,
    } = frozen;
    let other = row.ns("blocked_other")?;
    close_ns("frozen", other, THREADS * frozen, 0.0, THREADS * slack)?;
    for (state, name) in SLEEPERS {
        let slept = facts.get(name)?.saturating_sub(frozen);
        close_ns(state, row.ns(state)?, slept, 0.0, slack)
            .map_err(|error| format!("{}; {}", error.message().unwrap_or("?"), row.describe()))?;
    }
    Ok(())
}

/// Leaves those asleep that it finds in some calls: they are in these calls still. Which ones depends on the kernel.
fn by_v1() -> Result {
    let arena = Cgroup::arena("frozen")?;
    let cgroup = arena.child("in")?;
    let v1 = |frozen| cgroup.freeze_by_v1(frozen);
    let (recording, found) = record(&[&cgroup], || freeze(&cgroup, v1))?;
    let Some((frozen, facts)) = found else {
        return Ok(());
    };
    let row = recording.row(cgroup.path())?;
    computed(row, frozen, &facts)?;
    let Frozen {
        ns: frozen,
        slack_ns: slack,
    } = frozen;
    let (mut asleep, mut slept) = (0, 0);
    for (state, name) in SLEEPERS {
        let (found, most) = (row.ns(state)?, facts.get(name)?);
        ensure!(
            found <= most + slack && found + frozen + slack >= most,
            "{state}: {found} ns of {most} ns, {frozen} ns of them frozen: {}",
            row.describe()
        );
        asleep += found;
        slept += most;
    }
    // Whatever is not sleep in a call is other.
    let other = row.ns("blocked_other")?;
    close_ns(
        "frozen, or asleep",
        other + asleep,
        slept + frozen,
        0.0,
        THREADS * slack,
    )
}

/// The thread that computes did not run because it was frozen, and nobody waited for a CPU meanwhile.
fn computed(row: Row<'_>, frozen: Frozen, facts: &Facts) -> Result {
    let Frozen {
        ns: frozen,
        slack_ns: slack,
    } = frozen;
    close_ns(
        "the program's own account",
        facts.get("computed_ns")?,
        frozen,
        0.0,
        slack,
    )?;
    let other = row.ns("blocked_other")?;
    ensure!(
        other + slack >= frozen,
        "frozen for {frozen} ns: {}",
        row.describe()
    );
    row.agrees_with_schedstat(facts.get("delay_ns")?, slack_ns() / 2)?;
    row.agrees_with_usage()
}

/// What was frozen already is seen to be.
fn before() -> Result {
    let arena = Cgroup::arena("frozen")?;
    for by_v1 in [false, true] {
        let cgroup = arena.child(if by_v1 { "old" } else { "new" })?;
        let args = [
            "block", "--how", "frozen", "--times", "1", "--each", "60000",
        ];
        let program = Program::start(Some(&cgroup), &args)?;
        sleep(STEP);
        if by_v1 {
            if !cgroup.freeze_by_v1(true)? {
                return Ok(());
            }
        } else {
            cgroup.freeze(true)?;
        }
        sleep(STEP);
        let (recording, ()) = record(&[&cgroup], || {
            sleep(STEP);
            Ok(())
        })?;
        if by_v1 {
            cgroup.freeze_by_v1(false)?;
        } else {
            cgroup.freeze(false)?;
        }
        program.kill()?;
        let row = recording.row(cgroup.path())?;
        let (all, other) = (row.thread_time_ns()?, row.ns("blocked_other")?);
        ensure!(
            all == other && all >= THREADS * STEP.as_nanos() as u64,
            "not frozen all the time: {}",
            row.describe()
        );
    }
    Ok(())
}
