//! Test only: damaged input for whatever reads what we did not write.
//!
//! A fuzz test gives real inputs and a reader; [`fuzz`] calls the reader with mutations of them for
//! `CTPROF_FUZZ_SECONDS` (default: 2). A reader must not panic (in test builds arithmetic that overflows is one), must
//! end, and must need no more time and memory than its input warrants; whatever else has to hold of its result, the
//! test asserts itself. `cargo xtask test` runs everything with `fuzz` in its name for a minute, side by side.
//!
//! Mutations follow from the seed alone, so that a failure comes again; `CTPROF_FUZZ_SEED` tries other ones.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Longer inputs than the real ones find nothing that shorter ones do not.
const MOST_BYTES: usize = 64 << 10;

/// CPU time that one input may cost. The largest take milliseconds in a build without optimization; what grows with the
/// square of its input, or without end, takes seconds.
const MOST_CPU: Duration = Duration::from_secs(3);

/// Time after which a reader that has not returned is taken for one that never will. Nothing else depends on the clock on
/// the wall: a thread that waits for a CPU for so long is not to be expected on any machine.
const HANGS: Duration = Duration::from_secs(120);

/// Memory that one input may cost, beside a multiple of its own size.
const MOST_MEMORY: usize = 16 << 20;
const MEMORY_PER_BYTE: usize = 64;

/// Calls `read` with mutations of `inputs`, the inputs themselves first.
///
/// # Panics
/// `read` panicked, hung, or took too much time or memory: the message has the input.
pub(crate) fn fuzz<I: AsRef<[u8]>>(inputs: &[I], read: impl Fn(&[u8]) + Send + 'static) {
    let inputs: Vec<Vec<u8>> = inputs.iter().map(|input| input.as_ref().to_vec()).collect();
    let current = Arc::new(Mutex::new((Instant::now(), Vec::new())));
    let seen = Arc::clone(&current);
    let (sender, receiver) = channel();
    // A thread of its own: a reader that hangs must not keep the test from failing.
    let worker = std::thread::spawn(move || {
        let result = run(&inputs, &read, &current);
        let _ = sender.send(result);
    });
    loop {
        match receiver.recv_timeout(Duration::from_secs(1)) {
            Ok(Ok(())) => break,
            Ok(Err(failure)) => panic!("{failure}"),
            Err(RecvTimeoutError::Timeout) => {
                let current = seen.lock().unwrap_or_else(PoisonError::into_inner);
                if current.0.elapsed() > HANGS {
                    panic!("does not end\n{}", shown(&current.1));
                }
            }
            Err(RecvTimeoutError::Disconnected) => panic!("the worker is gone"),
        }
    }
    worker.join().unwrap();
}

