//! Recordings read back: what is none, what other versions wrote, and containers by name.

use ctprof::cli::Format;
use ctprof::cli::report::ReportArgs;
use ctprof::model::State;
use ctprof::output::flamegraph::Graph;
use ctprof::output::report::Options;
use ctprof::output::stacks::Stacks;
use ctprof::output::summary::CulpritKind;
use ctprof::output::{self, RecordingDir, View, reader};

use crate::report::text;
use crate::synthetic;

fn args(dir: &std::path::Path) -> ReportArgs {
    ReportArgs {
        dir: dir.to_owned(),
        container: Vec::new(),
        top: None,
        format: Format::Text,
        flamegraph: None,
        graph: Graph::WallClock,
        idle: false,
    }
}

/// The error of `ctprof report` on this folder, without the folder's name.
fn failure(args: &ReportArgs) -> String {
    let error = ctprof::cli::report::run(args).unwrap_err();
    format!("{error}").replace(&args.dir.display().to_string(), "DIR")
}

#[test]
fn what_is_no_recording_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let args = args(dir);
    assert_eq!(
        failure(&args),
        "no recording at DIR: it has no summary.json; give the folder that ctprof record wrote"
    );
    let summary = dir.join("summary.json");
    let folded = dir.join("stacks.folded");

    std::fs::write(&summary, "{\n  \"schema_version\": 1,\n  oops }").unwrap();
    assert_eq!(
        failure(&args),
        "cannot read DIR/summary.json: key must be a string at line 3 column 3"
    );
    std::fs::write(
        &summary,
        "{\"schema_version\": 7, \"ctprof_version\": \"9.0\\u001b[1m\"}",
    )
    .unwrap();
    assert_eq!(
        failure(&args),
        format!(
            "cannot read DIR/summary.json: it has schema version 7 (ctprof 9.0?[1m) and this ctprof {} \
             reads up to 1; use a newer ctprof",
            env!("CARGO_PKG_VERSION")
        )
    );
    std::fs::remove_file(&summary).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &summary,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    assert_eq!(
        failure(&args),
        "cannot read DIR/summary.json: not a regular file"
    );
    std::fs::remove_file(&summary).unwrap();

    let (view, _) = View::of(&synthetic::small());
    view.summary
        .write(&mut std::fs::File::create(&summary).unwrap())
        .unwrap();
    let read = reader::read(dir).unwrap();
    assert!(text(&read, &Options::default()).contains(
        "no samples: sleepy\n\nThe recording has no stacks: its functions are not known.\n\nNote\n"
    ));
    let mut draw = args.clone();
    draw.flamegraph = Some(dir.join("x.svg"));
    assert_eq!(
        failure(&draw),
        "cannot draw DIR/x.svg: the recording has no stacks"
    );
    for (text, problem) in [
        (
            "cache;on_cpu;t;main 1\ncache;on_cpu 1\n",
            "line 2: not container;state;thread;frames",
        ),
        ("cache;on_cpu;t 1\n", "line 1: a stack without frames"),
        (
            "cache;on_cpu;t;main x\n",
            "line 1: no number of nanoseconds at the end",
        ),
        (
            "cache;on_cpu;t;main\n",
            "line 1: no number of nanoseconds at the end",
        ),
        (
            "nobody\x1b;on_cpu;t;main 5\n",
            "line 1: container nobody? is not in summary.json",
        ),
        (
            "cache;on_cpu;t;main 9999999999999999999\n",
            "line 1: more time than a recording can hold",
        ),
    ] {
        std::fs::write(&folded, text).unwrap();
        assert_eq!(
            failure(&args),
            format!("cannot read DIR/stacks.folded: {problem}")
        );
    }
    std::fs::write(&folded, b"cache;on_cpu;t;\xff 1\n").unwrap();
    assert_eq!(
        failure(&args),
        "cannot read DIR/stacks.folded: line 1: not UTF-8"
    );
    // Sparse: neither size takes room on the disk.
    for (size, problem) in [
        (3 << 30, "line 1: too long to be a stack"),
        (
            10 << 30,
            "it has 10.7 GB, and no recording has more than 4.3 GB",
        ),
    ] {
        std::fs::File::create(&folded)
            .unwrap()
            .set_len(size)
            .unwrap();
        assert_eq!(
            failure(&args),
            format!("cannot read DIR/stacks.folded: {problem}")
        );
    }
}

