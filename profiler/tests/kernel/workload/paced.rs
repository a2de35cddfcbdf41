//! Threads that want the CPU at known moments.

use std::time::{Duration, Instant};

use super::Options;
use super::clock::Meter;
use super::lives::work;

/// For `--ms`, each of `--threads` threads works for `--work` us and sleeps for `--sleep` us, over and over. Prints
/// the sums of what they spent, and of what all that took too long: they are ready to run meanwhile.
pub(super) fn paced(options: &Options) {
    let end = Instant::now() + options.duration();
    let busy = Duration::from_micros(options.number("--work", 2000));
    let asleep = Duration::from_micros(options.number("--sleep", 2000));
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..options.number("--threads", 1))
            .map(|_| {
                scope.spawn(|| {
                    let meter = Meter::begin();
                    let mut late = Duration::ZERO;
                    while Instant::now() < end {
                        let before = Instant::now();
                        work(busy);
                        if !asleep.is_zero() {
                            std::thread::sleep(asleep);
                        }
                        late += before.elapsed().saturating_sub(busy + asleep);
                    }
                    (meter.end(), late)
                })
            })
            .collect();
        for (spent, late) in threads
            .into_iter()
            .flat_map(std::thread::ScopedJoinHandle::join)
        {
            println!("wall_ns {}", spent.wall_ns);
            println!("cpu_ns {}", spent.cpu_ns);
            println!("delay_ns {}", spent.delay_ns);
            println!("late_ns {}", late.as_nanos());
        }
    });
}
