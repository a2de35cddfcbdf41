//! What symbolizing costs. Run it where it matters:
//! `cargo test --release -p ctprof --test symbolize measure -- --ignored --nocapture`

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ctprof::model::{FrameTable, ProcessKey};

use crate::support::{Program, compile, has, skip, symbolizer};

/// Unique addresses asked for, as many as 100,000 distinct stacks have.
const ADDRESSES: u64 = 20_000;

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Addresses spread over all code that `pid` maps from `file`.
fn spread(pid: u32, file: &str) -> Vec<u64> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let ranges: Vec<(u64, u64)> = maps
        .lines()
        .filter(|line| line.contains(" r-xp ") && line.ends_with(file))
        .map(|line| {
            let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
            let hex = |text| u64::from_str_radix(text, 16).unwrap();
            (hex(start), hex(end))
        })
        .collect();
    let total: u64 = ranges.iter().map(|(start, end)| end - start).sum();
    let step = (total / ADDRESSES).max(1);
    let all = ranges
        .iter()
        .flat_map(|(start, end)| (*start..*end).step_by(step as usize));
    all.take(ADDRESSES as usize).collect()
}

fn measure(what: &str, key: ProcessKey, addresses: &[u64]) -> Duration {
    let before = resident_kib();
    let mut symbolizer = symbolizer();
    let start = Instant::now();
    symbolizer.observe(key);
    let observed = start.elapsed();
    let start = Instant::now();
    symbolizer.observe(key);
    let again = start.elapsed();
    let mut table = FrameTable::default();
    let start = Instant::now();
    let resolved = symbolizer.user(key, addresses, &mut table);
    let cold = start.elapsed();
    let start = Instant::now();
    symbolizer.user(key, addresses, &mut table);
    let warm = start.elapsed();
    let after = resident_kib();
    let named = resolved
        .iter()
        .filter(|resolved| !table.frame(resolved.frames[0]).function.starts_with('['))
        .count();
    let count = addresses.len() as u32;
    eprintln!(
        "{what}: observe {observed:?}, again {again:?}; {count} addresses, {named} named, {} frames: cold {cold:?} \
         ({:?} each), warm {warm:?} ({:?} each), {} MiB more resident; {:?}",
        table.frames().len(),
        cold / count.max(1),
        warm / count.max(1),
        after.saturating_sub(before) / 1024,
        symbolizer.problems(),
    );
    cold
}

/// Programs that need not run: any, in the variable `CTPROF_MEASURE`, separated by spaces.
#[test]
#[ignore = "a measurement, for a release build"]
fn mapped_programs() {
    if !has("cc") {
        skip!("no C compiler");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("program");
    compile("cc", "program.c", &path, &["-O1"]);
    for file in std::env::var("CTPROF_MEASURE")
        .unwrap_or_default()
        .split(' ')
    {
        let Ok(size) = std::fs::metadata(file) else {
            continue;
        };
        let mut program = Program::start(&path);
        program.tell(&format!("map {file}"));
        let addresses = spread(program.pid(), file);
        let what = format!("{file}, {} MiB", size.len() >> 20);
        measure(&what, program.key(), &addresses);
    }
}

struct Sleeper(Child);

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "a measurement, for a release build"]
fn own_program_with_debug_information() {
    let exe = std::env::current_exe().unwrap();
    let name = exe.file_name().unwrap().to_str().unwrap();
    let addresses = spread(std::process::id(), name);
    let key = ProcessKey {
        pid: std::process::id(),
        exec_id: 0,
    };
    let size = std::fs::metadata(&exe).unwrap().len() >> 20;
    let cold = measure(&format!("this program, {size} MiB"), key, &addresses);
    assert!(cold < Duration::from_secs(1));
}

#[test]
#[ignore = "a measurement, for a release build"]
fn large_programs() {
    for (program, arguments) in [
        ("node", &["-e", "setTimeout(() => 0, 20000)"][..]),
        ("python3", &["-c", "import time; time.sleep(20)"][..]),
    ] {
        if !has(program) {
            eprintln!("skipped: no {program}");
            continue;
        }
        let child = Command::new(program)
            .args(arguments)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let child = Sleeper(child);
        std::thread::sleep(Duration::from_millis(500));
        let pid = child.0.id();
        let Ok(exe) = std::fs::read_link(format!("/proc/{pid}/exe")) else {
            eprintln!("skipped: {program} has ended");
            continue;
        };
        let Ok(size) = std::fs::metadata(&exe) else {
            continue;
        };
        let addresses = spread(pid, exe.to_str().unwrap());
        let what = format!("{}, {} MiB", exe.display(), size.len() >> 20);
        measure(&what, ProcessKey { pid, exec_id: 1 }, &addresses);
    }
}

#[test]
#[ignore = "a measurement, for a release build"]
fn kernel() {
    let before = resident_kib();
    let mut symbolizer = symbolizer();
    let mut table = FrameTable::default();
    let base = 0xffff_ffff_8100_0000u64;
    let addresses: Vec<u64> = (0..ADDRESSES / 4).map(|at| base + at * 1500).collect();
    let start = Instant::now();
    symbolizer.kernel(&addresses, &mut table);
    let cold = start.elapsed();
    let start = Instant::now();
    symbolizer.kernel(&addresses, &mut table);
    eprintln!(
        "kernel, {} addresses: cold {cold:?}, warm {:?}, {} MiB more resident",
        addresses.len(),
        start.elapsed(),
        resident_kib().saturating_sub(before) / 1024
    );
}

/// Many short-lived processes of one program.
#[test]
#[ignore = "a measurement, for a release build"]
fn many_processes() {
    if !has("cc") {
        skip!("no C compiler");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("program");
    compile("cc", "program.c", Path::new(&path), &["-O1", "-g"]);
    let programs: Vec<_> = (0..100).map(|_| Program::start(&path)).collect();
    let mut symbolizer = symbolizer();
    let start = Instant::now();
    for program in &programs {
        symbolizer.observe(program.key());
    }
    let observed = start.elapsed() / 100;
    let mut table = FrameTable::default();
    let mut start = Instant::now();
    let mut first = Duration::ZERO;
    for (number, program) in programs.iter().enumerate() {
        if number == 1 {
            first = start.elapsed();
            start = Instant::now();
        }
        let addresses: Vec<u64> = ["alpha", "hidden", "main_caller", "inlined"]
            .iter()
            .map(|name| program.value(name))
            .collect();
        symbolizer.user(program.key(), &addresses, &mut table);
    }
    eprintln!(
        "100 processes of one program: observe {observed:?} each, {:?} held, resolve first {first:?}, others {:?} each",
        symbolizer.held(),
        start.elapsed() / 99
    );
}
