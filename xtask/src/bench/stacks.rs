//! A load with as many distinct user stacks as are asked for: every path through a tree of functions is one.

use std::arch::x86_64::_rdtsc;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};

/// Walk through distinct stacks on every CPU, then print when that ended, in ns of the monotonic clock, and the CPU time
/// that it took, in ns.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Distinct stacks of all threads together.
    #[arg(long)]
    stacks: u64,
    /// How often each is walked to.
    #[arg(long, default_value_t = 1)]
    rounds: u64,
    /// Time on one stack, in µs: a little more than from one sample to the next, so that each is sampled.
    #[arg(long, default_value_t = 0)]
    hold_us: u64,
    /// Work on one stack, in rounds of a loop: the same whatever runs beside it.
    #[arg(long, default_value_t = 0)]
    work: u64,
    /// Two threads for each CPU.
    #[arg(long)]
    twice: bool,
    /// Frames of a recursion above all of that.
    #[arg(long, default_value_t = 0)]
    deeper: u64,
    /// Go on alive for so long, in ms, before the first stack: tables of a program that is being watched are made meanwhile.
    #[arg(long, default_value_t = 0)]
    settle_ms: u64,
}

/// Functions on a path, without those that start the thread.
const DEPTH: u32 = 24;
/// Functions to choose from at each step: 6 bits of the number of a path.
const CHOICES: u64 = 64;

/// A walk through the paths of one thread.
struct Walk {
    /// The number of the path: which functions are called.
    path: u64,
    /// Bits that tell the paths apart.
    bits: u32,
    /// Ticks of the time-stamp counter on each path, at least.
    ticks: u64,
    /// Rounds of a loop on each path.
    work: u64,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let cpus = std::thread::available_parallelism()?.get() as u64;
    let threads = if args.twice { cpus * 2 } else { cpus };
    let bits = 64 - args.stacks.saturating_sub(1).leading_zeros().min(63);
    let settled = Instant::now() + Duration::from_millis(args.settle_ms);
    while Instant::now() < settled {}
    let (ticks, work) = (ticks_per_us() * args.hold_us, args.work);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let paths = (thread..args.stacks).step_by(threads as usize);
            scope.spawn(move || {
                for path in (0..args.rounds).flat_map(|_| paths.clone()) {
                    let walk = Walk {
                        path,
                        bits,
                        ticks,
                        work,
                    };
                    black_box(down(&walk, args.deeper));
                }
            });
        }
    });
    println!("{} {}", ns(ClockId::Monotonic), ns(ClockId::ProcessCPUTime));
    Ok(ExitCode::SUCCESS)
}

/// What the load says at its end.
pub(super) struct Ended {
    /// When, by the monotonic clock.
    pub(super) ended_ns: u64,
    /// CPU time that it took.
    pub(super) cpu_ns: u64,
}

impl Ended {
    /// Finds it in the output of a tool that ran the load.
    pub(super) fn find(text: &str) -> Result<Self> {
        let numbers = |line: &str| {
            let (ended, cpu) = line.split_once(' ')?;
            Some(Self {
                ended_ns: ended.parse().ok()?,
                cpu_ns: cpu.parse().ok()?,
            })
        };
        let found = text.lines().find_map(numbers);
        found.context("the load did not say when it ended")
    }
}

/// What a clock says, in ns.
pub(super) fn ns(clock: ClockId) -> u64 {
    let now = Duration::try_from(clock_gettime(clock)).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// The rate of the time-stamp counter: asking a clock on a path would add the clock's code to the stack.
fn ticks_per_us() -> u64 {
    let start = Instant::now();
    let first = ticks();
    std::thread::sleep(Duration::from_millis(20));
    (ticks() - first)
        / u64::try_from(start.elapsed().as_micros())
            .unwrap_or(u64::MAX)
            .max(1)
}

fn ticks() -> u64 {
    // SAFETY: every x86_64 has the instruction.
    unsafe { _rdtsc() }
}

/// Functions that go `left` functions deeper along the path, and stay at its end.
///
/// The choice is a window on the number's bits, from the highest to the lowest: neighbours share all but their last
/// functions, as in a real program, and no two paths are the same. Each pair of functions has a call of its own.
macro_rules! functions {
    ($($number:literal $name:ident)*) => {
        $(
            #[inline(never)]
            fn $name(walk: &Walk, left: u32) -> u64 {
                // What is added keeps the call from becoming a jump, and the functions from being merged.
                black_box(next(walk, left)) + $number
            }
        )*

        #[inline(always)]
        fn next(walk: &Walk, left: u32) -> u64 {
            if left == 0 {
                return stay(walk);
            }
            match (walk.path >> (walk.bits * (left - 1) / DEPTH)) % CHOICES {
                $($number => $name(walk, left - 1),)*
                _ => 0,
            }
        }
    };
}

functions! {
    0 f00 1 f01 2 f02 3 f03 4 f04 5 f05 6 f06 7 f07 8 f08 9 f09 10 f10 11 f11
    12 f12 13 f13 14 f14 15 f15 16 f16 17 f17 18 f18 19 f19 20 f20 21 f21 22 f22 23 f23
    24 f24 25 f25 26 f26 27 f27 28 f28 29 f29 30 f30 31 f31 32 f32 33 f33 34 f34 35 f35
    36 f36 37 f37 38 f38 39 f39 40 f40 41 f41 42 f42 43 f43 44 f44 45 f45 46 f46 47 f47
    48 f48 49 f49 50 f50 51 f51 52 f52 53 f53 54 f54 55 f55 56 f56 57 f57 58 f58 59 f59
    60 f60 61 f61 62 f62 63 f63
}

/// A recursion before the walk.
#[inline(never)]
fn down(walk: &Walk, left: u64) -> u64 {
    if left == 0 {
        return next(walk, DEPTH);
    }
    black_box(down(walk, left - 1)) + 1
}

#[inline(always)]
fn stay(walk: &Walk) -> u64 {
    let start = ticks();
    let mut sum = start;
    for round in 0..walk.work {
        sum = black_box(sum.wrapping_mul(31).wrapping_add(round));
    }
    while ticks() - start < walk.ticks {}
    sum
}
