//! Values, types and limits.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ctprof::agent::metrics::table::{self, Source};
use ctprof::agent::metrics::{Format, Options, encode, group_labels};
use ctprof::agent::self_figures::SelfFigures;
use ctprof::model::{Grouping, Reading, Unavailable};
use libtest_mimic::Trial;
use rustix::time::{ClockId, clock_gettime};

use crate::Result;
use crate::promtool::{promtool, with_promtool};
use crate::reading::{large, small};
use crate::text::Exposed;

pub(super) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("exposition::values", values),
        Trial::test("exposition::every_metric_of_the_table", every_metric),
        Trial::test("exposition::counters_begin_at_zero", zeros),
        Trial::test("exposition::both_formats_say_the_same", formats),
        Trial::test("exposition::what_is_not_measured_is_absent", unavailable),
        Trial::test("exposition::limit_of_series", limit),
        Trial::test("exposition::a_thousand_rows_in_time", in_time),
        with_promtool("exposition::promtool_has_nothing_against_it", clean),
    ]
}

/// What a scrape of this reading gets.
pub(crate) fn scrape(reading: Reading, format: Format, options: &Options) -> String {
    encode(&Arc::new(reading), &own(), format, options)
}

fn own() -> SelfFigures {
    let mut own = SelfFigures::default();
    own.scraped(Duration::from_millis(2));
    own.requests.insert(("/metrics", 200), 7);
    own.profiles.insert("done", 3);
    own.looked = Some(Duration::from_secs(1_790_000_000));
    own
}

fn read(reading: Reading) -> Result<Exposed> {
    Exposed::read(&scrape(reading, Format::OpenMetrics, &Options::default()))
}

fn values() -> Result {
    let exposed = read(small())?;
    let web: &[(&str, &str)] = &[
        ("container", "web"),
        ("pod", "web-7f9c"),
        ("namespace", "shop"),
    ];
    let expect = |name: &str, labels: &[(&str, &str)], value: f64| -> Result {
        let found = exposed.value(name, &[web, labels].concat())?;
        if found.to_bits() != value.to_bits() {
            return Err(format!("{name} {labels:?} is {found}, not {value}").into());
        }
        Ok(())
    };
    expect("ctprof_on_cpu_seconds_total", &[("mode", "user")], 1.5)?;
    expect("ctprof_on_cpu_seconds_total", &[("mode", "kernel")], 3.0)?;
    expect("ctprof_run_queue_seconds_total", &[], 4.5)?;
    expect("ctprof_throttled_seconds_total", &[], 6.0)?;
    expect("ctprof_blocked_seconds_total", &[("reason", "disk")], 7.5)?;
    expect("ctprof_blocked_seconds_total", &[("reason", "other")], 19.5)?;
    expect(
        "ctprof_delayed_by_seconds_total",
        &[("culprit", "noisy")],
        3.0,
    )?;
    expect(
        "ctprof_context_switches_total",
        &[("kind", "voluntary")],
        1000.0,
    )?;
    expect(
        "ctprof_context_switches_total",
        &[("kind", "involuntary")],
        300.0,
    )?;
    expect("ctprof_cpu_migrations_total", &[], 17.0)?;
    expect("ctprof_threads", &[], 8.0)?;
    expect("ctprof_threads_started_total", &[], 10.0)?;
    expect("ctprof_threads_ended_total", &[], 2.0)?;
    expect("ctprof_cpu_quota_cores", &[], 0.5)?;
    expect("ctprof_cfs_periods_total", &[], 100.0)?;
    expect("ctprof_cfs_throttled_periods_total", &[], 41.0)?;
    expect("ctprof_cfs_throttled_seconds_total", &[], 3.21)?;
    let finding = &[("id", "quota"), ("severity", "critical")];
    expect("ctprof_finding", finding, 1.0)?;
    let pressure = "ctprof_pressure_seconds_total";
    expect(pressure, &[("resource", "cpu"), ("kind", "full")], 4.0)?;
    expect(pressure, &[("resource", "io"), ("kind", "some")], 0.002)?;
    expect("ctprof_syscalls_total", &[("syscall", "read")], 4.0)?;
    expect("ctprof_syscalls_total", &[("syscall", "i386:getpid")], 1.0)?;
    let errors = &[("syscall", "read"), ("errno", "EAGAIN")];
    expect("ctprof_syscall_errors_total", errors, 1.0)?;
    expect("ctprof_syscall_seconds_sum", &[("syscall", "read")], 0.002)?;

    let id = "c0ffee".repeat(10);
    let info = &[
        ("id", id.as_str()),
        ("image", "shop/web:1.4"),
        ("cgroup", "/docker/web"),
    ];
    expect("ctprof_container_info", info, 1.0)?;

    let latency = "ctprof_run_queue_latency_seconds_bucket";
    // 500 and 4,095 ns are below 4,096; 4,096 ns is not.
    expect(latency, &[("le", "0.000004096")], 2.0)?;
    expect(latency, &[("le", "0.000016384")], 3.0)?;
    expect(latency, &[("le", "0.001048576")], 4.0)?;
    expect(latency, &[("le", "1.073741824")], 4.0)?;
    expect(latency, &[("le", "4.294967296")], 5.0)?;
    expect(latency, &[("le", "+Inf")], 6.0)?;
    expect("ctprof_run_queue_latency_seconds_count", &[], 6.0)?;
    expect("ctprof_throttle_duration_seconds_sum", &[], 0.101)?;

    let total = |state| exposed.value("ctprof_host_thread_seconds_total", &[("state", state)]);
    assert_eq!((total("on_cpu_user")?, total("throttled")?), (7.0, 1e-9));
    let stolen = exposed.value("ctprof_host_stolen_seconds_total", &[("by", "interrupts")])?;
    assert_eq!(stolen, 2.5);
    assert_eq!(exposed.value("ctprof_counting_seconds_total", &[])?, 90.5);
    assert_eq!(exposed.value("ctprof_groups", &[])?, 3.0);
    assert_eq!(exposed.value("ctprof_groups_ended_total", &[])?, 5.0);
    let lost = exposed.value("ctprof_lost_events_total", &[("cause", "event_dropped")])?;
    assert_eq!(lost, 3.0);
    let view = exposed.value("ctprof_view_unavailable", &[("view", "throttled.exact")])?;
    assert_eq!(view, 1.0);
    let program: &[(&str, &str)] = &[("program", "sched_switch")];
    assert_eq!(exposed.value("ctprof_program_runs_total", program)?, 15.0);
    assert_eq!(
        exposed.value("ctprof_program_run_seconds_total", program)?,
        1e-5
    );
    assert_eq!(exposed.find("ctprof_program_runs_total", &[]).len(), 1);
    assert_eq!(exposed.value("ctprof_scrape_seconds_sum", &[])?, 0.002);
    let scrape = |le| exposed.value("ctprof_scrape_seconds_bucket", &[("le", le)]);
    assert_eq!((scrape("0.001")?, scrape("0.005")?), (0.0, 1.0));
    let page = [("page", "/metrics"), ("code", "200")];
    assert_eq!(exposed.value("ctprof_http_requests_total", &page)?, 7.0);
    let profiles = |outcome| exposed.value("ctprof_profiles_total", &[("outcome", outcome)]);
    assert_eq!((profiles("done")?, profiles("failed")?), (3.0, 0.0));
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(exposed.value("ctprof_build_info", &version)?, 1.0);
    Ok(())
}

