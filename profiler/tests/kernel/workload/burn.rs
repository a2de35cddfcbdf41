//! Burning CPU in two functions.

use std::hint::black_box;
use std::io::Result;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::Options;
use super::clock::{self, Meter};
use super::policy;
use crate::harness::{emulated, frequency};

/// Units of work in a round of average length: short enough to end on time, long enough that the clock costs nothing.
const ROUND: u64 = 100;
/// Multiplications in a unit, some microseconds.
const UNIT: u64 = 500;

/// Burns CPU on `--threads` threads for `--ms`: `--alpha` percent of the work in [`alpha`], the rest in
/// [`beta`]. Prints the CPU time that the process has used, and that in `alpha`, and the sums over its threads of their lifetimes, of
/// their time on a CPU, and of
/// their waits for a CPU. `--policy` is that of its threads; see [`policy`].
///
/// An emulated CPU stands still whenever the machine's own scheduler runs something else, while the guest's
/// clock goes on and the guest's kernel accounts the pause as CPU time. Timer interrupts that fell into it
/// are delivered as one. A round takes a fraction of a millisecond; where it took more CPU time than one
/// sampling period, one sample is all it can have had, and the rest of it is printed as stalled.
pub(super) fn burn(options: &Options) -> Result<()> {
    let threads = options.number("--threads", 1);
    let hertz = options.number("--frequency", frequency()).max(1);
    let period = Duration::from_nanos(1_000_000_000 / hertz);
    let end = Instant::now() + options.duration();
    let alpha_share = options.number("--alpha", 70).min(100);
    let (stalled_ns, alpha_ns) = (AtomicU64::new(0), AtomicU64::new(0));
    let (wall_ns, delay_ns) = (AtomicU64::new(0), AtomicU64::new(0));
    let ran_ns = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let burners = (0..threads).map(|_| {
            scope.spawn(|| {
                policy::apply(options)?;
                let meter = Meter::begin();
                let mut last = cpu_time(ClockId::ThreadCPUTime);
                let mut random = 1_u32;
                while Instant::now() < end {
                    // From half to one and a half: rounds of one length could keep step with the samples. The numbers
                    // are those of a common linear generator, of which the upper bits are good enough.
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let round = ROUND / 2 + ROUND * u64::from(random >> 16) / 65_536;
                    let alpha_units = round * alpha_share / 100;
                    if alpha_units > 0 {
                        black_box(alpha(alpha_units));
                    }
                    let between = cpu_time(ClockId::ThreadCPUTime);
                    add(&alpha_ns, between.saturating_sub(last));
                    if alpha_units < round {
                        black_box(beta(round - alpha_units));
                    }
                    let now = cpu_time(ClockId::ThreadCPUTime);
                    let stalled = now.saturating_sub(last).saturating_sub(period);
                    add(&stalled_ns, stalled);
                    last = now;
                }
                let spent = meter.end();
                wall_ns.fetch_add(spent.wall_ns, Ordering::Relaxed);
                ran_ns.fetch_add(spent.cpu_ns, Ordering::Relaxed);
                // It had to wait before it could begin, too.
                delay_ns.fetch_add(clock::delay_ns(), Ordering::Relaxed);
                Ok::<_, std::io::Error>(())
            })
        });
        let burners: Vec<_> = burners.collect();
        burners
            .into_iter()
            .try_for_each(|burner| burner.join().unwrap_or(Ok(())))
    })?;
    println!("cpu_ns {}", cpu_time(ClockId::ProcessCPUTime).as_nanos());
    println!("alpha_ns {}", alpha_ns.into_inner());
    println!("wall_ns {}", wall_ns.into_inner());
    println!("ran_ns {}", ran_ns.into_inner());
    println!("delay_ns {}", delay_ns.into_inner());
    if emulated() {
        println!("stalled_ns {}", stalled_ns.into_inner());
    }
    Ok(())
}

fn add(sum: &AtomicU64, time: Duration) {
    let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    sum.fetch_add(ns, Ordering::Relaxed);
}

fn cpu_time(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::from_secs(time.tv_sec.cast_unsigned())
        + Duration::from_nanos(time.tv_nsec.cast_unsigned())
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
