//! What writing a recording costs: `cargo test --release --test output -- --ignored --nocapture cost`.

use std::time::{Duration, Instant};

use ctprof::analysis::View;
use ctprof::model::{Ledger, State, Window};
use ctprof::output::{self, flamegraph, folded, pprof, report, summary};
use ctprof::store::{self, RecordingDir};

use crate::synthetic;

/// The same with most of the stacks in other states, as a recording with a ledger has them.
fn with_every_state(mut window: Window) -> Window {
    for container in &mut window.rows {
        container.ledger = Some(Ledger::default());
        container.time_ns.clear();
        for (i, stack) in container.stacks.iter_mut().enumerate() {
            // Three in ten stay on the CPU, three wait for one, the others are spread.
            stack.state = match i % 10 {
                0..3 => stack.state,
                3..6 => State::RunQueue,
                _ => State::ALL[3 + i % 9],
            };
            stack.burnt_quota = i % 10 == 0;
            *container.time_ns.entry(stack.state).or_default() += stack.time_ns;
        }
    }
    window
}

/// Highest resident memory of this process so far, in kB.
fn peak_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// CPU time of this thread, which other work on the machine does not lengthen.
fn thread_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split_whitespace().next().unwrap().parse().unwrap())
}

/// CPU time of this process, in ticks of 10 ms.
fn process_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit(") ").next().unwrap();
    let ticks = |i: usize| -> u64 { after_name.split(' ').nth(i).unwrap().parse().unwrap() };
    Duration::from_millis(10 * (ticks(11) + ticks(12)))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[allow(clippy::print_stdout, reason = "the figures are what it is for")]
fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let (start, cpu) = (Instant::now(), thread_cpu());
    let result = work();
    println!(
        "{what:24} {:>9.1} ms, {:>7.1} ms CPU",
        ms(start.elapsed()),
        ms(thread_cpu() - cpu)
    );
    result
}

#[test]
#[ignore = "a measurement: run it alone, in release"]
fn cost_of_100_000_stacks() {
    let window = with_every_state(synthetic::large(100_000, 30));
    let temp = tempfile::tempdir().unwrap();
    let before = peak_kb();

    let (view, order) = timed("view", || View::of(&window));
    println!(
        "{} distinct stacks by name, {} names",
        view.stacks.len(),
        view.stacks.names().len()
    );
    let all: Vec<usize> = (0..order.len()).collect();
    let labels = view.labels();
    timed("summary.json", || {
        let mut file = std::fs::File::create(temp.path().join("s")).unwrap();
        summary::write(&view.summary, &mut file).unwrap();
    });
    timed("recording.ctprof", || {
        let file = std::fs::File::create(temp.path().join("r")).unwrap();
        store::write(&window, &mut std::io::BufWriter::new(file)).unwrap();
    });
    timed("stacks.folded", || {
        let file = std::fs::File::create(temp.path().join("f")).unwrap();
        folded::write(&view.stacks, &labels, &mut std::io::BufWriter::new(file)).unwrap();
    });
    timed("profile.pb.gz", || {
        let file = std::fs::File::create(temp.path().join("p")).unwrap();
        pprof::write(&window, &view.summary, &order, file).unwrap();
    });
    let options = flamegraph::Options {
        containers: &all,
        with_idle: false,
    };
    for graph in flamegraph::Graph::ALL {
        timed(graph.file_name(), || {
            let mut file = std::fs::File::create(temp.path().join("g")).unwrap();
            flamegraph::write(graph, &view, options, &mut file).unwrap();
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
    let (start, cpu) = (Instant::now(), process_cpu());
    let written = output::write_all(&dir, &window).unwrap();
    let (elapsed, cpu) = (start.elapsed(), process_cpu() - cpu);
    println!(
        "{:24} {:>9.1} ms, {:>7.1} ms CPU",
        "write_all",
        ms(elapsed),
        ms(cpu)
    );
    for file in &written.files {
        println!("  {:16} {:>10} bytes", file.name, file.bytes);
    }
    println!("peak {} kB", peak_kb());
    timed("read back", || store::read(&written.dir).unwrap());
    // By CPU time: two CPUs share it, and a busy machine does not matter.
    assert!(cpu < Duration::from_millis(1800), "{cpu:?}");
}

#[test]
#[ignore = "writes recordings to look at into the folder CTPROF_LOOK_AT"]
fn recordings_to_look_at() {
    let Some(parent) = std::env::var_os("CTPROF_LOOK_AT").map(std::path::PathBuf::from) else {
        return;
    };
    let mut empty = synthetic::small();
    empty.rows.retain(|c| c.samples == 0);
    for (name, window) in [
        ("small", synthetic::small()),
        ("rich", synthetic::rich()),
        ("large", synthetic::large(100_000, 30)),
        ("empty", empty),
    ] {
        let dir = parent.join(name);
        output::write_all(&RecordingDir::open(&dir, true).unwrap(), &window).unwrap();
    }
}
