//! What is known of the containers, against what Prometheus knows.

use super::WINDOW;
use super::server::Now;
use crate::harness::{Result, ensure};

pub(super) fn check(now: &Now<'_>) -> Result {
    limited(now)?;
    neighbours(now)?;
    sleeper(now)?;
    brief(now)?;
    host(now)?;
    alerts(now)?;
    scrapes(now)
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

/// Two busy threads under a tenth of a CPU, which they get on a busy machine, too, and the one that waits for both.
fn limited(now: &Now<'_>) -> Result {
    let of = |name: &str| rate(now, name, "limited", "");
    near(
        "limited on CPU",
        of("ctprof_on_cpu_seconds_total")?,
        0.1,
        0.012,
    )?;
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
    // What else runs on the machine turns some of it into run queue.
    let throttled = of("ctprof_throttled_seconds_total")?;
    ensure!(
        throttled >= 0.8,
        "limited is throttled for {throttled} s a second"
    );
    let quota = now.value("ctprof_cpu_quota_cores{container=\"limited\"}")?;
    near("its quota", quota, 0.1, 1e-9)?;
    let used = now.value("ctprof:quota_used:ratio_rate5m{container=\"limited\"}")?;
    near("its use of the quota", used, 1.0, 0.1)?;
    let periods = of("ctprof_cfs_periods_total")?;
    near("periods a second", periods, 10.0, 0.7)?;
    let out = now.value("ctprof:throttled_periods:ratio_rate5m{container=\"limited\"}")?;
    near("periods in which it ran out", out, 1.0, 0.1)?;
    let threads = now.value("ctprof_threads{container=\"limited\"}")?;
    near("its threads", threads, 3.0, 0.0)
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
        let by_all = rate(now, "ctprof_delayed_by_seconds_total", victim, "")?;
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
            "topk(1, rate(ctprof_delayed_by_seconds_total{{container=\"{victim}\"}}[{WINDOW}]))"
        ))?;
        let worst: Vec<&String> = worst
            .iter()
            .filter_map(|it| it.metric.get("culprit"))
            .collect();
        ensure!(
            worst == [culprit],
            "{victim} is delayed by {worst:?} most of all"
        );
    }
    Ok(())
}

/// One thread that sleeps for a tenth of a second, again and again.
fn sleeper(now: &Now<'_>) -> Result {
    let asleep = rate(
        now,
        "ctprof_blocked_seconds_total",
        "sleeper",
        ", reason=\"sleep\"",
    )?;
    near("the sleeper asleep", asleep, 1.0, 0.03)?;
    let calls = rate(
        now,
        "ctprof_syscalls_total",
        "sleeper",
        ", syscall=\"nanosleep\"",
    )?;
    near("its sleeps a second", calls, 10.0, 0.6)?;
    let seconds = rate(
        now,
        "ctprof_syscall_seconds_sum",
        "sleeper",
        ", syscall=\"nanosleep\"",
    )?;
    near("its time in nanosleep", seconds, 1.0, 0.03)?;
    let short = ", syscall=\"nanosleep\", le=\"0.067108864\"";
    let short = rate(now, "ctprof_syscall_seconds_bucket", "sleeper", short)?;
    near("sleeps below 67 ms", short, 0.0, 0.0)
}

/// It lived for a tenth of a second, between two scrapes, and is still told.
fn brief(now: &Now<'_>) -> Result {
    let ran =
        now.value("sum(max_over_time(ctprof_on_cpu_seconds_total{container=\"brief\"}[1m]))")?;
    ensure!((0.05..1.0).contains(&ran), "brief ran for {ran} s");
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
    for (name, labels, expected) in [
        ("CtprofThrottled", ", container=\"limited\"", 1),
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
            ", culprit=~\"siblings|idle|other\"",
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
    // A machine that is busy with something else may miss one.
    let up = now.value(&format!("avg_over_time(up{{job=\"ctprof\"}}[{WINDOW}])"))?;
    near("scrapes that succeeded", up, 1.0, 0.1)
}
