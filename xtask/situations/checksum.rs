//! One thread that computes all the time, in a function that an optimised build without frame pointers keeps:
//! `checksum THREADS`.

use std::fs::OpenOptions;
use std::hint::black_box;
use std::io::Write;

#[inline(never)]
fn checksum_rows(rows: &[u64]) -> u64 {
    let mut sum = 14_695_981_039_346_656_037_u64;
    for _ in 0..40 {
        for row in rows {
            sum = (sum ^ row).wrapping_mul(1_099_511_628_211).rotate_left(7);
        }
    }
    sum
}

fn verify_table() {
    let rows: Vec<u64> = (0..16_384).collect();
    let work = OpenOptions::new().append(true).create(true).open("/out/work");
    let mut work = work.expect("the directory for results is mounted");
    loop {
        black_box(checksum_rows(black_box(&rows)));
        work.write_all(b".").expect("results can be written");
    }
}

fn main() {
    let threads: usize = std::env::args().nth(1).and_then(|it| it.parse().ok()).unwrap_or(1);
    for _ in 1..threads {
        std::thread::spawn(verify_table);
    }
    verify_table();
}
