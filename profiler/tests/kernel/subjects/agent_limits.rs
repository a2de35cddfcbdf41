//! An agent at its limits: more cgroups than slots, more rows than are asked for.

use std::thread::sleep;
use std::time::Duration;

use libtest_mimic::Trial;

use super::agent::{adds_up, burn_and_go};
use crate::harness::agent::Agent;
use crate::harness::cgroup::Cgroup;
use crate::harness::needs::privileged;
use crate::harness::{Result, emulated, ensure, tolerance};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        privileged("agent_limits::slots_are_given_to_others", slots),
        privileged("agent_limits::rows_beyond_the_limit_only_grow", beyond),
    ]
}

/// More cgroups than slots, one batch after another: none has anything of one that had its slot before.
fn slots() -> Result {
    let agent = Agent::start(&["--linger", "10m", "--born-slots", "8"])?;
    let parent = Cgroup::new("agent-slots")?;
    let mut truth = Vec::new();
    let mut last = agent.scrape()?;
    for batch in 0..2 {
        for number in 0..7_u64 {
            let name = format!("{batch}-{number}");
            truth.push(burn_and_go(&parent, &name, 40 + number * 30)?);
        }
        // A slot is free some seconds after its cgroup went.
        for _ in 0..if emulated() { 30 } else { 14 } {
            sleep(Duration::from_millis(600));
            let next = agent.scrape()?;
            next.grew_from(&last)?;
            last = next;
        }
    }
    for (label, cpu) in &truth {
        let seen = last.get("ctprof_on_cpu_seconds_total", &[label])?;
        ensure!(
            (seen - cpu).abs() < tolerance(0.012, 0.15),
            "{label} has {seen} s instead of {cpu} s"
        );
    }
    let lost = last.get("ctprof_lost_events_total", &["cause=\"scope_full\""])?;
    ensure!(lost < 0.5, "{lost} cgroups found no slot");
    agent.end()?;
    Ok(())
}

/// Many short lives under a limit that all but a few find reached, and that do not linger.
fn beyond() -> Result {
    let agent = Agent::start(&["--max-containers", "4", "--linger", "1s"])?;
    let parent = Cgroup::new("agent-beyond")?;
    let other = ["container=\"other\""];
    let mut last = agent.scrape()?;
    let mut gone = adds_up(&last)?;
    let mut cpu = 0.0;
    for number in 0..24_u64 {
        cpu += burn_and_go(&parent, &number.to_string(), 60 + number * 5)?.1;
        sleep(Duration::from_millis(600));
        let next = agent.scrape()?;
        next.grew_from(&last)?;
        let before = last.sum("ctprof_on_cpu_seconds_total", &other);
        let now = next.sum("ctprof_on_cpu_seconds_total", &other);
        ensure!(now >= before, "`other` fell from {before} to {now}");
        let gone_now = adds_up(&next)?;
        // Sums of some hundred numbers, each exact to 16 digits.
        ensure!(
            gone_now >= gone - 1e-3,
            "rows that are gone had {gone} s, and have {gone_now} s"
        );
        (last, gone) = (next, gone_now);
    }
    let refused = last.get("ctprof_groups_refused_total", &[])?;
    ensure!(refused >= 1.0, "the limit was not reached");
    let total = last.sum("ctprof_host_thread_seconds_total", &["state=\"on_cpu"]);
    ensure!(
        total >= cpu,
        "{total} s on CPU of the host, {cpu} s of ours"
    );
    agent.end()?;
    Ok(())
}
