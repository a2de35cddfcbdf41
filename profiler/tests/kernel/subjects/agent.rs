//! The ledger while it goes on: read at any moment, through cgroups that come and go, as Prometheus reads it.

use std::thread::sleep;
use std::time::Duration;

use libtest_mimic::Trial;

use super::soon;
use crate::harness::agent::{Agent, Scrape, container};
use crate::harness::cgroup::Cgroup;
use crate::harness::needs::privileged;
use crate::harness::program::{Program, now_ns};
use crate::harness::{Result, close, ensure, tolerance, wait_for};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        privileged("agent::a_quota_between_two_scrapes", quota),
        privileged("agent::neighbours_between_two_scrapes", neighbours),
        privileged("agent::born_and_gone_between_two_scrapes", between),
        privileged("agent::a_later_neighbour_gets_a_name", turns),
        privileged(
            "agent::counters_of_the_kernel_begin_at_0_and_never_fall",
            restarts,
        ),
    ]
}

/// Waits until a moment of the monotonic clock.
fn until(ns: u64) {
    sleep(Duration::from_nanos(ns.saturating_sub(now_ns())));
}

/// How much a sum has grown.
fn grown(scrapes: &[Scrape; 2], name: &str, labels: &[&str]) -> f64 {
    scrapes[1].sum(name, labels) - scrapes[0].sum(name, labels)
}

/// How much the time of all threads of a container has grown, in all states.
fn all_states(scrapes: &[Scrape; 2], labels: &[&str]) -> f64 {
    ["on_cpu", "run_queue", "throttled", "blocked"]
        .iter()
        .map(|state| grown(scrapes, &format!("ctprof_{state}_seconds_total"), labels))
        .sum()
}

#[allow(clippy::cast_precision_loss, reason = "2^52 ns are 52 days")]
fn seconds_between(scrapes: &[Scrape; 2]) -> f64 {
    (scrapes[1].asked_ns - scrapes[0].asked_ns) as f64 / 1e9
}

/// Two scrapes, so many milliseconds apart, while the workload runs.
fn two_scrapes(agent: &Agent, begin_ns: u64, ms: u64) -> Result<[Scrape; 2]> {
    until(begin_ns + 700_000_000);
    let first = agent.scrape()?;
    sleep(Duration::from_millis(ms));
    let second = agent.scrape()?;
    second.grew_from(&first)?;
    Ok([first, second])
}

/// Three threads that could always run, and one that sleeps until they end: nothing of it ends between the scrapes.
fn quota() -> Result {
    let agent = Agent::start(&[])?;
    let arena = Cgroup::arena("agent-quota")?;
    let cgroup = arena.child("in")?;
    cgroup.limit(0.3)?;
    let begin = soon();
    let at = begin.to_string();
    let burn = ["burn", "--threads", "3", "--ms", "5000", "--at", &at];
    let program = Program::start(Some(&cgroup), &burn)?;
    let scrapes = two_scrapes(&agent, begin, 3_500)?;
    let container = container(cgroup.path());
    let labels = [container.as_str()];
    let window = seconds_between(&scrapes);
    ensure!(
        (scrapes[1].get("ctprof_threads", &labels)? - 4.0).abs() < 0.1,
        "{} threads instead of 4",
        scrapes[1].get("ctprof_threads", &labels)?
    );
    ensure!(
        (scrapes[1].get("ctprof_cpu_quota_cores", &labels)? - 0.3).abs() < 0.001,
        "the quota is not 0.3"
    );
    // A wait counts when it is over: one of each thread may be in progress at either end, for a period of the quota.
    let slack = 0.3 / (window * 4.0);
    close(
        "all states",
        all_states(&scrapes, &labels),
        window * 4.0,
        slack + tolerance(0.01, 0.15),
    )?;
    let on_cpu = grown(&scrapes, "ctprof_on_cpu_seconds_total", &labels);
    close("on CPU", on_cpu, window * 0.3, tolerance(0.08, 0.4))?;
    // It computes; most of the time a quota has it stopped when somebody looks. An emulated kernel takes its share.
    let computing = [labels[0], "mode=\"user\""];
    let user = grown(&scrapes, "ctprof_on_cpu_seconds_total", &computing);
    ensure!(
        user > on_cpu * tolerance(0.85, 0.5),
        "user time {user} of {on_cpu}"
    );
    let sleeping = [labels[0], "reason=\"lock\""];
    let slept = grown(&scrapes, "ctprof_blocked_seconds_total", &sleeping);
    close("asleep", slept, window, tolerance(0.01, 0.1))?;
    let waited = grown(&scrapes, "ctprof_run_queue_seconds_total", &labels);
    let stopped = grown(&scrapes, "ctprof_throttled_seconds_total", &labels);
    let rest = window * 3.0 - on_cpu - waited;
    close(
        "throttled",
        stopped,
        rest,
        0.3 / rest + tolerance(0.02, 0.2),
    )?;
    ensure!(
        stopped > waited * 3.0,
        "throttled {stopped}, run queue {waited}"
    );
    let periods = grown(&scrapes, "ctprof_cfs_throttled_periods_total", &labels);
    close(
        "throttled periods",
        periods,
        window * 10.0,
        tolerance(0.1, 0.3),
    )?;
    program.kill()?;
    agent.end()?;
    Ok(())
}

