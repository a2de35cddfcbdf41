//! Whole files of a small window, byte for byte. `INSTA_UPDATE=always` writes them anew.

use ctprof::analysis::View;
use ctprof::analysis::states::ViewState;
use ctprof::output::flamegraph::{self, Graph};
use ctprof::output::{self, report};
use ctprof::store::{self, RecordingDir};

use crate::synthetic;

macro_rules! assert_golden {
    ($name:literal, $text:expr) => {
        insta::with_settings!({
            snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/output"),
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, { insta::assert_snapshot!($name, $text) });
    };
}
pub(crate) use assert_golden;

/// What the frames of a graph say, and what is said above them.
fn shown(graph: &str) -> String {
    let texts = |element: &str, end: &str| -> Vec<String> {
        graph
            .split(element)
            .skip(1)
            .map(|part| part.split(end).next().unwrap().to_owned())
            .collect()
    };
    let (head, legend) = graph.split_once("<g id=\"legend\">").unwrap();
    let title = head.split_once("id=\"title\"").unwrap().1;
    let title = title.split(['>', '<']).nth(1).unwrap();
    let (legend, _) = legend.split_once("</g>").unwrap();
    let legend: Vec<&str> = legend
        .split("</text>")
        .filter_map(|part| part.rsplit_once('>').map(|(_, text)| text))
        .filter(|text| !text.is_empty())
        .collect();
    let frames = texts("<title>", "</title>").join("\n");
    format!("{title}\n{}\n\n{frames}", legend.join(" | "))
}

#[test]
fn files_of_a_small_recording() {
    let temp = tempfile::tempdir().unwrap();
    let dir = RecordingDir::open(&temp.path().join("rec"), false).unwrap();
    let window = synthetic::small();
    let written = output::write_all(&dir, &window).unwrap();

    let names: Vec<&str> = written.files.iter().map(|file| file.name).collect();
    assert_eq!(
        names,
        [
            "summary.json",
            "recording.ctprof",
            "stacks.folded",
            "profile.pb.gz",
            "flamegraph.svg",
            "on-cpu.svg",
            "off-cpu.svg",
            "run-queue.svg",
            "throttled.svg",
            "syscalls.svg",
            "isolation.svg",
        ]
    );
    for file in &written.files {
        let on_disk = dir.path().join(file.name).metadata().unwrap().len();
        assert_eq!((file.name, on_disk), (file.name, file.bytes));
    }
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        names.len(),
        "no temporary file is left"
    );

    let text = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert_golden!("summary.json", text("summary.json"));
    assert_golden!("stacks.folded", text("stacks.folded"));
    assert_golden!("flamegraph.titles", shown(&text("flamegraph.svg")));
    // Not measured, and why.
    assert_golden!("throttled.empty.svg", text("throttled.svg"));
}

#[test]
fn files_of_a_recording_with_a_ledger() {
    let temp = tempfile::tempdir().unwrap();
    let dir = RecordingDir::open(&temp.path().join("rec"), false).unwrap();
    output::write_all(&dir, &synthetic::rich()).unwrap();
    let text = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert_golden!("rich.summary.json", text("summary.json"));
    assert_golden!("rich.stacks.folded", text("stacks.folded"));
    assert_golden!("rich.quota.folded", text("quota.folded"));
    assert_golden!("rich.syscalls.folded", text("syscalls.folded"));
    let graphs: Vec<String> = Graph::ALL
        .into_iter()
        // Nothing in it runs in a layer.
        .filter(|graph| *graph != Graph::Isolation)
        .map(|graph| shown(&text(graph.file_name())))
        .collect();
    assert_golden!("rich.graphs", graphs.join("\n\n"));
}

#[test]
fn what_isolation_costs() {
    let temp = tempfile::tempdir().unwrap();
    let dir = RecordingDir::open(&temp.path().join("rec"), false).unwrap();
    let written = output::write_all(&dir, &synthetic::layered()).unwrap();
    let graph = std::fs::read_to_string(dir.path().join("isolation.svg")).unwrap();
    let layers = written.view.summary.containers.iter().map(|container| {
        let isolation = container.isolation.as_ref().unwrap();
        let parts = isolation.layers.iter();
        let parts = parts.map(|it| format!("{} {}", it.layer.id(), it.samples));
        let parts: Vec<String> = parts.collect();
        format!("{}: {}", container.label, parts.join(", "))
    });
    let layers: Vec<String> = layers.collect();
    assert_golden!(
        "isolation",
        format!("{}\n\n{}", layers.join("\n"), shown(&graph))
    );
}

