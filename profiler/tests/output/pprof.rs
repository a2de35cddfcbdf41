//! The pprof file, as pprof's own tool reads it, and as its messages hold it.

use std::io::Read;
use std::path::Path;
use std::process::Command;

use ctprof::analysis::View;
use ctprof::model::{StateGroup, Window, stand_in};
use ctprof::output::pprof::{self, proto};
use prost::Message;

use crate::synthetic;

fn write(window: &Window, path: &Path) {
    let (view, order) = View::of(window);
    let file = std::fs::File::create(path).unwrap();
    pprof::write(window, &view.summary, &order, file).unwrap();
}

/// What `go tool pprof` prints, or `None` where there is no Go.
fn go_pprof(arguments: &[&str], file: &Path) -> Option<String> {
    let output = Command::new("go")
        .args(["tool", "pprof"])
        .args(arguments)
        .arg(file)
        .env("PPROF_BINARY_PATH", "/nonexistent")
        .env("GOTOOLCHAIN", "local")
        .env("TZ", "UTC")
        .output()
        .ok()?;
    let problems = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{problems}");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// The lines of a table, with single spaces.
fn lines(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

#[test]
fn go_tool_pprof_reads_it() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("profile.pb.gz");
    write(&synthetic::small(), &file);
    let Some(raw) = go_pprof(&["-raw"], &file) else {
        eprintln!("skipped: no go to run go tool pprof with");
        return;
    };
    let raw = lines(&raw);
    for line in [
        "Comment: ctprof 0.1.0",
        "Comment: Linux 6.18.44",
        "Comment: 7 events lost: stack map full",
        "PeriodType: cpu nanoseconds",
        "Period: 10101010",
        "Time: 2025-12-31 23:59:59 +0000 UTC",
        "Duration: 10s",
        "samples/count on_cpu/nanoseconds[dflt] run_queue/nanoseconds throttled/nanoseconds blocked/nanoseconds",
        "420 4242424200 0 0 0: 1 2",
        "50 505050500 0 0 0: 3 3 3 1 2",
        "container:[kernel] state:[on_cpu_kernel] thread:[kworker/0:1]",
        "pid:[100]",
        // Inlined into its caller: one location, two lines.
        "7: 0x1030 M=1 lookupKey :0:0 s=0",
        "processCommand :0:0 s=0",
        "1: 0x0/0x0/0x0 /usr/bin/server 0123456789abcdef0123456789abcdef01234567 [FN][IN]",
        "2: 0x0/0x0/0x0 [kernel] [FN]",
    ] {
        assert!(
            raw.iter().any(|l| l == line),
            "no line {line:?} in {raw:#?}"
        );
    }
    let id = "feed".repeat(16);
    let labels = format!(
        "container:[app] container_id:[{id}] namespace:[shop] pod:[web-7f9c] state:[on_cpu_user] thread:[worker-2]"
    );
    assert!(raw.contains(&labels), "{raw:#?}");

    let top =
        lines(&go_pprof(&["-top", "-nodefraction=0", "-sample_index=samples"], &file).unwrap());
    let start = top.iter().position(|l| l.starts_with("flat ")).unwrap();
    assert_eq!(
        top[start + 1..start + 7],
        [
            "550 53.97% 53.97% 600 58.88% render",
            "200 19.63% 73.60% 200 19.63% tcp_sendmsg",
            "120 11.78% 85.38% 200 19.63% processCommand",
            "80 7.85% 93.23% 80 7.85% lookupKey (inline)",
            "50 4.91% 98.14% 50 4.91% factorial",
            "15 1.47% 99.61% 15 1.47% kthread",
        ]
    );

    for (focus, total) in [
        ("container=^cache$", "404"),
        ("pod=web", "600"),
        ("state=on_cpu_kernel", "215"),
        ("thread=worker-2", "130"),
    ] {
        let tagfocus = format!("-tagfocus={focus}");
        let arguments = [
            "-top",
            "-nodefraction=0",
            "-sample_index=samples",
            &tagfocus,
        ];
        let top = go_pprof(&arguments, &file).unwrap();
        let shown = format!("Showing nodes accounting for {total},");
        assert!(top.contains(&shown), "{focus}: {top}");
    }

    let traces = go_pprof(&["-traces", "-tagfocus=container=cache"], &file).unwrap();
    let traces = lines(&traces);
    let leaf = traces
        .iter()
        .position(|l| l == "2.02s tcp_sendmsg")
        .unwrap();
    assert_eq!(
        traces[leaf + 1..leaf + 6],
        [
            "ksys_write",
            "entry_SYSCALL_64",
            "write",
            "aeProcessEvents",
            "main"
        ]
    );
}

#[test]
fn go_tool_pprof_has_every_state_to_the_nanosecond() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("profile.pb.gz");
    write(&synthetic::rich(), &file);
    for (sample_type, focus, expected) in [
        ("on_cpu", "container=^render$", "3000000000ns"),
        ("run_queue", "container=^render$", "1500000000ns"),
        ("throttled", "container=^render$", "24960000000ns"),
        ("blocked", "state=^blocked_disk$", "3500000000ns"),
        ("blocked", "syscall=^fsync$", "3120000000ns"),
        ("blocked", "container=^sleepy$", "10000000000ns"),
        ("on_cpu", "quota=burnt", "1464646450ns"),
        // pprof gives counts the unit that it is told, too.
        ("samples", "container=^render$", "290ns"),
        // Intervals are no samples.
        ("samples", "state=blocked", "0"),
    ] {
        let sample_type = format!("-sample_index={sample_type}");
        let tagfocus = format!("-tagfocus={focus}");
        let arguments = [
            "-top",
            "-nodefraction=0",
            "-unit=ns",
            &sample_type,
            &tagfocus,
        ];
        let Some(top) = go_pprof(&arguments, &file) else {
            eprintln!("skipped: no go to run go tool pprof with");
            return;
        };
        let expected = format!("Showing nodes accounting for {expected},");
        assert!(top.contains(&expected), "{sample_type} {focus}: {top}");
    }
    let stand_ins = go_pprof(
        &[
            "-top",
            "-unit=ns",
            "-sample_index=blocked",
            "-tagfocus=thread=^pool",
        ],
        &file,
    );
    let line = "200000000000ns 72.32%  [since before the recording]";
    assert!(
        stand_ins.as_ref().is_some_and(|top| top.contains(line)),
        "{stand_ins:?}"
    );
}

