//! Sends requests at a limited rate: `limiter PAUSE_MS`, the pause being a function of its own.

use std::fs::OpenOptions;
use std::hint::black_box;
use std::io::Write;
use std::thread;
use std::time::Duration;

/// Returns something, so that an optimiser leaves its frame on the stack while it sleeps.
#[inline(never)]
fn wait_for_token(pause: Duration) -> u64 {
    thread::sleep(pause);
    black_box(1)
}

#[inline(never)]
fn send_request(body: &[u64]) -> u64 {
    (0..50).fold(0, |sum, round| body.iter().fold(sum ^ round, |sum, it| (sum ^ it).wrapping_mul(31)))
}

fn main() {
    let ms: f64 = std::env::args().nth(1).and_then(|it| it.parse().ok()).unwrap_or(10.0);
    let body: Vec<u64> = (0..8_192).collect();
    let work = OpenOptions::new().append(true).create(true).open("/out/work");
    let mut work = work.expect("the directory for results is mounted");
    loop {
        if ms > 0.0 {
            black_box(wait_for_token(Duration::from_secs_f64(ms / 1e3)));
        }
        black_box(send_request(black_box(&body)));
        work.write_all(b".").expect("results can be written");
    }
}