/// Two threads on one CPU: each waits while the other runs, and is told so by name.
fn neighbours() -> Result {
    let agent = Agent::start(&[])?;
    let arena = Cgroup::arena("agent-pair")?;
    let (victim, culprit) = (arena.child("victim")?, arena.child("culprit")?);
    let begin = soon();
    let at = begin.to_string();
    let burn = ["burn", "--cpu", "1", "--ms", "4000", "--at", &at];
    let programs = [
        Program::start(Some(&victim), &burn)?,
        Program::start(Some(&culprit), &burn)?,
    ];
    let scrapes = two_scrapes(&agent, begin, 2_500)?;
    let (victim, culprit) = (container(victim.path()), container(culprit.path()));
    let waited = grown(&scrapes, "ctprof_run_queue_seconds_total", &[&victim]);
    let ran = grown(&scrapes, "ctprof_on_cpu_seconds_total", &[&culprit]);
    let delayed = grown(&scrapes, "ctprof_delayed_by_seconds_total", &[&victim]);
    close("all delays", delayed, waited, 0.01)?;
    let by = culprit.replace("container=", "culprit=");
    let by_neighbour = grown(&scrapes, "ctprof_delayed_by_seconds_total", &[&victim, &by]);
    close(
        "delay by the neighbour",
        by_neighbour,
        ran,
        tolerance(0.05, 0.15),
    )?;
    // The histogram has the same waits.
    let sum = grown(&scrapes, "ctprof_run_queue_latency_seconds_sum", &[&victim]);
    close("sum of the histogram", sum, waited, tolerance(0.02, 0.1))?;
    for program in programs {
        program.kill()?;
    }
    agent.end()?;
    Ok(())
}

/// Burns for so long in a cgroup that is gone afterwards; the CPU time that it took, in seconds.
#[allow(clippy::cast_precision_loss, reason = "2^52 ns are 52 days")]
pub(super) fn burn_and_go(parent: &Cgroup, name: &str, ms: u64) -> Result<(String, f64)> {
    let cgroup = parent.child(name)?;
    let ms = ms.to_string();
    let facts = Program::start(Some(&cgroup), &["burn", "--ms", &ms])?.end()?;
    Ok((container(cgroup.path()), facts.get("cpu_ns")? as f64 / 1e9))
}

/// What comes and goes unseen is seen once, and stays in the totals.
fn between() -> Result {
    let agent = Agent::start(&["--linger", "1s"])?;
    let parent = Cgroup::new("agent-between")?;
    let before = agent.scrape()?;
    let (label, cpu) = burn_and_go(&parent, "short", 500)?;
    sleep(Duration::from_millis(600));
    let after = agent.scrape()?;
    after.grew_from(&before)?;
    ensure!(
        before
            .find("ctprof_on_cpu_seconds_total", &[&label])
            .next()
            .is_none(),
        "it was there before"
    );
    let seen = after.get("ctprof_on_cpu_seconds_total", &[&label])?;
    // Its CPU time was read before it ended.
    close("what is seen of it", seen, cpu, tolerance(0.04, 0.25))?;
    let total =
        |scrape: &Scrape| scrape.sum("ctprof_host_thread_seconds_total", &["state=\"on_cpu"]);
    ensure!(
        total(&after) - total(&before) >= seen,
        "the host's total grew by {} only",
        total(&after) - total(&before)
    );
    let mut last = after;
    for _ in 0..40 {
        sleep(Duration::from_millis(500));
        let next = agent.scrape()?;
        next.grew_from(&last)?;
        last = next;
        if last
            .find("ctprof_on_cpu_seconds_total", &[&label])
            .next()
            .is_none()
        {
            let ended = last.get("ctprof_groups_ended_total", &[])?;
            ensure!(ended >= 1.0, "no group has ended");
            agent.end()?;
            return Ok(());
        }
    }
    Err("its series never end".into())
}

/// What each row was delayed by is the time that it waited; what rows that are gone had, in seconds.
pub(super) fn adds_up(scrape: &Scrape) -> Result<f64> {
    const WAITED: &str = "ctprof_run_queue_seconds_total";
    for (series, waited) in scrape.find(WAITED, &[]) {
        let row = series[WAITED.len()..].trim_end_matches('}');
        let delayed: f64 = scrape
            .find("ctprof_delayed_by_seconds_total", &[])
            .filter(|(series, _)| series.contains(&format!("{row},culprit=")))
            .map(|(_, delayed)| delayed)
            .sum();
        ensure!(
            (waited - delayed).abs() < 1e-6,
            "{row} waited for {waited} s, by culprits {delayed} s"
        );
    }
    let rows: f64 = ["on_cpu", "run_queue", "throttled", "blocked"]
        .iter()
        .map(|state| scrape.sum(&format!("ctprof_{state}_seconds_total"), &[]))
        .sum();
    Ok(scrape.sum("ctprof_host_thread_seconds_total", &[]) - rows)
}