#[test]
fn the_sums_are_the_profiles() {
    for window in [
        synthetic::small(),
        synthetic::rich(),
        synthetic::large(3000, 25),
    ] {
        let (view, order) = View::of(&window);
        let mut compressed = Vec::new();
        pprof::write(&window, &view.summary, &order, &mut compressed).unwrap();
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(&compressed[..])
            .read_to_end(&mut bytes)
            .unwrap();
        let read = proto::Profile::decode(&bytes[..]).unwrap();

        let sum = |i: usize| read.sample.iter().map(|s| s.value[i] as u64).sum::<u64>();
        assert_eq!(sum(0), view.summary.samples());
        for (i, group) in StateGroup::ALL.into_iter().enumerate() {
            let containers = view.summary.containers.iter();
            let expected: u64 = containers.map(|c| c.group_ns(group)).sum();
            assert_eq!(sum(1 + i), expected, "{}", group.name());
        }

        // What pprof's own check demands: numbers from 1, each pointing to something that is there.
        assert_eq!(read.string_table[0], "");
        let strings = read.string_table.len() as i64;
        for (i, mapping) in read.mapping.iter().enumerate() {
            assert_eq!(mapping.id, i as u64 + 1);
            assert!(mapping.filename < strings && mapping.build_id < strings);
        }
        for (i, function) in read.function.iter().enumerate() {
            assert_eq!(function.id, i as u64 + 1);
            assert!(function.name < strings && function.filename < strings);
        }
        for (i, location) in read.location.iter().enumerate() {
            assert_eq!(location.id, i as u64 + 1);
            assert!(location.mapping_id <= read.mapping.len() as u64);
            assert!(!location.line.is_empty());
            for line in &location.line {
                assert!((1..=read.function.len() as u64).contains(&line.function_id));
            }
        }
        for sample in &read.sample {
            assert_eq!(sample.value.len(), read.sample_type.len());
            for id in &sample.location_id {
                assert!((1..=read.location.len() as u64).contains(id));
            }
        }
        // Every frame of every stack is a line of its sample, in order; what has no stack has a name for that.
        let mut samples = read.sample.iter();
        for position in &order {
            let container = &window.rows[*position];
            let of_stacks: Vec<&proto::Sample> =
                samples.by_ref().take(container.stacks.len()).collect();
            assert_eq!(of_stacks.len(), container.stacks.len());
            for (stack, sample) in container.stacks.iter().zip(of_stacks) {
                let names: Vec<&str> = lines_of(&read, sample).collect();
                let mut frames: Vec<&str> = stack
                    .frames
                    .iter()
                    .map(|id| &*window.frames.frame(*id).function)
                    .collect();
                if frames.is_empty() {
                    frames.push(stand_in::NO_STACK);
                }
                assert_eq!(names, frames);
            }
            let is_rest = |sample: &&proto::Sample| {
                lines_of(&read, sample).eq([stand_in::NOT_SAMPLED]) && sample.value[0] == 0
            };
            let rest = samples.clone().take_while(is_rest).count();
            samples.by_ref().take(rest).for_each(drop);
        }
        assert_eq!(samples.count(), 0);
    }
}

/// Names of the functions of a sample, innermost first.
fn lines_of<'a>(
    profile: &'a proto::Profile,
    sample: &'a proto::Sample,
) -> impl Iterator<Item = &'a str> {
    sample
        .location_id
        .iter()
        .flat_map(|id| &profile.location[*id as usize - 1].line)
        .map(|line| {
            let function = &profile.function[line.function_id as usize - 1];
            profile.string_table[function.name as usize].as_str()
        })
}
