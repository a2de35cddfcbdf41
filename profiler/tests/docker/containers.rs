//! Containers by name, id and prefix; containers that begin and end while ctprof looks.

use libtest_mimic::Trial;
use serde_json::Value;
use tempfile::TempDir;

use crate::daemon::{Container, docker, with_docker};
use crate::harness::ctprof::Ctprof;
use crate::harness::{Result, close, ensure, expected, frequency, sample_tolerance, this_workload};
use crate::image;

pub(super) fn trials() -> Vec<Trial> {
    vec![
        with_docker("containers::ps_knows_name_image_and_quota", ps),
        with_docker("containers::by_name_and_id_prefix", by_name_and_prefix),
        with_docker("containers::born_while_recording", born_while_recording),
        with_docker("containers::that_share_a_namespace_are_a_row", sharing),
        with_docker(
            "containers::another_of_the_same_name",
            another_of_the_same_name,
        ),
        with_docker("containers::gone_before_the_end", gone_before_the_end),
        with_docker("containers::unknown_name_offers_the_nearest", unknown_name),
    ]
}

pub(crate) const IMAGE: &str = "ctprof-test/workload:1";
pub(crate) const WORKLOAD: &str = "/bin/workload";

/// An image with the kernel tests' workload in it.
pub(crate) fn image() -> Result {
    image::make(IMAGE, &[(&this_workload()?, WORKLOAD)])
}

/// Arguments of `docker run` for a workload.
pub(crate) fn workload<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["--network=none", IMAGE, WORKLOAD, "workload"], args].concat()
}

/// Arguments of `docker run` for `ms` of two busy threads.
pub(crate) fn burn(ms: &str) -> Vec<&str> {
    workload(&["burn", "--threads", "2", "--ms", ms])
}

