//! Where the time of real containers went, by their names.

use std::time::Duration;

use libtest_mimic::Trial;
use tempfile::TempDir;

use crate::containers::{burn, image, workload};
use crate::daemon::{Container, docker, with_docker};
use crate::harness::ctprof::Ctprof;
use crate::harness::program::now_ns;
use crate::harness::recording::Recording;
use crate::harness::{Result, close_ns, ensure};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        with_docker("ledger::throttled_by_its_own_limit", throttled),
        with_docker("ledger::delayed_by_a_neighbour", delayed),
        with_docker("ledger::paused", paused),
        with_docker("ledger::comes_and_goes", comes_and_goes),
    ]
}

/// Records the containers with these names for three seconds, while `act` runs.
fn record(names: &[&str], act: impl FnOnce() -> Result) -> Result<Recording> {
    let folder = TempDir::new()?;
    let dir = folder.path().join("recording");
    let mut ctprof = Ctprof::record(&dir, &["--duration", "3s"]);
    for name in names {
        ctprof = ctprof.arg("--container").arg(name);
    }
    let mut ctprof = ctprof.start()?;
    ctprof.wait_until_attached()?;
    act()?;
    let recording = ctprof.finish()?.recording(&dir)?;
    recording.check()?;
    Ok(recording)
}

/// Two busy threads under 0.3 CPU: the third one waits for both.
fn throttled() -> Result {
    image()?;
    let container = [&["--cpus=0.3"], &burn("60000")[..]].concat();
    let _limited = Container::run("limited", &container)?;
    let recording = record(&["limited"], || Ok(()))?;
    let row = recording.row_named("limited")?;
    let window = recording.window_ns()?;
    // Others may leave it less than its limit: how much it had, the kernel says.
    let (on_cpu, limit) = (row.on_cpu_ns()?, window / 10 * 3);
    ensure!(
        on_cpu <= limit / 100 * 106 + 30_000_000,
        "on the CPU for {on_cpu} ns of {limit} ns that its limit allows"
    );
    close_ns("thread time", row.thread_time_ns()?, 3 * window, 0.001, 0)?;
    close_ns("blocked", row.blocked_ns(), window, 0.01, 0)?;
    let (throttled, waited) = (row.ns("throttled")?, row.ns("run_queue")?);
    ensure!(
        throttled + row.strangers_ns() >= window && waited <= window / 2 + row.strangers_ns(),
        "throttled for {throttled} ns: {}",
        row.describe()
    );
    row.agrees_with_usage()
}

/// Two containers on one CPU: each has the other one's name in its row.
fn delayed() -> Result {
    image()?;
    let args = workload(&["burn", "--ms", "60000"]);
    let container = [&["--cpuset-cpus=1"], &args[..]].concat();
    let _victim = Container::run("victim", &container)?;
    let _noisy = Container::run("noisy", &container)?;
    let recording = record(&["victim", "noisy"], || Ok(()))?;
    for (victim, culprit) in [("victim", "noisy"), ("noisy", "victim")] {
        let row = recording.row_named(victim)?;
        let waited = row.ns("run_queue")?;
        let run_queue = waited - row.strangers_ns();
        let delayed = row.delayed_ns("container", Some(culprit));
        // What has no name is a part of all waiting, that for strangers included.
        ensure!(
            delayed + waited / 20 >= run_queue,
            "{victim} delayed by {culprit} for {delayed} ns of {run_queue} ns: {}",
            row.describe()
        );
        let ran = recording.row_named(culprit)?.on_cpu_ns()?;
        close_ns("its time on the CPU", delayed, ran, 0.03, 20_000_000)?;
    }
    Ok(())
}

/// A paused container is neither asleep nor waiting for a CPU.
fn paused() -> Result {
    image()?;
    let _container = Container::run("still", &workload(&["burn", "--ms", "60000"]))?;
    let mut before = 0;
    let recording = record(&["still"], || {
        let start = now_ns();
        docker(&["pause", "still"])?;
        std::thread::sleep(Duration::from_millis(1000));
        docker(&["unpause", "still"])?;
        before = now_ns() - start;
        Ok(())
    })?;
    let row = recording.row_named("still")?;
    let other = row.ns("blocked_other")?;
    // The main thread waits for the busy one; where the freezer leaves sleepers asleep, it still does.
    ensure!(
        other >= 990_000_000 && other <= 2 * before + 50_000_000,
        "paused for 1 to {} s: {}",
        before as f64 / 1e9,
        row.describe()
    );
    let worked = row.on_cpu_ns()? + row.ns("run_queue")?;
    let rest = recording.window_ns()?.saturating_sub(1_000_000_000);
    ensure!(
        worked <= rest,
        "it worked for {worked} ns while it was paused"
    );
    Ok(())
}

/// More than runc's init has, which is a program in Go, and the container's main thread.
const RUNTIME_THREADS: u64 = 10;

/// Everything is recorded; a container is started and has ended meanwhile.
fn comes_and_goes() -> Result {
    image()?;
    let (mut lived, mut docker_ns) = (0, 0);
    let recording = record(&[], || {
        let begin = now_ns();
        let args = workload(&["lives", "--threads", "20", "--life", "500", "--ms", "300"]);
        let _container = Container::run("brief", &args)?;
        docker(&["wait", "brief"])?;
        docker_ns = now_ns() - begin;
        let log = docker(&["logs", "brief"])?;
        let line = log.lines().find_map(|line| line.strip_prefix("lived_ns "));
        lived = line.ok_or("no lifetime in the log")?.parse()?;
        Ok(())
    })?;
    let row = recording.row_named("brief")?;
    // Its main thread lives for 0.8 s, and the runtime prepares the container with threads of its own, none of which
    // lives for longer than docker has to do with it.
    let thread_time = row.thread_time_ns()?;
    ensure!(
        thread_time >= lived + 800_000_000 && thread_time <= lived + RUNTIME_THREADS * docker_ns,
        "its threads lived for {lived} ns by their own account: {}",
        row.describe()
    );
    ensure!(
        row.number("threads_born")? >= 21
            && row.number("threads_born")? == row.number("threads_exited")?,
        "{} threads came, {} left",
        row.number("threads_born")?,
        row.number("threads_exited")?
    );
    Ok(())
}
