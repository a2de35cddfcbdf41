//! What symbolizing costs, for `cargo xtask bench`: looks up addresses of a process and prints nanoseconds.

#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;

use ctprof::model::{FrameTable, ProcessKey};
use ctprof::symbolize::{Options, Symbolizer};

/// Unique addresses asked for, as many as 100,000 distinct stacks of a large program have.
const ADDRESSES: usize = 20_000;
/// Bytes of a function in the code that no file explains.
const FUNCTION_BYTES: usize = 256;

/// `symbolize PID FILE`: code that the process maps from the file. `symbolize jit`: code of this process that a perf map
/// names.
///
/// Prints addresses, those that have a name, ns of CPU time for all of them at first, and once more.
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (pid, addresses, _map) = match arguments.as_slice() {
        [pid, file] => {
            let pid = pid.parse()?;
            (pid, spread(pid, file)?, None)
        }
        [jit] if jit == "jit" => {
            let (addresses, map) = jitted()?;
            (std::process::id(), addresses, Some(map))
        }
        _ => return Err("usage: symbolize PID FILE, or symbolize jit".into()),
    };
    let process = ProcessKey { pid, exec_id: 0 };
    let mut symbolizer = Symbolizer::new(Options::default());
    symbolizer.observe(process);
    let mut table = FrameTable::default();
    let start = cpu_time()?;
    let resolved = symbolizer.user(process, &addresses, &mut table);
    let cold = cpu_time()? - start;
    let start = cpu_time()?;
    symbolizer.user(process, &addresses, &mut table);
    let warm = cpu_time()? - start;
    let named = resolved
        .iter()
        .filter(|it| !table.frame(it.frames[0]).function.starts_with('['))
        .count();
    println!(
        "{} {named} {} {}",
        addresses.len(),
        cold.as_nanos(),
        warm.as_nanos()
    );
    Ok(())
}

/// CPU time of this thread, which other work on the machine does not lengthen.
fn cpu_time() -> Result<Duration, Box<dyn Error>> {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Ok(Duration::try_from(now)?)
}

/// Addresses spread over all code that `pid` maps from `file`.
fn spread(pid: u32, file: &str) -> Result<Vec<u64>, Box<dyn Error>> {
    let mut ranges = Vec::new();
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
    for line in maps.lines() {
        if line.contains(" r-xp ") && line.ends_with(file) {
            let (start, rest) = line.split_once('-').ok_or("no range")?;
            let (end, _) = rest.split_once(' ').ok_or("no range")?;
            ranges.push(u64::from_str_radix(start, 16)?..u64::from_str_radix(end, 16)?);
        }
    }
    let total: u64 = ranges.iter().map(|range| range.end - range.start).sum();
    let step = usize::try_from(total)? / ADDRESSES;
    let all = ranges.into_iter().flat_map(|it| it.step_by(step.max(1)));
    Ok(all.take(ADDRESSES).collect())
}

/// Maps code that no file explains, and writes the perf map that names it.
fn jitted() -> Result<(Vec<u64>, PerfMap), Box<dyn Error>> {
    let bytes = ADDRESSES * FUNCTION_BYTES;
    // SAFETY: a new mapping at a place of the kernel's choice, which nothing else refers to.
    let code = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_EXEC,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if code == libc::MAP_FAILED {
        return Err(std::io::Error::last_os_error().into());
    }
    let functions = || (code as usize..code as usize + bytes).step_by(FUNCTION_BYTES);
    let mut map = String::new();
    for (number, start) in functions().enumerate() {
        writeln!(
            map,
            "{start:x} {FUNCTION_BYTES:x} LazyCompile:~function{number} /srv/app/file.js:{number}"
        )?;
    }
    let held = PerfMap(format!("/tmp/perf-{}.map", std::process::id()));
    std::fs::write(&held.0, map)?;
    let middles = functions().map(|start| (start + FUNCTION_BYTES / 2) as u64);
    Ok((middles.collect(), held))
}

/// A file that goes when it is dropped.
struct PerfMap(String);

impl Drop for PerfMap {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