fn ps() -> Result {
    image()?;
    let container = Container::run("shop", &[&["--cpus=0.5"], &burn("60000")[..]].concat())?;
    let finished = Ctprof::new(&["ps", "--format", "json"]).run()?;
    finished.expect_code(0)?;
    let all: Value = serde_json::from_str(&finished.stdout)?;
    let id = container.id()?;
    let row = all["containers"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|row| row["id"] == id.as_str())
        .ok_or_else(|| format!("{id} is not in {all}"))?;
    for (key, expected) in [
        ("name", Value::from("shop")),
        ("runtime", Value::from("docker")),
        ("image", Value::from(IMAGE)),
        ("cpu_quota_cores", Value::from(0.5)),
        // The workload's own thread and the two busy ones.
        ("threads", Value::from(3)),
    ] {
        ensure!(
            row[key] == expected,
            "{key} is {} instead of {expected}",
            row[key]
        );
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn by_name_and_prefix() -> Result {
    image()?;
    let container = Container::run("shop", &burn("60000"))?;
    let neighbour = Container::run("neighbour", &burn("60000"))?;
    let prefix: String = container.id()?.chars().take(10).collect();
    for target in ["shop", &prefix] {
        let folder = TempDir::new()?;
        let dir = folder.path().join("recording");
        let hertz = frequency().to_string();
        let args = [
            "--duration",
            "2s",
            "--frequency",
            &hertz,
            "--container",
            target,
        ];
        let recording = Ctprof::record(&dir, &args).run()?.recording(&dir)?;
        let samples = recording.samples_of("shop")?;
        // The kernel's own account of the same window, whatever share of the CPUs the container got.
        let used = recording.summary["containers"][0]["cfs"]["usage_ns"].as_u64();
        let truth = expected(frequency(), used.ok_or("no usage in the summary")?);
        close("samples", samples as f64, truth, 0.08)?;
        recording.check()?;
        recording.row_named("shop")?.agrees_with_usage()?;
        ensure!(
            recording.samples() == samples,
            "samples outside of the target"
        );
    }
    drop(neighbour);
    Ok(())
}

/// Everything is recorded, the container begins later: it has its name, and its samples are complete.
#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn born_while_recording() -> Result {
    image()?;
    let folder = TempDir::new()?;
    let dir = folder.path().join("recording");
    let hertz = frequency().to_string();
    let mut ctprof =
        Ctprof::record(&dir, &["--duration", "120s", "--frequency", &hertz]).start()?;
    ctprof.wait_until_attached()?;
    let container = Container::run("late", &burn("3000"))?;
    let used = logged_cpu_ns("late")?;
    drop(container);
    let recording = ctprof.stop(&dir)?;
    let samples = recording.samples_of("late")?;
    let truth = expected(frequency(), used);
    // The runtime's own start inside the container's cgroup comes on top of what the workload knows of.
    close("samples", samples as f64, truth, sample_tolerance() + 0.03)?;
    let alpha = recording.folded.with("alpha");
    ensure!(
        alpha > 0,
        "the container is gone, and alpha has lost its name"
    );
    Ok(())
}

/// CPU time that a workload's container has logged.
fn logged_cpu_ns(name: &str) -> Result<u64> {
    docker(&["wait", name])?;
    let log = docker(&["logs", name])?;
    let line = log.lines().find_map(|line| line.strip_prefix("cpu_ns "));
    Ok(line.ok_or("no CPU time in the log")?.parse()?)
}

/// By network namespace, two containers that share one are a row with both their names and the sum of their times.
#[allow(clippy::cast_precision_loss, reason = "times are far below 2^52 ns")]
fn sharing() -> Result {
    image()?;
    let folder = TempDir::new()?;
    let dir = folder.path().join("recording");
    let args = ["--duration", "120s", "--by", "netns"];
    let mut ctprof = Ctprof::record(&dir, &args).start()?;
    ctprof.wait_until_attached()?;
    let owner = Container::run("netowner", &burn("3000"))?;
    let guest = [
        &["--network=container:netowner", IMAGE, WORKLOAD, "workload"],
        &["burn", "--ms", "1000"][..],
    ];
    let guest = Container::run("netguest", &guest.concat())?;
    let truth = logged_cpu_ns("netguest")? + logged_cpu_ns("netowner")?;
    drop((owner, guest));
    let recording = ctprof.stop(&dir)?;
    recording.check()?;
    let row = recording.row_whose_name_has("(netguest, netowner)")?;
    close(
        "time on the CPU",
        row.on_cpu_ns()? as f64,
        truth as f64,
        0.06,
    )?;
    ensure!(
        row.name().starts_with("netns 4026"),
        "it is called {}",
        row.name()
    );
    Ok(())
}

/// A container is killed, removed and made anew, then started once more: all of it is meant by its name.
#[allow(clippy::cast_precision_loss, reason = "times are far below 2^52 ns")]
fn another_of_the_same_name() -> Result {
    image()?;
    let folder = TempDir::new()?;
    let dir = folder.path().join("recording");
    let first = Container::run("again", &burn("60000"))?;
    let mut ctprof =
        Ctprof::record(&dir, &["--duration", "120s", "--container", "again"]).start()?;
    ctprof.wait_until_attached()?;
    drop(first);
    let second = Container::run("again", &burn("1000"))?;
    docker(&["wait", "again"])?;
    docker(&["start", "again"])?;
    docker(&["wait", "again"])?;
    // Both runs have written to it.
    let used = docker(&["logs", "again"])?;
    let used: Vec<u64> = used
        .lines()
        .filter_map(|line| line.strip_prefix("cpu_ns ")?.parse().ok())
        .collect();
    ensure!(used.len() == 2, "{} runs in the log", used.len());
    let id = second.id()?;
    drop(second);
    let recording = ctprof.stop(&dir)?;
    recording.check()?;
    let row = recording.row_with_id(&id)?;
    let truth: u64 = used.iter().sum();
    close(
        "time on the CPU",
        row.on_cpu_ns()? as f64,
        truth as f64,
        0.06,
    )?;
    ensure!(
        row.number("samples")? > 0,
        "its stacks were not taken from its birth on"
    );
    Ok(())
}

fn gone_before_the_end() -> Result {
    image()?;
    let folder = TempDir::new()?;
    let dir = folder.path().join("recording");
    let container = Container::run("short", &burn("60000"))?;
    let mut ctprof =
        Ctprof::record(&dir, &["--duration", "120s", "--container", "short"]).start()?;
    ctprof.wait_until_attached()?;
    std::thread::sleep(std::time::Duration::from_secs(1));
    drop(container);
    let recording = ctprof.finish()?.recording(&dir)?;
    let seconds = recording.seconds()?;
    ensure!(
        seconds < 60.0,
        "went on for {seconds} s after its only target was gone"
    );
    let samples = recording.samples_of("short")?;
    // How much of that second it got is up to the machine's other work.
    ensure!(
        samples > 0,
        "no samples of a container that was busy for a second"
    );
    Ok(())
}

fn unknown_name() -> Result {
    image()?;
    let _container = Container::run("shop", &burn("60000"))?;
    let finished = Ctprof::new(&["record", "--container", "shpo"]).run()?;
    finished.expect_code(3)?;
    ensure!(
        finished.stderr.contains("shop"),
        "no hint in: {}",
        finished.stderr
    );
    Ok(())
}
