//! The report: what it says, and that it says the same again.

use ctprof::analysis::View;
use ctprof::model::{Latency, LatencyBucket, Ledger, Runtime, State, Unavailable, ViewId};
use ctprof::output;
use ctprof::output::report::{self, Options};
use ctprof::store::{self, RecordingDir};
use ctprof::views::syscalls::{Syscall, Syscalls};

use crate::golden::assert_golden;
use crate::synthetic;

pub(crate) fn text(view: &View, options: &Options<'_>) -> String {
    let mut out = Vec::new();
    report::print(view, options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_report_of_a_small_recording() {
    let (view, _) = View::of(&synthetic::small());
    assert_golden!("report", text(&view, &Options::default()));
    let one = Options {
        only: Some(&[0]),
        top: Some(2),
        ..Options::default()
    };
    assert_golden!("report.one", text(&view, &one));
}

#[test]
fn the_report_of_a_ledger() {
    let (view, _) = View::of(&synthetic::rich());
    assert_golden!("rich.report", text(&view, &Options::default()));
    let position = |label: &str| view.labels().iter().position(|it| *it == label).unwrap();
    // Alone, a container is described in full.
    let alone: Vec<String> = ["render", "shop/db-0/postgres", "late", "sleepy"]
        .into_iter()
        .map(|label| {
            let one = Options {
                only: Some(&[position(label)]),
                ..Options::default()
            };
            text(&view, &one)
        })
        .collect();
    assert_golden!("rich.report.alone", alone.join("\n\n"));
}

#[test]
fn the_report_has_the_system_calls_where_they_were_counted() {
    let mut window = synthetic::rich();
    let db = &mut window.rows[2];
    let call = |name: &str, count, total_ns: u64| Syscall {
        name: name.into(),
        count,
        total_ns: Some(total_ns),
        off_cpu_ns: total_ns / 2,
        max_ns: total_ns / 10,
        latency: Latency {
            count,
            sum_ns: total_ns,
            buckets: vec![LatencyBucket {
                from_ns: 0,
                to_ns: u64::MAX,
                count,
                sum_ns: total_ns,
            }],
        },
        ..Syscall::default()
    };
    db.measured.insert(Syscalls(vec![
        // 412 sleeps.
        call("fsync", 200, 3_150_000_000),
        // In progress for all of the recording: no call that ended took as long.
        Syscall {
            in_progress: 1,
            max_ns: 10_000_000_000,
            total_ns: Some(10_000_140_000),
            ..call("connect", 1, 140_000)
        },
        call("pread64", 9_000, 400_000_000),
        call("lseek", 9_000, 1_000_000),
    ]));
    let (view, _) = View::of(&window);
    let position = view.labels().iter().position(|it| it.contains("postgres"));
    let alone = Options {
        only: Some(&[position.unwrap()]),
        ..Options::default()
    };
    let shown = text(&view, &alone);
    assert_golden!("calls.report.alone", shown);
    assert!(shown.contains("fsync 3.12 s (disk, slept 412 times in 200 calls)"));
    let connect = shown.lines().find(|line| line.starts_with("connect "));
    let cells: Vec<&str> = connect.unwrap().split_whitespace().collect();
    assert_eq!(
        cells.join(" "),
        "connect 1 0 10.0 s 4.8% 10.0 s 70.0 µs 140 µs 140 µs 140 µs 140 µs 10.0 s 1 in progress"
    );
    // Among others a container has the three with most time.
    let shown = text(&view, &Options::default());
    assert!(shown.contains("\n1 more system call\n"), "{shown}");
    assert!(!shown.contains("\nlseek "), "{shown}");
}

#[test]
fn views_that_are_missing_for_one_reason_are_one_note() {
    let mut window = synthetic::small();
    let missing = |view: &'static str, cause: &str| Unavailable {
        view: ViewId::new(view),
        cause: cause.into(),
    };
    window.unavailable = vec![
        missing("counters.cycles", "no PMU"),
        missing("psi", "no PSI"),
        missing("counters.instructions", "no PMU"),
    ];
    let (view, _) = View::of(&window);
    let shown = text(&view, &Options::default());
    assert!(
        shown.contains("  counters.cycles, counters.instructions are not available: no PMU\n  psi is not available: no PSI\n"),
        "{shown}"
    );
}

#[test]
fn it_is_the_same_when_read_back() {
    let temp = tempfile::tempdir().unwrap();
    for (name, window) in [
        ("small", synthetic::small()),
        ("rich", synthetic::rich()),
        ("large", synthetic::large(3000, 20)),
    ] {
        let path = temp.path().join(name);
        let dir = RecordingDir::open(&path, false).unwrap();
        let written = output::write_all(&dir, &window).unwrap();
        let options = Options {
            dir: Some(&path),
            ..Options::default()
        };
        let recorded = text(&written.view, &options);
        assert_eq!(
            text(&View::of(&store::read(&path).unwrap()).0, &options),
            recorded
        );
        let parts = if name == "rich" {
            "quota.folded, syscalls.folded, "
        } else {
            ""
        };
        let files = format!(
            "summary.json, recording.ctprof, stacks.folded, {parts}profile.pb.gz, flamegraph.svg, on-cpu.svg, off-cpu.svg, \
             run-queue.svg, throttled.svg, syscalls.svg, isolation.svg\n"
        );
        assert!(recorded.ends_with(&files), "{recorded}");
    }
}

#[test]
fn colour_is_only_around_the_text() {
    let (view, _) = View::of(&synthetic::small());
    let coloured = text(
        &view,
        &Options {
            colour: true,
            ..Options::default()
        },
    );
    let plain = coloured
        .replace("\x1b[0m", "")
        .replace("\x1b[1m", "")
        .replace("\x1b[2m", "");
    assert_eq!(plain, text(&view, &Options::default()));
    assert_ne!(plain, coloured);
}

#[test]
fn nothing_recorded_says_why() {
    let mut window = synthetic::small();
    window.rows.retain(|c| c.samples == 0);
    let (view, _) = View::of(&window);
    assert_golden!("report.empty", text(&view, &Options::default()));
}

#[test]
fn json_has_the_findings() {
    let (view, _) = View::of(&synthetic::rich());
    let mut out = Vec::new();
    report::print_json(&view, &Options::default(), &mut out).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
    let of = |name: &str| {
        let containers = json["containers"].as_array().unwrap();
        containers.iter().find(|c| c["name"] == name).unwrap()
    };
    let render = of("render");
    // Run queue and throttled: it had no disk.
    assert_eq!(render["stalled_ns"], 26_460_000_000_u64);
    assert_eq!(render["residual_ns"], 40_000_000);
    let findings = render["findings"].as_array().unwrap();
    let quota = &findings[0];
    assert_eq!(quota["id"], "quota");
    assert_eq!(quota["severity"], "critical");
    assert_eq!(quota["ns"], 24_960_000_000_u64);
    assert!(quota["title"].as_str().unwrap().contains("84.7%"));
    // Three threads that could run, 0.3 CPUs for them: 2 CPUs are all that the host has.
    assert_eq!(quota["advice"][0], "docker update --cpus 2 render");
    assert_eq!(findings.len(), 1);
    // What waits for nothing and nobody.
    assert_eq!(of("sleepy")["findings"][0]["id"], "idle");
    // Without a ledger nobody knows.
    let late = of("late");
    for key in ["stalled_ns", "findings", "residual_ns", "thread_time_ns"] {
        assert_eq!(late.get(key), None, "{key}");
    }
}

#[test]
fn many_containers_are_a_table_and_a_few_words() {
    let mut m = synthetic::Maker::new();
    let frame = [m.user("main")];
    for number in 0..60_u64 {
        m.container(synthetic::named(
            &format!("c{number:02}"),
            Runtime::Docker,
            "",
        ));
        let ns = (number + 1) * 100_000_000;
        m.off_cpu("t", (State::RunQueue, ""), &frame, 1, ns);
        let container = m.window.rows.last_mut().unwrap();
        container.ledger = Some(Ledger {
            thread_time_ns: ns,
            ..Ledger::default()
        });
    }
    let (view, _) = View::of(&m.window);
    let shown = text(&view, &Options::default());
    let rows = |prefix: &str| {
        shown
            .lines()
            .filter(|line| line.starts_with(prefix))
            .count()
    };
    // The first line, 40 rows, and 5 of them with a block of their own.
    assert_eq!(rows("c"), 1 + 40 + 5);
    assert!(shown.contains("\nc59         6.00     -"), "{shown}");
    assert_eq!(
        rows("1. WARNING It waits for a CPU for 100.0% of the time"),
        5
    );
    assert_eq!(
        rows("20 more containers with less stalled time: see --format json"),
        1
    );
    assert_eq!(
        rows("55 more containers: ctprof report DIR --container NAME tells more of each"),
        1
    );
    assert!(shown.lines().count() < 100, "{shown}");
}

#[test]
fn a_state_that_is_not_measured_is_a_dash_with_its_cause() {
    let mut window = synthetic::rich();
    for container in &mut window.rows {
        container.time_ns.remove(&State::Throttled);
        container
            .stacks
            .retain(|stack| stack.state != State::Throttled);
    }
    window.unavailable.push(Unavailable {
        view: ViewId::THROTTLED,
        cause: "this kernel has no clock of throttled time; use 6.6 or newer".into(),
    });
    let (view, _) = View::of(&window);
    let shown = text(&view, &Options::default());
    let row = shown
        .lines()
        .find(|line| line.starts_with("render "))
        .unwrap();
    let cells: Vec<&str> = row.split_whitespace().collect();
    let expected = "render 29.50 3.00 10% 0 1.50 5% - 0 1.50 5% 0";
    assert_eq!(cells.join(" "), expected);
    assert!(shown.contains(
        "throttled is not available: this kernel has no clock of throttled time; use 6.6 or newer\n"
    ));
    assert!(!shown.contains("1. throttled"), "{shown}");
}

#[test]
fn json_has_the_functions() {
    let (view, _) = View::of(&synthetic::small());
    let mut out = Vec::new();
    let options = Options {
        only: Some(&[1]),
        top: Some(2),
        ..Options::default()
    };
    report::print_json(&view, &options, &mut out).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(json["schema_version"], 3);
    let containers = json["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 1);
    assert_eq!(containers[0]["name"], "cache");
    let functions = containers[0]["functions"].as_array().unwrap();
    assert_eq!(functions.len(), 2);
    assert_eq!(
        functions[0],
        serde_json::json!({
            "name": "tcp_sendmsg",
            "kernel": true,
            "self_ns": 200 * synthetic::PERIOD_NS,
            "total_ns": 200 * synthetic::PERIOD_NS,
        })
    );
    // Inlined into its caller, but a function all the same.
    assert_eq!(functions[1]["name"], "processCommand");
    assert_eq!(functions[1]["self_ns"], 120 * synthetic::PERIOD_NS);
    assert_eq!(functions[1]["total_ns"], 200 * synthetic::PERIOD_NS);
}