#[test]
fn recordings_of_earlier_and_later_versions_are_read() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let mut json = Vec::new();
    View::of(&synthetic::rich())
        .0
        .summary
        .write(&mut json)
        .unwrap();
    let mut summary: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let write = |summary: &serde_json::Value| {
        std::fs::write(dir.join("summary.json"), summary.to_string()).unwrap();
        reader::read(dir).unwrap().summary
    };
    // Keys, states and kinds of culprits that this version does not know.
    let render = &mut summary["containers"][0];
    render["gpu"] = serde_json::json!({"ns": 1});
    render["time_ns"]["blocked_gpu"] = 1.into();
    render["delayed_by"][0]["kind"] = "interrupt".into();
    render["blocking_syscalls"] =
        serde_json::json!([{"name": "x", "state": "blocked_gpu", "count": 1, "ns": 1}]);
    let later = write(&summary);
    let render = &later.containers[0];
    assert_eq!(render.time_ns.len(), State::ALL.len());
    let delayed_by = render.delayed_by.as_ref().unwrap();
    assert_eq!(delayed_by[0].kind, CulpritKind::Unknown);
    assert_eq!(render.blocking_syscalls[0].state, State::BlockedOther);

    // Only what the first version wrote.
    const FIRST: [&str; 13] = [
        "id",
        "name",
        "label",
        "runtime",
        "image",
        "pod",
        "cgroup",
        "cpu_quota_cores",
        "threads",
        "time_ns",
        "cfs",
        "samples",
        "stacks",
    ];
    for container in summary["containers"].as_array_mut().unwrap() {
        let container = container.as_object_mut().unwrap();
        container.retain(|key, _| FIRST.contains(&key.as_str()));
        let times = container["time_ns"].as_object_mut().unwrap();
        times.retain(|state, _| state.starts_with("on_cpu"));
    }
    let earlier = write(&summary);
    assert!(
        earlier
            .containers
            .iter()
            .all(|c| c.thread_time_ns.is_none() && c.delayed_by.is_none())
    );
    let view = View {
        summary: earlier,
        stacks: Stacks::default(),
        burnt_quota: Stacks::default(),
        calls: Stacks::default(),
    };
    let shown = text(&view, &Options::default());
    assert!(
        shown.starts_with("ctprof 0.1.0 · on-CPU profile of 10.00 s"),
        "{shown}"
    );
    assert!(
        shown.contains("CONTAINER           CPU TIME  CORES  SHARE"),
        "{shown}"
    );
}

#[test]
fn containers_are_found_by_name_id_and_start_of_id() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("rec");
    let dir = RecordingDir::open(&path, false).unwrap();
    output::write_all(&dir, &synthetic::small()).unwrap();

    let graph = temp.path().join("one.svg");
    for name in ["cache", "c0ffee", &"c0ffee".repeat(10)] {
        let mut args = args(&path);
        args.container = vec![name.to_owned()];
        args.flamegraph = Some(graph.clone());
        ctprof::cli::report::run(&args).unwrap();
        let svg = std::fs::read_to_string(&graph).unwrap();
        assert!(
            svg.contains("Wall clock: cache · 10.00 s · 4.08 s of thread time"),
            "{name}"
        );
        assert!(
            svg.contains("<title>cache (4,080,808 µs, 100.00%)</title>"),
            "{name}"
        );
        assert!(!svg.contains("<title>render"), "{name}");
        std::fs::remove_file(&graph).unwrap();
    }
    let mut args = args(&path);
    args.container = vec!["cahce".to_owned()];
    assert_eq!(
        failure(&args),
        "no container \"cahce\" in this recording; did you mean cache?"
    );
    args.container = vec!["zzz".to_owned()];
    assert_eq!(
        failure(&args),
        "no container \"zzz\" in this recording; it has \"shop/web-7f9c/app\", \"cache\", \"kernel\", \"sleepy\""
    );
}
