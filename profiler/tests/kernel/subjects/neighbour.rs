//! Who ran while a container waited.

use libtest_mimic::Trial;

use super::{record, soon};
use crate::harness::cgroup::Cgroup;
use crate::harness::ledger::Row;
use crate::harness::needs::privileged;
use crate::harness::program::{Facts, Program};
use crate::harness::recording::Recording;
use crate::harness::{Result, close_ns, emulated, ensure, tolerance};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        privileged("neighbour::two_on_one_cpu", two),
        privileged("neighbour::three_of_unequal_weight", three),
        privileged("neighbour::its_own_threads", siblings),
        privileged("neighbour::processes_of_the_host", host),
    ]
}

const BUSY: [&str; 5] = ["burn", "--cpu", "1", "--ms", "2000"];

/// Records busy threads on one CPU, one in each of the cgroups.
fn compete(cgroups: &[&Cgroup]) -> Result<(Recording, Vec<Facts>)> {
    record(cgroups, || {
        let mut programs = Vec::new();
        let soon = soon().to_string();
        for cgroup in cgroups {
            let args = [&BUSY[..], &["--at", &soon]].concat();
            programs.push(Program::start(Some(cgroup), &args)?);
        }
        programs.into_iter().map(Program::end).collect()
    })
}

/// A thread that wants the CPU all the time waits whenever somebody else runs there: for as long as each of them
/// ran. At most 5 % are not known.
fn expect(recording: &Recording, victim: &Cgroup, others: &[&Cgroup], facts: &Facts) -> Result {
    let row = recording.row(victim.path())?;
    row.agrees_with_usage()?;
    let run_queue = row.ns("run_queue")? - row.strangers_ns();
    let mut by_others = 0;
    for other in others {
        let ran = recording.row(other.path())?.on_cpu_ns()?;
        let delayed = row.delayed_ns("container", Some(other.path()));
        // It also ran for a little, at its start and its end, when the victim did not want to.
        close_ns(
            "delay by one of them",
            delayed,
            ran,
            tolerance(0.03, 0.06),
            if emulated() { 150_000_000 } else { 30_000_000 },
        )?;
        by_others += delayed;
    }
    ensure!(
        by_others >= run_queue / 100 * 95,
        "{by_others} ns of {run_queue} ns by the others: {}",
        row.describe()
    );
    at_most_5_percent_unknown(row)?;
    row.agrees_with_schedstat(facts.get("delay_ns")?, 5_000_000)
}

fn at_most_5_percent_unknown(row: Row<'_>) -> Result {
    let unknown = row.delayed_ns("unknown", None);
    ensure!(
        unknown <= row.ns("run_queue")? / 20,
        "{unknown} ns are unknown: {}",
        row.describe()
    );
    Ok(())
}

/// The share of one among those that ran.
#[allow(clippy::cast_precision_loss, reason = "2^52 ns are 52 days")]
fn expect_share(recording: &Recording, cgroups: &[&Cgroup], one: usize, share: f64) -> Result {
    let mut ran = Vec::new();
    for cgroup in cgroups {
        ran.push(recording.row(cgroup.path())?.on_cpu_ns()?);
    }
    let found = ran[one] as f64 / ran.iter().sum::<u64>() as f64;
    ensure!(
        (found - share).abs() <= tolerance(0.04, 0.08),
        "{} has {found:.3} of the CPU instead of {share:.3}",
        cgroups[one].path()
    );
    Ok(())
}

fn two() -> Result {
    let arena = Cgroup::arena("two")?;
    let (a, b) = (arena.child("a")?, arena.child("b")?);
    let (recording, facts) = compete(&[&a, &b])?;
    expect(&recording, &a, &[&b], &facts[0])?;
    expect(&recording, &b, &[&a], &facts[1])?;
    expect_share(&recording, &[&a, &b], 0, 0.5)?;
    let row = recording.row(a.path())?;
    let half = facts[0].get("wall_ns")? / 2;
    close_ns("on CPU", row.on_cpu_ns()?, half, tolerance(0.08, 0.15), 0)?;
    close_ns(
        "run queue",
        row.ns("run_queue")?,
        half,
        tolerance(0.08, 0.15),
        0,
    )
}