fn run(
    inputs: &[Vec<u8>],
    read: &impl Fn(&[u8]),
    current: &Mutex<(Instant, Vec<u8>)>,
) -> Result<(), String> {
    let seconds = number("CTPROF_FUZZ_SECONDS").unwrap_or(2);
    let mut random = Random(number("CTPROF_FUZZ_SEED").unwrap_or(1));
    let end = Instant::now() + Duration::from_secs(seconds);
    let tokens = tokens(inputs);
    let mut count = 0_usize;
    // The real inputs are read however slow the machine is.
    while count < inputs.len() || Instant::now() < end {
        let bytes = match inputs.get(count) {
            Some(input) => input.clone(),
            None => mutated(inputs, &tokens, &mut random),
        };
        count += 1;
        *current.lock().unwrap_or_else(PoisonError::into_inner) = (Instant::now(), bytes.clone());
        let (cpu, memory) = (clock_gettime(ClockId::ThreadCPUTime), Memory::begin());
        let result = catch_unwind(AssertUnwindSafe(|| read(&bytes)));
        let most = memory.most();
        let cpu = Duration::try_from(clock_gettime(ClockId::ThreadCPUTime) - cpu);
        let what = match (result, cpu) {
            // The hook has printed where and why.
            (Err(_), _) => "panics".to_owned(),
            (_, Ok(cpu)) if cpu > MOST_CPU => format!("takes {cpu:?} of CPU time"),
            _ if most > MOST_MEMORY + MEMORY_PER_BYTE * bytes.len() => {
                format!("takes {most} bytes of memory")
            }
            _ => continue,
        };
        return Err(format!("input {count}: {what}\n{}", shown(&bytes)));
    }
    eprintln!("{count} inputs");
    Ok(())
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// An input as a byte string of Rust, to be pasted into a test.
fn shown(bytes: &[u8]) -> String {
    format!("{} bytes: b\"{}\"", bytes.len(), bytes.escape_ascii())
}

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below `end`, or 0.
    fn below(&mut self, end: usize) -> usize {
        self.next() as usize % end.max(1)
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// What breaks formats of text.
const TEXTS: [&[u8]; 24] = [
    b"",
    b"0",
    b"-1",
    b"18446744073709551615",
    b"18446744073709551616",
    b"9223372036854775807",
    b"4294967296",
    b"1e999",
    b"nan",
    b"ffffffffffffffff",
    b"\0",
    b"\n",
    b"\r\n",
    b" ",
    b"\t",
    b"\\",
    b"\\040",
    b"\x1b[31m",
    b"\xff",
    "\u{202e}".as_bytes(),
    "\u{e000}".as_bytes(),
    b"../../..",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    b"{\"a\":{\"a\":{\"a\":{\"a\":",
];

/// What breaks formats of numbers; cut to what fits.
const NUMBERS: [u64; 10] = [
    0,
    1,
    0x7f,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    1 << 63,
    u64::MAX,
];

/// The words of the real inputs, for text is mutated best in its own words.
fn tokens(inputs: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut tokens: Vec<Vec<u8>> = inputs
        .iter()
        .flat_map(|input| input.split(|byte| !byte.is_ascii_alphanumeric()))
        .filter(|word| (1..64).contains(&word.len()))
        .map(<[u8]>::to_vec)
        .collect();
    tokens.sort_unstable();
    tokens.dedup();
    tokens.extend(TEXTS.iter().map(|text| text.to_vec()));
    tokens
}

/// One of `inputs` after a few changes.
fn mutated(inputs: &[Vec<u8>], tokens: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = random.one(inputs).clone();
    let most = MOST_BYTES.max(2 * bytes.len());
    for _ in 0..=random.below(8) {
        let at = random.below(bytes.len() + 1);
        let length = match random.below(4) {
            0 => random.below(bytes.len() - at + 1),
            _ => random.below(16).min(bytes.len() - at),
        };
        let range = at..at + length;
        match random.below(10) {
            0 if length > 0 => bytes[at] ^= 1 << random.below(8),
            1 => {
                let width = 1 << random.below(4);
                let number = random.one(&NUMBERS).to_ne_bytes();
                for (slot, byte) in bytes[at..].iter_mut().zip(&number[..width]) {
                    *slot = *byte;
                }
            }
            2 => drop(bytes.drain(range)),
            3 => {
                let part = bytes[range].repeat(1 << random.below(8));
                bytes.splice(at..at, part);
            }
            4 => {
                let other = random.one(inputs);
                let start = random.below(other.len() + 1);
                let end = start + random.below(other.len() - start + 1);
                bytes.splice(range, other[start..end].iter().copied());
            }
            5 => bytes.truncate(at),
            6 => {
                // A whole word or number for another one.
                let is_word = |byte: &u8| byte.is_ascii_alphanumeric();
                let begins = bytes[at..].iter().position(is_word).unwrap_or_default() + at;
                let word = bytes[begins..].iter().take_while(|byte| is_word(byte));
                let ends = begins + word.count();
                bytes.splice(begins..ends, random.one(tokens).iter().copied());
            }
            7 => {
                let noise: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
                bytes.splice(range, noise);
            }
            _ => drop(bytes.splice(at..at, random.one(tokens).iter().copied())),
        }
        bytes.truncate(most);
    }
    bytes
}

/// What this thread has allocated and not freed, and the most of it.
struct Memory;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

impl Memory {
    fn begin() -> Self {
        HELD.set(0);
        MOST.set(0);
        Self
    }

    fn most(&self) -> usize {
        MOST.get()
    }
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is passed on to the system's allocator as it is; what is counted beside it are numbers of a thread,
// which need neither memory nor a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.get().wrapping_add(layout.size());
        HELD.set(held);
        MOST.set(MOST.get().max(held));
        // SAFETY: the caller keeps to the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // Something may be freed that was allocated before the count began, or by another thread.
        HELD.set(HELD.get().saturating_sub(layout.size()));
        // SAFETY: the caller keeps to the same contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(read: impl Fn(&[u8]) + Send + 'static) -> String {
        let current = Mutex::new((Instant::now(), Vec::new()));
        run(&[b"key 17\n".to_vec()], &read, &current).unwrap_err()
    }

    #[test]
    fn what_a_reader_must_not_do_is_found() {
        let text = failure(|bytes| assert!(!bytes.windows(2).any(|pair| pair == b"\xff\n")));
        assert!(text.contains(" panics\n"), "{text}");
        let text = failure(|bytes| {
            if bytes.len() > 7 {
                drop(Vec::<u8>::with_capacity(1 << 30));
            }
        });
        assert!(text.contains(" takes 1073741824 bytes of memory"), "{text}");
        let text = failure(|_| {
            let begin = clock_gettime(ClockId::ThreadCPUTime);
            let used = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime) - begin);
            while used().unwrap() <= MOST_CPU {}
        });
        assert!(text.contains("input 1: takes 3."), "{text}");
    }
}
