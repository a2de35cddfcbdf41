//! What making unwind tables costs: `unwind_table FILE...` prints for each file what its table has, its size, the CPU time,
//! and how much memory the process had at most until then.

#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

use std::error::Error;
use std::fs::File;
use std::time::{Duration, Instant};

use ctprof::unwind::{Limits, Table};

fn main() -> Result<(), Box<dyn Error>> {
    for path in std::env::args().skip(1) {
        let start = cpu_time()?;
        let limits = Limits::until(Instant::now() + Duration::from_secs(60));
        let table = Table::of_file(File::open(&path)?, &limits);
        let cost = cpu_time()? - start;
        let peak = peak_kib()?;
        match table {
            Ok(table) => println!(
                "{path}: {:?}, {} pages, {} KiB; {cost:?}, peak {peak} KiB",
                table.counts(),
                table.pages(),
                table.blocks().len() / 4,
            ),
            Err(error) => println!("{path}: {error}; {cost:?}, peak {peak} KiB"),
        }
    }
    Ok(())
}

/// CPU time of this thread, which other work on the machine does not lengthen.
fn cpu_time() -> Result<Duration, Box<dyn Error>> {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Ok(Duration::try_from(now)?)
}

/// Most memory that this process had so far, in KiB.
fn peak_kib() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or("no VmHWM")?.parse()?)
}
