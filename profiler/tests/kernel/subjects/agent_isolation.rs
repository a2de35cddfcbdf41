//! What the agent says that isolation costs.

use std::time::Duration;

use libtest_mimic::Trial;

use crate::harness::agent::{Agent, container};
use crate::harness::cgroup::Cgroup;
use crate::harness::needs::privileged;
use crate::harness::program::Program;
use crate::harness::{Result, ensure, wait_for};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        privileged("agent_isolation::grows_with_what_is_charged", charged),
        privileged("agent_isolation::nothing_where_it_is_off", off),
    ]
}

const NAME: &str = "ctprof_isolation_cpu_seconds_total";

/// A program that has memory charged to its cgroup, over and over.
fn pages(cgroup: &Cgroup) -> Result<Program> {
    let program = ["operations", "--what", "pages", "--ms", "600000"];
    Program::start(Some(cgroup), &program)
}

fn charged() -> Result {
    let agent = Agent::start(&[])?;
    let cgroup = Cgroup::new("agent-isolation")?;
    let program = pages(&cgroup)?;
    let label = container(cgroup.path());
    let mut last = agent.scrape()?;
    let seen = wait_for("what its isolation costs", || {
        std::thread::sleep(Duration::from_millis(600));
        let next = agent.scrape()?;
        next.grew_from(&last)?;
        last = next;
        // Five samples.
        let seen = last.sum(NAME, &[&label]);
        Ok((seen > 0.25).then_some(seen))
    })?;
    let kernel = [label.as_str(), "mode=\"kernel\""];
    let kernel = last.get("ctprof_on_cpu_seconds_total", &kernel)?;
    ensure!(seen < kernel, "{seen} s of {kernel} s in the kernel");
    let lost = last.get("ctprof_lost_events_total", &["cause=\"isolation_dropped\""])?;
    ensure!(lost < 0.5, "{lost} samples lost");
    program.kill()?;
    agent.end()?;
    Ok(())
}

fn off() -> Result {
    let agent = Agent::start(&["--no-isolation"])?;
    let cgroup = Cgroup::new("agent-isolation-off")?;
    let program = pages(&cgroup)?;
    std::thread::sleep(Duration::from_secs(2));
    let scrape = agent.scrape()?;
    ensure!(
        scrape.find(NAME, &[]).next().is_none(),
        "{}",
        scrape.sum(NAME, &[])
    );
    program.kill()?;
    agent.end()?;
    Ok(())
}