fn three() -> Result {
    let arena = Cgroup::arena("three")?;
    let (a, b, c) = (arena.child("a")?, arena.child("b")?, arena.child("c")?);
    b.weight(200)?;
    c.weight(400)?;
    let (recording, facts) = compete(&[&a, &b, &c])?;
    expect(&recording, &a, &[&b, &c], &facts[0])?;
    expect(&recording, &b, &[&a, &c], &facts[1])?;
    expect(&recording, &c, &[&a, &b], &facts[2])?;
    for (one, share) in [1.0 / 7.0, 2.0 / 7.0, 4.0 / 7.0].into_iter().enumerate() {
        expect_share(&recording, &[&a, &b, &c], one, share)?;
    }
    Ok(())
}

/// Two threads of one container. Also what the kernel itself says about the same two seconds: stall times and context
/// switches.
fn siblings() -> Result {
    let arena = Cgroup::arena("siblings")?;
    let cgroup = arena.child("in")?;
    let (recording, facts) = record(&[&cgroup], || {
        Program::start(Some(&cgroup), &[&BUSY[..], &["--threads", "2"]].concat())?.end()
    })?;
    let row = recording.row(cgroup.path())?;
    row.agrees_with_usage()?;
    let run_queue = row.ns("run_queue")? - row.strangers_ns();
    let delayed = row.delayed_ns("siblings", None);
    ensure!(
        delayed >= run_queue / 100 * 95,
        "{delayed} ns of {run_queue} ns by siblings: {}",
        row.describe()
    );
    close_ns(
        "delay by siblings",
        delayed,
        row.on_cpu_ns()?,
        tolerance(0.03, 0.15),
        20_000_000,
    )?;
    at_most_5_percent_unknown(row)?;
    let wall = facts.get("wall_ns")? / 2;
    if row.is_available("psi") {
        // One of the two waits all the time, and the other runs.
        close_ns(
            "cpu.pressure, some",
            row.number("psi/cpu/some_ns")?,
            wall,
            tolerance(0.05, 0.25),
            0,
        )?;
        close_ns(
            "cpu.pressure, full",
            row.number("psi/cpu/full_ns")?,
            0,
            0.0,
            wall / 20,
        )?;
    }
    let switches = row.number("voluntary_switches")? + row.number("involuntary_switches")?;
    let counted = row.number("counters/context_switches")?;
    ensure!(
        counted.abs_diff(switches) <= 10 + switches / if emulated() { 10 } else { 100 },
        "{switches} switches in the ledger, {counted} by perf"
    );
    let faults = row.number("counters/page_faults")?;
    ensure!(
        (50..20_000).contains(&faults),
        "{faults} page faults of a process that starts and ends"
    );
    Ok(())
}

/// A process in no container, seen from a chosen container and from the whole host.
fn host() -> Result {
    let cgroup = Cgroup::new("victim")?;
    for chosen in [&[&cgroup][..], &[]] {
        let (recording, facts) = record(chosen, || {
            let soon = soon().to_string();
            let args = [&BUSY[..], &["--at", &soon]].concat();
            let other = Program::start(None, &args)?;
            let facts = Program::start(Some(&cgroup), &args)?.end()?;
            other.end()?;
            Ok(facts)
        })?;
        let row = recording.row(cgroup.path())?;
        let run_queue = row.ns("run_queue")?;
        let delayed = row.delayed_ns("host", None);
        ensure!(
            delayed >= run_queue / 100 * 90,
            "{delayed} ns of {run_queue} ns by the host: {}",
            row.describe()
        );
        // As long as the kernel says. How long that is depends on when the two got going.
        row.agrees_with_schedstat(facts.get("delay_ns")?, 5_000_000)?;
        let wall = facts.get("wall_ns")?;
        ensure!(
            run_queue >= wall / 20,
            "it waited for {run_queue} ns of {wall} ns only"
        );
        at_most_5_percent_unknown(row)?;
        row.agrees_with_usage()?;
    }
    Ok(())
}
