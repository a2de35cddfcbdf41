//! What is known of the containers, against what Prometheus knows.

use super::WINDOW;
use super::meter::Used;
use super::server::Now;
use crate::harness::{Result, ensure};

/// `limited_used` is what the kernel says of the container of that name.
pub(super) fn check(now: &Now<'_>, limited_used: &Used) -> Result {
    scrapes(now)?;
    limited(now, limited_used)?;
    neighbours(now)?;
    sleeper(now)?;
    brief(now)?;
    host(now)?;
    alerts(now)
}

/// Per second, of one container.
fn rate(now: &Now<'_>, name: &str, container: &str, labels: &str) -> Result<f64> {
    now.value(&format!(
        "sum(rate({name}{{container=\"{container}\"{labels}}}[{WINDOW}]))"
    ))
}

fn near(what: &str, found: f64, expected: f64, tolerance: f64) -> Result {
    ensure!(
        (found - expected).abs() <= tolerance,
        "{what} is {found:.4}, expected {expected:.4} within {tolerance}"
    );
    println!("{what}: {found:.4} of {expected:.4}");
    Ok(())
}

fn all_states(now: &Now<'_>, container: &str) -> Result<f64> {
    Ok(rate(now, "ctprof_on_cpu_seconds_total", container, "")?
        + rate(now, "ctprof_run_queue_seconds_total", container, "")?
        + rate(now, "ctprof_throttled_seconds_total", container, "")?
        + rate(now, "ctprof_blocked_seconds_total", container, "")?)
}

/// Two busy threads under a tenth of a CPU, and the one that waits for both.
fn limited(now: &Now<'_>, used: &Used) -> Result {
    let of = |name: &str| rate(now, name, "limited", "");
    near(
        "limited in all states",
        all_states(now, "limited")?,
        3.0,
        0.06,
    )?;
    near(
        "limited blocked",
        of("ctprof_blocked_seconds_total")?,
        1.0,
        0.03,
    )?;
    near(
        "its threads",
        now.value("ctprof_threads{container=\"limited\"}")?,
        3.0,
        0.0,
    )?;
    let quota = now.value("ctprof_cpu_quota_cores{container=\"limited\"}")?;
    near("its quota", quota, 0.1, 1e-9)?;
    let ran = of("ctprof_on_cpu_seconds_total")?;
    // The kernel lets a quota be exceeded by up to a tick a period, and its clock of a thread stands while the
    // hypervisor has the CPU, so the quota alone does not tell how long it was on a CPU.
    let kernel = used.cores + used.stolen_cores / 2.0;
    let slack = 0.05 * used.cores + used.stolen_cores / 2.0;
    near("limited on CPU", ran, kernel, slack)?;
    near(
        "periods a second",
        of("ctprof_cfs_periods_total")?,
        10.0,
        0.7,
    )?;
    if is_disturbed(now)? {
        println!("limited is kept from its quota by what else runs on this machine");
        return Ok(());
    }
    let throttled = of("ctprof_throttled_seconds_total")?;
    ensure!(
        throttled >= 0.8,
        "limited is throttled for {throttled} s a second"
    );
    let used = now.value("ctprof:quota_used:ratio_rate5m{container=\"limited\"}")?;
    // Both were recorded at one moment, a little earlier.
    let recorded = now.value("ctprof:on_cpu:rate5m{container=\"limited\"}")?;
    near("its use of the quota", used, recorded / 0.1, 0.001)?;
    let out = now.value("ctprof:throttled_periods:ratio_rate5m{container=\"limited\"}")?;
    near("periods in which it ran out", out, 1.0, 0.25)
}

/// Whether the container with the quota hardly comes to use it up: others have its CPU.
fn is_disturbed(now: &Now<'_>) -> Result<bool> {
    let others = ", culprit!~\"siblings|idle|former\"";
    Ok(rate(now, "ctprof_delayed_by_seconds_total", "limited", others)? > 1.0)
}

/// Two busy threads on one CPU: whenever one runs, the other waits.
fn neighbours(now: &Now<'_>) -> Result {
    for (victim, culprit) in [("victim", "noisy"), ("noisy", "victim")] {
        let labels = format!(", culprit=\"{culprit}\"");
        let delayed = rate(now, "ctprof_delayed_by_seconds_total", victim, &labels)?;
        let ran = rate(now, "ctprof_on_cpu_seconds_total", culprit, "")?;
        near(
            &format!("{victim} delayed by {culprit}"),
            delayed,
            ran,
            0.04 * ran,
        )?;
        let by_all = rate(
            now,
            "ctprof_delayed_by_seconds_total",
            victim,
            ", culprit!=\"former\"",
        )?;
        let waited = rate(now, "ctprof_run_queue_seconds_total", victim, "")?;
        near(
            &format!("{victim} delayed by all"),
            by_all,
            waited,
            0.02 * waited,
        )?;
        near(
            &format!("{victim} in all states"),
            all_states(now, victim)?,
            2.0,
            0.04,
        )?;
        let worst = now.query(&format!(
            "topk(1, rate(ctprof_delayed_by_seconds_total{{container=\"{victim}\", culprit!~\"host|kernel|former\"}}[{WINDOW}]))"
        ))?;
        let worst: Vec<&String> = worst
            .iter()
            .filter_map(|it| it.metric.get("culprit"))
            .collect();
        ensure!(
            worst == [culprit],
            "{victim} is delayed by {worst:?} most of all containers"
        );
    }
    Ok(())
}