/// As many neighbours one after another as have places, and then one that is worse.
fn turns() -> Result {
    let agent = Agent::start(&["--top-culprits", "3"])?;
    let arena = Cgroup::arena("agent-turns")?;
    let victim = arena.child("victim")?;
    let burn = |ms| ["burn", "--cpu", "1", "--ms", ms];
    let program = Program::start(Some(&victim), &burn("600000"))?;
    let mut last = agent.scrape()?;
    for number in 0..4 {
        let early = arena.child(&format!("early-{number}"))?;
        Program::start(Some(&early), &burn("300"))?.end()?;
        sleep(Duration::from_millis(600));
        let next = agent.scrape()?;
        next.grew_from(&last)?;
        adds_up(&next)?;
        last = next;
    }
    let late = arena.child("late")?;
    let neighbour = Program::start(Some(&late), &burn("600000"))?;
    // Until it has its name, and then for long enough to measure.
    let (victim, late) = (container(victim.path()), container(late.path()));
    let by_late = late.replace("container=", "culprit=");
    let name = "ctprof_delayed_by_seconds_total";
    let named = wait_for("the late neighbour to be named", || {
        let next = agent.scrape()?;
        next.grew_from(&last)?;
        let is_named = next.find(name, &[&victim, &by_late]).next().is_some();
        Ok(is_named.then_some(next))
    })?;
    sleep(Duration::from_millis(2_500));
    let scrapes = [named, agent.scrape()?];
    scrapes[1].grew_from(&scrapes[0])?;
    adds_up(&scrapes[1])?;
    let ran = grown(&scrapes, "ctprof_on_cpu_seconds_total", &[&late]);
    let delayed = grown(&scrapes, name, &[&victim, &by_late]);
    close("delay by the late one", delayed, ran, tolerance(0.1, 0.2))?;
    for program in [program, neighbour] {
        program.kill()?;
    }
    agent.end()?;
    Ok(())
}

/// What `cpu.stat` of a cgroup has, in the order of its metrics.
fn periods(cgroup: &Cgroup) -> Result<f64> {
    let stat = std::fs::read_to_string(cgroup.folder().join("cpu.stat"))?;
    let line = stat
        .lines()
        .find_map(|line| line.strip_prefix("nr_periods "));
    Ok(line.ok_or("no nr_periods")?.trim().parse()?)
}

/// A cgroup that ran into its quota before the agent began, goes on, and is made anew at the same path.
fn restarts() -> Result {
    let parent = Cgroup::new("agent-restarts")?;
    let run = |cgroup: &Cgroup| -> Result<f64> {
        Program::start(Some(cgroup), &["burn", "--ms", "300"])?.end()?;
        // Its timer fires once more when nobody is there.
        sleep(Duration::from_millis(400));
        periods(cgroup)
    };
    let web = parent.child("web")?;
    web.limit(0.5)?;
    // Somebody who only sleeps: the row is there from the beginning.
    let asleep = Program::start(Some(&web), &["sleep", "--ms", "600000"])?;
    let before = run(&web)?;
    ensure!(before >= 3.0, "{before} periods");
    let agent = Agent::start(&[])?;
    let label = container(web.path());
    let told = |last: &mut Option<Scrape>| -> Result<f64> {
        // A reading is shared for half a second.
        sleep(Duration::from_millis(600));
        let scrape = agent.scrape()?;
        if let Some(last) = &last {
            scrape.grew_from(last)?;
        }
        let periods = scrape.get("ctprof_cfs_periods_total", &[&label])?;
        *last = Some(scrape);
        Ok(periods)
    };
    let mut last = None;
    let first = told(&mut last)?;
    ensure!(first < 0.5, "begins at {first}; the kernel says {before}");
    let after = run(&web)?;
    let second = told(&mut last)?;
    ensure!(
        (second - (after - before)).abs() < 0.5,
        "{second} instead of {after} less {before}"
    );
    asleep.kill()?;
    drop(web);
    let web = parent.child("web")?;
    web.limit(0.5)?;
    let anew = run(&web)?;
    let third = told(&mut last)?;
    ensure!(
        (third - (second + anew)).abs() < 0.5,
        "{third} instead of {second} and {anew}"
    );
    drop(web);
    let fourth = told(&mut last)?;
    ensure!((fourth - third).abs() < 0.5, "{fourth} after {third}");
    agent.end()?;
    Ok(())
}
