//! Recordings read back: what is none, what other versions wrote, and containers by name.

use std::path::Path;

use ctprof::analysis::View;
use ctprof::cli::Format;
use ctprof::cli::report::ReportArgs;
use ctprof::model::Container;
use ctprof::output;
use ctprof::output::flamegraph::Graph;
use ctprof::store::{self, RecordingDir};

use crate::synthetic;

fn args(dir: &Path) -> ReportArgs {
    ReportArgs {
        calibrate: false,
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

fn stored() -> Vec<u8> {
    let mut bytes = Vec::new();
    store::write(&synthetic::rich(), &mut bytes).unwrap();
    bytes
}

#[test]
fn what_is_no_recording_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let args = args(dir);
    assert_eq!(
        failure(&args),
        "no recording at DIR: it has no recording.ctprof; give the folder that ctprof record wrote"
    );
    std::fs::write(dir.join("summary.json"), "{}").unwrap();
    assert_eq!(
        failure(&args),
        "cannot read DIR/recording.ctprof: it is not there, because an earlier ctprof recorded this or there was no room \
         for it; the other files are still good, but record again for ctprof report"
    );
    let path = dir.join("recording.ctprof");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    assert_eq!(
        failure(&args),
        "cannot read DIR/recording.ctprof: not a regular file"
    );
    std::fs::remove_file(&path).unwrap();

    let whole = stored();
    let mut changed = whole.clone();
    changed[200] ^= 1;
    let longer = [&whole[..], b"more"].concat();
    let damaged = "it is damaged";
    for (bytes, problem) in [
        (
            &b"{\n  \"schema_version\": 1 }"[..],
            "it is not a recording of ctprof",
        ),
        (b"", "it is not a recording of ctprof"),
        (&whole[..10], damaged),
        (&whole[..15], damaged),
        (&whole[..whole.len() - 1], damaged),
        (&changed, damaged),
        (&longer, damaged),
    ] {
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(
            failure(&args),
            format!("cannot read DIR/recording.ctprof: {problem}")
        );
    }
    // Sparse: it takes no room on the disk.
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(10 << 30).unwrap();
    assert_eq!(
        failure(&args),
        "cannot read DIR/recording.ctprof: it has 10.7 GB, and no recording has more than 134.2 MB"
    );
}

#[test]
fn another_version_is_named() {
    let mut bytes = stored();
    // The layout's version is a number of four bytes, and the writer's has its length before it.
    bytes[8] = 7;
    bytes.splice(12..13 + usize::from(bytes[12]), *b"\x079.0\x1b[1m");
    assert_eq!(
        store::decode(&bytes).unwrap_err(),
        format!(
            "ctprof 9.0?[1m wrote it with layout 7, and this ctprof {} reads layout {}; use ctprof 9.0?[1m",
            env!("CARGO_PKG_VERSION"),
            store::VERSION
        )
    );
}

/// What was written with this version of the layout, byte for byte: whoever changes the layout changes the version, and
/// this file with it (`BLESS=1`).
#[test]
fn the_layout_is_that_of_its_version() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!(
        "tests/fixtures/output/layout-{}.ctprof",
        store::VERSION
    ));
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, stored()).unwrap();
    }
    let (read, _) = View::of(&store::decode(&std::fs::read(&path).unwrap()).unwrap());
    let (made, _) = View::of(&synthetic::rich());
    assert_eq!(read.summary, made.summary);
    assert!(read.stacks == made.stacks);
    assert!(read.burnt_quota == made.burnt_quota && read.calls == made.calls);
}

/// The stacks in an order of their own, and slices that refer to them so.
fn in_order(row: &mut Container) {
    let mut order: Vec<usize> = (0..row.stacks.len()).collect();
    order.sort_by(|a, b| row.stacks[*a].order(&row.stacks[*b]));
    for part in row.slices.iter_mut().flat_map(|slice| &mut slice.stacks) {
        let place = order.iter().position(|of| *of == part.of as usize);
        part.of = place.unwrap() as u32;
    }
    for slice in &mut row.slices {
        slice.stacks.sort_by_key(|part| part.of);
    }
    row.stacks = order.iter().map(|of| row.stacks[*of].clone()).collect();
}

/// Beyond what files for people have: addresses, modules, processes.
#[test]
fn nothing_is_lost_on_the_way() {
    for mut window in [
        synthetic::small(),
        synthetic::rich(),
        synthetic::large(2000, 20),
    ] {
        let mut bytes = Vec::new();
        store::write(&window, &mut bytes).unwrap();
        let mut read = store::decode(&bytes).unwrap();
        for row in window.rows.iter_mut().chain(&mut read.rows) {
            in_order(row);
        }
        assert_eq!(read.slices_ns, window.slices_ns);
        assert_eq!(format!("{:?}", read.rows), format!("{:?}", window.rows));
        assert_eq!(read.frames.frames(), window.frames.frames());
        assert_eq!(read.frames.modules(), window.frames.modules());
        assert_eq!(read.unnamed, window.unnamed);
    }
}

/// Two windows with the same rows: every sum doubles, what a window says of its end stays.
#[test]
fn a_merged_recording_reports_the_sum() {
    let mut window = synthetic::rich();
    window.merge(synthetic::rich());
    let (twice, _) = View::of(&window);
    let (once, _) = View::of(&synthetic::rich());
    assert_eq!(twice.summary.window_ns, 2 * once.summary.window_ns);
    assert_eq!(twice.labels(), once.labels());
    for (twice, once) in twice
        .summary
        .containers
        .iter()
        .zip(&once.summary.containers)
    {
        assert_eq!(twice.samples, 2 * once.samples);
        assert_eq!(twice.threads, once.threads);
        for (state, ns) in &once.time_ns {
            assert_eq!(twice.time_ns[state], 2 * ns);
        }
        let sums = |it: &ctprof::analysis::summary::ContainerSummary| -> Vec<(String, u64)> {
            let all = it.delayed_by.iter().flatten();
            all.map(|it| (it.name.clone(), it.ns)).collect()
        };
        let doubled = sums(once).into_iter().map(|(name, ns)| (name, 2 * ns));
        assert_eq!(sums(twice), doubled.collect::<Vec<_>>());
    }
    assert_eq!(twice.stacks.len(), once.stacks.len());
    for (twice, once) in twice.stacks.iter().zip(once.stacks.iter()) {
        assert_eq!((twice.frames, twice.ns), (once.frames, 2 * once.ns));
    }
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
            svg.contains("Wall clock: cache · 10.0 s · 4.08 s of thread time"),
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