/// One thread that sleeps for a tenth of a second, again and again; on a busy machine it waits for a CPU in between.
fn sleeper(now: &Now<'_>) -> Result {
    let of = |name: &str, labels: &str| rate(now, name, "sleeper", labels);
    near(
        "sleeper in all states",
        all_states(now, "sleeper")?,
        1.0,
        0.02,
    )?;
    let asleep = of("ctprof_blocked_seconds_total", ", reason=\"sleep\"")?;
    ensure!(
        asleep > 0.5,
        "the sleeper is asleep for {asleep} s a second"
    );
    let blocked = of("ctprof_blocked_seconds_total", "")?;
    near(
        "its sleep, of all that it is blocked",
        asleep,
        blocked,
        0.005,
    )?;
    let calls = of("ctprof_syscalls_total", ", syscall=\"nanosleep\"")?;
    near("its sleeps a second", calls, 10.0 * asleep, 0.4)?;
    let seconds = of("ctprof_syscall_seconds_sum", ", syscall=\"nanosleep\"")?;
    near("its time in nanosleep", seconds, 1.0, 0.05)?;
    let short = ", syscall=\"nanosleep\", le=\"0.067108864\"";
    let short = of("ctprof_syscall_seconds_bucket", short)?;
    near("sleeps below 67 ms", short, 0.0, 0.0)
}

/// It lived for a tenth of a second, most of it on a CPU if the machine had one to spare, and is still told.
fn brief(now: &Now<'_>) -> Result {
    let ran =
        now.value("sum(max_over_time(ctprof_on_cpu_seconds_total{container=\"brief\"}[1m]))")?;
    ensure!((0.01..1.0).contains(&ran), "brief ran for {ran} s");
    let threads = now.query("ctprof_threads{container=\"brief\"} > 0")?;
    ensure!(threads.is_empty(), "brief has threads: {threads:?}");
    Ok(())
}

/// The host is the sum of its rows.
fn host(now: &Now<'_>) -> Result {
    let total = now.value(&format!(
        "sum(rate(ctprof_host_thread_seconds_total{{state=~\"on_cpu_.*\"}}[{WINDOW}]))"
    ))?;
    let rows = now.value(&format!("sum(rate(ctprof_on_cpu_seconds_total[{WINDOW}]))"))?;
    near("CPUs in use, of all rows", rows, total, 0.05 * total)?;
    let counting = now.value(&format!("rate(ctprof_counting_seconds_total[{WINDOW}])"))?;
    near("seconds of the agent's clock a second", counting, 1.0, 0.01)?;
    let maps = now.value("ctprof_map_memory_bytes")?;
    ensure!((1e6..200e6).contains(&maps), "the maps hold {maps} bytes");
    let lost = now.value(
        "sum(ctprof_lost_events_total{cause=~\"account_missing|delay_map_full|thread_untracked\"})",
    )?;
    near("lost", lost, 0.0, 0.0)
}

/// The alert that each of them is about, and about whom.
fn alerts(now: &Now<'_>) -> Result {
    let firing = |name: &str, labels: &str| {
        let query = format!("ALERTS{{alertname=\"{name}\", alertstate=\"firing\"{labels}}}");
        Ok::<_, libtest_mimic::Failed>(now.query(&query)?.len())
    };
    let throttled = usize::from(!is_disturbed(now)?);
    for (name, labels, expected) in [
        ("CtprofThrottled", ", container=\"limited\"", throttled),
        (
            "CtprofThrottled",
            ", container=~\"victim|noisy|sleeper\"",
            0,
        ),
        (
            "CtprofNoisyNeighbour",
            ", container=\"victim\", culprit=\"noisy\"",
            1,
        ),
        (
            "CtprofNoisyNeighbour",
            ", container=\"noisy\", culprit=\"victim\"",
            1,
        ),
        (
            "CtprofNoisyNeighbour",
            ", culprit=~\"siblings|idle|other|former\"",
            0,
        ),
        ("CtprofLimitReached", "", 0),
    ] {
        let found = firing(name, labels)?;
        ensure!(
            found == expected,
            "{found} of {name}{labels} instead of {expected}"
        );
    }
    Ok(())
}

/// Prometheus took all that was told, each series once.
fn scrapes(now: &Now<'_>) -> Result {
    // A machine that is busy with something else may miss one.
    let up = now.value(&format!("avg_over_time(up{{job=\"ctprof\"}}[{WINDOW}])"))?;
    near("scrapes that succeeded", up, 1.0, 0.1)?;
    let taken = now.value("scrape_samples_scraped{job=\"ctprof\"} - on () ctprof_series")?;
    near(
        "samples beside those that the agent counts",
        taken,
        0.0,
        0.0,
    )?;
    for name in ["duplicate_timestamp", "out_of_order", "out_of_bounds"] {
        let count = now.value(&format!("prometheus_target_scrapes_sample_{name}_total"))?;
        near(name, count, 0.0, 0.0)?;
    }
    Ok(())
}
