//! The programs whose truth is known: `kernel workload NAME [--option value]…`.

use std::collections::HashMap;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Units of work in one round: short enough to end on time, long enough that the clock costs nothing.
const ROUND: u64 = 100;
/// Multiplications in a unit, some microseconds.
const UNIT: u64 = 2_000;

/// Runs the workload that `args` names.
pub(crate) fn main(mut args: impl Iterator<Item = String>) -> ExitCode {
    let name = args.next().unwrap_or_default();
    let mut options = HashMap::new();
    while let (Some(name), Some(value)) = (args.next(), args.next()) {
        options.insert(name, value);
    }
    let number = |name: &str, default: u64| {
        let value = options.get(name);
        value
            .and_then(|value| value.parse().ok())
            .unwrap_or(default)
    };
    let duration = Duration::from_millis(number("--ms", 1000));
    match name.as_str() {
        "burn" => burn(number("--threads", 1), duration, number("--alpha", 70)),
        "sleep" => std::thread::sleep(duration),
        "exit" => return ExitCode::from(u8::try_from(number("--code", 0)).unwrap_or(u8::MAX)),
        _ => {
            println!("no workload called {name:?}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// Burns CPU on `threads` threads for `duration`: `alpha_percent` of the work in [`alpha`], the rest in
/// [`beta`]. Prints the CPU time that the process has used, in ns.
fn burn(threads: u64, duration: Duration, alpha_percent: u64) {
    let end = Instant::now() + duration;
    let alpha_units = ROUND * alpha_percent.min(100) / 100;
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while Instant::now() < end {
                    if alpha_units > 0 {
                        black_box(alpha(alpha_units));
                    }
                    if alpha_units < ROUND {
                        black_box(beta(ROUND - alpha_units));
                    }
                }
            });
        }
    });
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    println!(
        "cpu_ns {}",
        i128::from(used.tv_sec) * 1_000_000_000 + i128::from(used.tv_nsec)
    );
}

/// One of two functions with the same work and different names.
#[inline(never)]
// SAFETY: no other symbol of the program is called like this.
#[unsafe(no_mangle)]
extern "C" fn alpha(units: u64) -> u64 {
    work(units, 3)
}

/// One of two functions with the same work and different names.
#[inline(never)]
// SAFETY: no other symbol of the program is called like this.
#[unsafe(no_mangle)]
extern "C" fn beta(units: u64) -> u64 {
    work(units, 5)
}

#[inline(always)]
fn work(units: u64, mut value: u64) -> u64 {
    let mut step = 0;
    while step < units * UNIT {
        value = value.wrapping_mul(6_364_136_223_846_793_005) ^ step;
        step += 1;
    }
    value
}