/// Each metric is there, with its type, and with the labels that the table says and no other.
fn every_metric() -> Result {
    let exposed = read(small())?;
    let mut known = 0;
    for metric in table::all() {
        let of_row = match metric.source {
            Source::Group(_) | Source::View(_) => group_labels(Grouping::Container),
            Source::Host(_) | Source::Agent(_) => &[],
        };
        for name in metric.series_names() {
            let found = exposed.find(&name, &[]);
            // This process has no map.
            if name == "ctprof_map_memory_bytes" {
                assert!(found.is_empty(), "{found:?}");
                continue;
            }
            assert!(!found.is_empty(), "{name} is not exposed");
            known += found.len();
            for ((_, labels), _) in found {
                let mut expected: Vec<&str> = of_row.to_vec();
                expected.extend(metric.labels.iter().map(|label| label.name));
                expected.extend(name.ends_with("_bucket").then_some("le"));
                expected.sort_unstable();
                let found: Vec<&str> = labels.keys().map(String::as_str).collect();
                assert_eq!(found, expected, "{name}");
            }
        }
    }
    assert_eq!(known, exposed.series.len(), "something is in no table");
    let names: Vec<&str> = table::all().map(|metric| metric.name).collect();
    let distinct: std::collections::BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(names.len(), distinct.len(), "a name is there twice");
    for metric in table::all() {
        let plain = |text: &str| !text.contains(['\\', '"', '\n', '|']) && !text.ends_with('.');
        assert!(plain(metric.help), "{}: {}", metric.name, metric.help);
    }
    Ok(())
}

/// A row in which nothing happened has its counters, so that a rate sees what happens next.
fn zeros() -> Result {
    let exposed = read(small())?;
    let of = |name: &str| exposed.find(name, &[("container", "kernel")]);
    for (name, series) in [
        ("ctprof_on_cpu_seconds_total", 2),
        ("ctprof_run_queue_seconds_total", 1),
        ("ctprof_throttled_seconds_total", 1),
        ("ctprof_blocked_seconds_total", 9),
        ("ctprof_run_queue_latency_seconds_bucket", 17),
        ("ctprof_context_switches_total", 2),
        // No quota, and none of these was ever throttled.
        ("ctprof_throttle_duration_seconds_bucket", 0),
        ("ctprof_cpu_quota_cores", 0),
    ] {
        let found = of(name);
        assert_eq!(found.len(), series, "{name}: {found:?}");
        assert!(found.iter().all(|(_, value)| *value == 0.0), "{name}");
    }
    Ok(())
}