#[test]
fn a_recording_read_back_is_the_recording() {
    let temp = tempfile::tempdir().unwrap();
    let dir = RecordingDir::open(&temp.path().join("rec"), false).unwrap();
    for window in [
        synthetic::small(),
        synthetic::rich(),
        synthetic::large(2000, 20),
    ] {
        let dir = RecordingDir::open(dir.path(), true)
            .unwrap_or_else(|_| RecordingDir::open(&temp.path().join("rec"), true).unwrap());
        let written = output::write_all(&dir, &window).unwrap();
        let (read, _) = View::of(&store::read(dir.path()).unwrap());
        assert_eq!(read.summary, written.view.summary);
        assert_eq!(read.stacks.len(), written.view.stacks.len());
        assert!(read.stacks == written.view.stacks);
        assert!(read.burnt_quota == written.view.burnt_quota);
        assert!(read.calls == written.view.calls);
        let (view, _) = View::of(&window);
        assert!(read.stacks == view.stacks);
    }
}

#[test]
fn folded_time_is_the_containers_time_state_by_state() {
    for window in [
        synthetic::small(),
        synthetic::rich(),
        synthetic::large(2000, 20),
    ] {
        let (view, _) = View::of(&window);
        for (position, container) in view.summary.containers.iter().enumerate() {
            let mut expected = [0; ViewState::ALL.len()];
            for (state, ns) in &container.time_ns {
                expected[ViewState::of(*state).index()] += ns;
            }
            let mut sums = [0; ViewState::ALL.len()];
            for stack in view.stacks.iter().filter(|s| s.container == position) {
                sums[stack.state.index()] += stack.ns;
            }
            assert_eq!(sums, expected, "{}", container.label);
        }
    }
}

#[test]
fn a_large_graph_is_thinned_and_still_adds_up() {
    let (view, order) = View::of(&synthetic::large(20_000, 30));
    let all: Vec<usize> = (0..order.len()).collect();
    let mut svg = Vec::new();
    let options = flamegraph::Options {
        containers: &all,
        with_idle: false,
    };
    flamegraph::write(Graph::WallClock, &view, options, &mut svg).unwrap();
    let svg = String::from_utf8(svg).unwrap();
    let total = view.summary.on_cpu_ns();
    assert!(svg.contains(&format!("total_samples=\"{total}\"")));
    let frames = svg.matches("<title>").count();
    assert!((1000..=40_000).contains(&frames), "{frames}");
    for container in &view.summary.containers {
        let title = format!("<title>{} (", container.label);
        let own = svg.split_once(&title).unwrap().1;
        let share = own.split([' ', '%']).nth(2).unwrap();
        let expected = 100.0 * container.on_cpu_ns() as f64 / total as f64;
        assert_eq!(share, format!("{expected:.2}"));
    }
}

#[test]
fn the_manual_names_every_key() {
    fn keys(value: &serde_json::Value, found: &mut std::collections::BTreeSet<String>) {
        match value {
            serde_json::Value::Object(object) => {
                for (key, value) in object {
                    found.insert(key.clone());
                    // Its keys are causes, and every recording has them.
                    if key != "lost" {
                        keys(value, found);
                    }
                }
            }
            serde_json::Value::Array(all) => all.iter().for_each(|value| keys(value, found)),
            _ => {}
        }
    }
    let manual =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/formats.md"));
    let manual = manual.unwrap();
    let words: std::collections::BTreeSet<&str> = manual
        .split('`')
        .skip(1)
        .step_by(2)
        .flat_map(|code| code.split(['.', '[', ']']))
        .collect();
    let mut found = std::collections::BTreeSet::new();
    let mut json = Vec::new();
    let (view, _) = View::of(&synthetic::rich());
    report::print_json(&view, &report::Options::default(), &mut json).unwrap();
    keys(&serde_json::from_slice(&json).unwrap(), &mut found);
    assert!(found.contains("throttle_duration") && found.contains("full_ns"));
    let missing: Vec<&String> = found
        .iter()
        .filter(|key| !words.contains(key.as_str()))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/formats.md says nothing of {missing:?}"
    );
}
