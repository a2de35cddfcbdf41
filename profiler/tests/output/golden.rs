//! Whole files of a small profile, byte for byte. `INSTA_UPDATE=always` writes them anew.

use ctprof::output::flamegraph::{self, Graph};
use ctprof::output::{self, RecordingDir, View, reader};

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

#[test]
fn files_of_a_small_recording() {
    let temp = tempfile::tempdir().unwrap();
    let dir = RecordingDir::open(&temp.path().join("rec"), false).unwrap();
    let profile = synthetic::small();
    let written = output::write_all(&dir, &profile).unwrap();

    let names: Vec<&str> = written.files.iter().map(|file| file.name).collect();
    assert_eq!(
        names,
        [
            "summary.json",
            "stacks.folded",
            "profile.pb.gz",
            "on-cpu.svg",
            "flamegraph.svg"
        ]
    );
    for file in &written.files {
        let on_disk = dir.path().join(file.name).metadata().unwrap().len();
        assert_eq!((file.name, on_disk), (file.name, file.bytes));
    }
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        5,
        "no temporary file is left"
    );

    let text = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert_golden!("summary.json", text("summary.json"));
    assert_golden!("stacks.folded", text("stacks.folded"));
    // Without the script and what inferno writes around it.
    let graph = text("flamegraph.svg");
    let shown: Vec<&str> = graph
        .split("<title>")
        .skip(1)
        .map(|part| part.split("</title>").next().unwrap())
        .collect();
    assert_golden!("flamegraph.titles", shown.join("\n"));
}

#[test]
fn a_recording_read_back_is_the_recording() {
    let temp = tempfile::tempdir().unwrap();
    let dir = RecordingDir::open(&temp.path().join("rec"), false).unwrap();
    for profile in [synthetic::small(), synthetic::large(2000, 20)] {
        let dir = RecordingDir::open(dir.path(), true)
            .unwrap_or_else(|_| RecordingDir::open(&temp.path().join("rec"), true).unwrap());
        let written = output::write_all(&dir, &profile).unwrap();
        let read = reader::read(dir.path()).unwrap();
        assert_eq!(read.summary, written.view.summary);
        assert_eq!(read.stacks.len(), written.view.stacks.len());
        assert!(read.stacks == written.view.stacks);
        let (view, _) = View::of(&profile);
        assert!(read.stacks == view.stacks);
    }
}

#[test]
fn folded_time_is_the_containers_time() {
    for profile in [synthetic::small(), synthetic::large(2000, 20)] {
        let (view, _) = View::of(&profile);
        let mut sums = vec![0; view.summary.containers.len()];
        for stack in view.stacks.iter() {
            sums[stack.container] += stack.ns;
        }
        let on_cpu: Vec<u64> = view
            .summary
            .containers
            .iter()
            .map(ctprof::output::summary::ContainerSummary::on_cpu_ns)
            .collect();
        assert_eq!(sums, on_cpu);
    }
}

#[test]
fn a_large_graph_is_thinned_and_still_adds_up() {
    let (view, order) = View::of(&synthetic::large(20_000, 30));
    let all: Vec<usize> = (0..order.len()).collect();
    let mut svg = Vec::new();
    flamegraph::write(
        Graph::WallClock,
        &view.summary,
        &view.stacks,
        &all,
        &mut svg,
    )
    .unwrap();
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
