//! Deep recursion, whose every frame is known.

use std::hint::black_box;
use std::time::Duration;

use super::Options;
use super::clock::now_ns;

/// Waits for `--settle` ms, then goes `--depth` calls of [`descend`] deep and stays at the bottom for `--ms`: asleep for a
/// millisecond at a time with `--asleep` 1, else at work.
pub(super) fn deep(options: &Options) {
    settle(options.number("--settle", 0));
    let ms = u64::try_from(options.duration().as_millis()).unwrap_or(u64::MAX);
    let end_ns = now_ns().saturating_add(ms.saturating_mul(1_000_000));
    let is_asleep = options.number("--asleep", 0) != 0;
    let depth = options.number("--depth", 300);
    println!("descended {}", descend(depth, end_ns, is_asleep));
}

/// Told apart from the sleep at the bottom by its name.
#[inline(never)]
// SAFETY: no other symbol of the program is called like this.
#[unsafe(no_mangle)]
extern "C" fn settle(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
    black_box(ms);
}

#[inline(never)]
// SAFETY: no other symbol of the program is called like this.
#[unsafe(no_mangle)]
extern "C" fn descend(depth: u64, end_ns: u64, is_asleep: bool) -> u64 {
    if depth > 1 {
        // Not the last thing that it does: else it could be a jump.
        return black_box(descend(black_box(depth - 1), end_ns, is_asleep)) + 1;
    }
    bottom(end_ns, is_asleep) + 1
}

#[inline(never)]
// SAFETY: no other symbol of the program is called like this.
#[unsafe(no_mangle)]
extern "C" fn bottom(end_ns: u64, is_asleep: bool) -> u64 {
    while now_ns() < end_ns {
        if is_asleep {
            std::thread::sleep(Duration::from_millis(1));
        } else {
            for number in 0..10_000_u64 {
                black_box(number);
            }
        }
    }
    black_box(0)
}
