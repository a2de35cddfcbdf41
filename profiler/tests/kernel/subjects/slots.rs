//! Slots of cgroups: a container that creates any number of cgroups keeps nobody else from a row.

use std::fs;
use std::time::Duration;

use libtest_mimic::Trial;

use super::output;
use crate::harness::agent::Agent;
use crate::harness::cgroup::Cgroup;
use crate::harness::ctprof::Ctprof;
use crate::harness::needs::privileged;
use crate::harness::program::Program;
use crate::harness::{Result, close_ns, emulated, ensure, tolerance, wait_for};

/// A container's cgroup, by its name.
const ID: &str = "5107fe5215765b75d118956d04673775e556590714c3bdaa76c21f888cb4a2cc";
/// Slots that one may have, of those that are there at the start, and of those that are for newborns: `SHARE` in
/// `collect/shares.rs`.
const SHARE: u64 = 512;

pub(super) fn trials() -> Vec<Trial> {
    vec![
        privileged("slots::one_container_with_many_cgroups", one_container),
        privileged("slots::twenty_thousand_cgroups", very_many),
        privileged("slots::a_cgroup_is_tried_again", again),
    ]
}

/// So many cgroups below one, in the hierarchy of the cpu controller alone.
fn fill(parent: &Cgroup, prefix: char, count: usize) -> Result {
    for number in 0..count {
        fs::create_dir(parent.folder().join(format!("{prefix}{number:05}")))?;
    }
    Ok(())
}

/// Burns CPU there; how much.
fn burn(cgroup: &Cgroup, ms: &str) -> Result<u64> {
    Program::start(Some(cgroup), &["burn", "--ms", ms])?
        .end()?
        .get("cpu_ns")
}

/// What is beyond its share counts as the container, and is counted; others have rows, those born later, too.
fn one_container() -> Result {
    let arena = Cgroup::arena("slots")?;
    let hostile = arena.child(ID)?;
    fill(&hostile, 'c', 1_500)?;
    // Listed by name.
    let last = hostile.child("z")?;
    let neighbour = arena.child("neighbour")?;
    let (_folder, dir) = output()?;
    let args = ["--duration", "120s", "--no-stacks"];
    let mut ctprof = Ctprof::record(&dir, &args).start()?;
    ctprof.wait_until_attached()?;
    fill(&hostile, 'd', 600)?;
    let newborn = hostile.child("y")?;
    let late = arena.child("late")?;
    let in_hostile = burn(&last, "700")? + burn(&newborn, "700")?;
    let (in_neighbour, in_late) = (burn(&neighbour, "400")?, burn(&late, "400")?);
    let recording = ctprof.stop(&dir)?;
    let beyond = (1_501 - SHARE) + (601 - SHARE);
    let lost = recording.lost("subtree_full");
    ensure!(lost == beyond, "{lost} of {beyond} were counted");
    ensure!(recording.lost("scope_full") == 0, "slots ran out");
    for (cgroup, truth) in [
        (&hostile, in_hostile),
        (&neighbour, in_neighbour),
        (&late, in_late),
    ] {
        let seen = recording.row(cgroup.path())?.on_cpu_ns()?;
        // Starting and ending the programs is in none of their own figures.
        close_ns(cgroup.path(), seen, truth, tolerance(0.02, 0.1), 40_000_000)?;
    }
    Ok(())
}

/// A recording and an agent begin, and give each its row that has a share.
fn very_many() -> Result {
    let arena = Cgroup::new("slots-many")?;
    let count = if emulated() { 1_000 } else { 20_000 };
    fill(&arena, 'c', count)?;
    // Found in time, whatever else there is.
    let last = Cgroup::new("slots-beside")?;
    let (_folder, dir) = output()?;
    let mut ctprof = Ctprof::record(&dir, &["--duration", "300s", "--no-stacks"]).start()?;
    ctprof.wait_until_attached()?;
    let truth = burn(&last, "400")?;
    let recording = ctprof.stop(&dir)?;
    let seen = recording.row(last.path())?.on_cpu_ns()?;
    close_ns("on the CPU", seen, truth, tolerance(0.02, 0.1), 40_000_000)?;
    // A quarter of all slots is the share of cgroups that are rows.
    let beyond = count.saturating_sub(8_192) as u64;
    let lost = recording.lost("subtree_full");
    ensure!(lost == beyond, "{lost} of {beyond} were counted");
    let agent = Agent::start(&["--by", "cgroup"])?;
    let lost = agent
        .scrape()?
        .get("ctprof_lost_events_total", &["cause=\"subtree_full\""])?;
    ensure!((lost - beyond as f64).abs() < 0.5, "{lost} of {beyond}");
    agent.end()?;
    Ok(())
}

/// Where others of its container have gone, a cgroup that found no slot gets one, with the threads that it has.
fn again() -> Result {
    let arena = Cgroup::arena("slots-again")?;
    let hostile = arena.child(ID)?;
    fill(&hostile, 'c', 600)?;
    let last = hostile.child("z")?;
    let program = Program::start(Some(&last), &["burn", "--ms", "600000"])?;
    let agent = Agent::start(&["--by", "cgroup"])?;
    let label = format!("cgroup=\"{}\"", last.path());
    let first = agent.scrape()?;
    let beyond = (601 - SHARE) as f64;
    let lost = first.get("ctprof_lost_events_total", &["cause=\"subtree_full\""])?;
    ensure!((lost - beyond).abs() < 0.5, "{lost} instead of {beyond}");
    ensure!(
        first.find("ctprof_threads", &[&label]).next().is_none(),
        "it has a slot"
    );
    for number in 0..200 {
        fs::remove_dir(hostile.folder().join(format!("c{number:05}")))?;
    }
    let mut last_scrape = first;
    wait_for("the cgroup's own row", || {
        std::thread::sleep(Duration::from_millis(500));
        let next = agent.scrape()?;
        next.grew_from(&last_scrape)?;
        last_scrape = next;
        let threads = last_scrape.sum("ctprof_threads", &[&label]);
        let on_cpu = last_scrape.sum("ctprof_on_cpu_seconds_total", &[&label]);
        Ok((threads > 0.5 && on_cpu > 0.0).then_some(()))
    })?;
    let lost = last_scrape.get("ctprof_lost_events_total", &["cause=\"subtree_full\""])?;
    ensure!((lost - beyond).abs() < 0.5, "{lost} instead of {beyond}");
    program.kill()?;
    agent.end()?;
    Ok(())
}