fn formats() -> Result {
    let modern = scrape(small(), Format::OpenMetrics, &Options::default());
    let classic = scrape(small(), Format::Text, &Options::default());
    assert!(modern.ends_with("\n# EOF\n"));
    assert!(!classic.contains("# EOF") && !classic.contains("# UNIT"));
    let (modern, classic) = (Exposed::read(&modern)?, Exposed::read(&classic)?);
    let names = |it: &Exposed| it.series.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&modern), names(&classic));
    assert_eq!(modern.types["ctprof_on_cpu_seconds"], "counter");
    assert_eq!(classic.types["ctprof_on_cpu_seconds_total"], "counter");
    assert_eq!(modern.types["ctprof_container"], "info");
    assert_eq!(classic.types["ctprof_container_info"], "gauge");
    assert_eq!(
        classic.types["ctprof_run_queue_latency_seconds"],
        "histogram"
    );
    // All but the memory of maps, of which this process has none.
    assert_eq!(modern.types.len() + 1, table::all().count());
    Ok(())
}

fn unavailable() -> Result {
    let mut reading = small();
    reading.total_ns.clear();
    reading.unavailable.push(Unavailable {
        view: ctprof::model::ViewId::THROTTLED,
        cause: "no clock".into(),
    });
    let exposed = read(reading)?;
    assert!(
        exposed
            .find("ctprof_throttled_seconds_total", &[])
            .is_empty()
    );
    let histogram = "ctprof_throttle_duration_seconds_bucket";
    assert!(exposed.find(histogram, &[]).is_empty());
    let states = exposed.find("ctprof_host_thread_seconds_total", &[]);
    assert_eq!(states.len(), 12, "{states:?}");
    assert_eq!(exposed.find("ctprof_view_unavailable", &[]).len(), 2);
    Ok(())
}

/// Whole rows are left out, those that are no container last, and both counts are exact.
fn limit() -> Result {
    let reading = large(50);
    let own = own();
    let all = encode(&reading, &own, Format::OpenMetrics, &Options::default());
    let all = Exposed::read(&all)?;
    let series = all.value("ctprof_series", &[])?;
    assert_eq!(series, all.series.len() as f64);
    assert_eq!(all.value("ctprof_series_dropped", &[])?, 0.0);

    let options = Options {
        max_series: 1_000,
        ..Options::default()
    };
    let some = encode(&reading, &own, Format::Text, &options);
    let some = Exposed::read(&some)?;
    let shown = some.value("ctprof_series", &[])?;
    assert_eq!(shown, some.series.len() as f64);
    assert!((900.0..=1_000.0).contains(&shown), "{shown}");
    assert_eq!(some.value("ctprof_series_dropped", &[])?, series - shown);
    let rows = some.find("ctprof_container_info", &[]).len();
    let dropped = some.value("ctprof_groups_dropped", &[])?;
    assert_eq!(rows as f64 + dropped, 53.0);
    for special in ["host", "kernel"] {
        let found = some.find("ctprof_container_info", &[("container", special)]);
        assert_eq!(found.len(), 1, "{special}");
    }
    for (series, value) in &some.series {
        let moves = series.0.starts_with("process_") || series.0 == "ctprof_series";
        if !moves && !series.0.contains("dropped") {
            assert_eq!(all.series.get(series), Some(value), "{series:?}");
        }
    }
    Ok(())
}

/// Rough: the budget with optimisation, far from it without.
fn in_time() -> Result {
    let reading = large(1_000);
    let budget = Duration::from_millis(if cfg!(debug_assertions) { 5_000 } else { 100 });
    for format in [Format::OpenMetrics, Format::Text] {
        let took = (0..3)
            .map(|_| {
                let started = clock_gettime(ClockId::ThreadCPUTime);
                let text = encode(&reading, &own(), format, &Options::default());
                // CPU time: another process that wants the CPU costs nothing of it.
                let took = clock_gettime(ClockId::ThreadCPUTime) - started;
                (Duration::try_from(took).unwrap_or_default(), text.len())
            })
            .min()
            .ok_or("no run")?;
        println!("{format:?}: {} ms, {} bytes", took.0.as_millis(), took.1);
        assert!(took.0 < budget, "{:?} for 1,000 rows", took.0);
    }
    Ok(())
}

fn clean() -> Result {
    let text = scrape(small(), Format::Text, &Options::default());
    promtool(Path::new("."), &["check", "metrics"], &text).map(drop)
}
