//! What writing a recording costs: `cargo test --release --test output -- --ignored --nocapture cost`.

use std::time::{Duration, Instant};

use ctprof::output::{self, RecordingDir, View, flamegraph, folded, pprof, reader, report};

use crate::synthetic;

/// Highest resident memory of this process so far, in kB.
fn peak_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    println!("{what:24} {:>9.1} ms", start.elapsed().as_secs_f64() * 1e3);
    result
}

#[test]
#[ignore = "a measurement: run it alone, in release"]
fn cost_of_100_000_stacks() {
    let profile = synthetic::large(100_000, 30);
    let temp = tempfile::tempdir().unwrap();
    let before = peak_kb();

    let (view, order) = timed("view", || View::of(&profile));
    println!(
        "{} distinct stacks by name, {} names",
        view.stacks.len(),
        view.stacks.names().len()
    );
    let all: Vec<usize> = (0..order.len()).collect();
    let labels = view.labels();
    timed("summary.json", || {
        view.summary
            .write(&mut std::fs::File::create(temp.path().join("s")).unwrap())
            .unwrap();
    });
    timed("stacks.folded", || {
        let file = std::fs::File::create(temp.path().join("f")).unwrap();
        folded::write(&view.stacks, &labels, &mut std::io::BufWriter::new(file)).unwrap();
    });
    timed("profile.pb.gz", || {
        let file = std::fs::File::create(temp.path().join("p")).unwrap();
        pprof::write(&profile, &view.summary, &order, file).unwrap();
    });
    for graph in [
        flamegraph::Graph::State(ctprof::model::StateGroup::OnCpu),
        flamegraph::Graph::WallClock,
    ] {
        timed(graph.file_name(), || {
            let mut file = std::fs::File::create(temp.path().join("g")).unwrap();
            flamegraph::write(graph, &view.summary, &view.stacks, &all, &mut file).unwrap();
        });
    }
    timed("report", || {
        report::print(&view, &report::Options::default(), &mut std::io::sink()).unwrap();
    });
    drop(view);
    println!(
        "peak before {before} kB, after each file alone {} kB",
        peak_kb()
    );

    let dir = RecordingDir::open(&temp.path().join("rec"), false).unwrap();
    let start = Instant::now();
    let written = output::write_all(&dir, &profile).unwrap();
    let elapsed = start.elapsed();
    println!(
        "write_all                {:>9.1} ms",
        elapsed.as_secs_f64() * 1e3
    );
    for file in &written.files {
        println!("  {:16} {:>10} bytes", file.name, file.bytes);
    }
    println!("peak {} kB", peak_kb());
    timed("read back", || reader::read(&written.dir).unwrap());
    assert!(elapsed < Duration::from_secs(1), "{elapsed:?}");
}
