//! Bytes on the agent's socket: whatever comes, it goes on answering.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::harness::agent::Agent;
use crate::harness::needs::privileged;
use crate::harness::program::now_ns;
use crate::harness::{Result, ensure, patience};

pub(super) fn trials() -> Vec<Trial> {
    vec![privileged("http_fuzz::bytes_on_a_real_socket", fuzz)]
}

/// Requests between two looks at whether it still answers.
const ROUND: u32 = 40;

/// xorshift64*: small, seeded, the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 11) as usize % end.max(1)
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let count = self.below(most);
        (0..count).map(|_| self.next() as u8).collect()
    }
}

const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "OPTIONS", "CONNECT", "TRACE", "get", "G\u{1}T", "",
];
const PATHS: [&str; 12] = [
    "/",
    "/metrics",
    "/healthz",
    "/readyz",
    "/flamegraph",
    "/debug/pprof/profile",
    "/../..",
    "//",
    "*",
    "/%00%ff",
    "http://evil.example/flamegraph",
    "/metrics#x",
];
const KEYS: [&str; 10] = [
    "seconds",
    "container",
    "pod",
    "cgroup",
    "state",
    "debug",
    "gc",
    "",
    "%",
    "a%00b",
];
const VALUES: [&str; 16] = [
    "0",
    "-1",
    "1e9",
    "18446744073709551616",
    "",
    "no-such-one",
    "/",
    "/../../etc",
    "*",
    "[",
    "\u{1b}[31m",
    "%ff%fe",
    "a/b",
    "all",
    "of-cpu",
    "%",
];
const HEADERS: [&str; 14] = [
    "Host: localhost",
    "Host: evil.example",
    "Host:",
    "Content-Length: 5",
    "Content-Length: -1",
    "Content-Length: 99999999999999999999",
    "Transfer-Encoding: chunked",
    "Accept: */*;q=2, text/plain;q=nan",
    "Accept-Encoding: gzip;q=0, identity;q=0, *",
    "Authorization: Basic !!!",
    "Expect: 100-continue",
    "Connection: close",
    "Upgrade: h2c",
    "X: \u{7f}",
];
const VERSIONS: [&str; 5] = ["HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/9.9", ""];

/// A request that is more or less one.
fn request(random: &mut Random) -> Vec<u8> {
    if random.below(8) == 0 {
        return random.bytes(2_000);
    }
    let mut path = random.of(&PATHS).to_owned();
    for number in 0..random.below(5) {
        path.push(if number == 0 { '?' } else { '&' });
        let (key, value) = (random.of(&KEYS), random.of(&VALUES));
        // A recording takes its time: only those that are refused.
        path.push_str(&format!("{key}={value}"));
    }
    if path.starts_with("/flamegraph") || path.starts_with("/debug") {
        path.push_str(if path.contains('?') { "&" } else { "?" });
        path.push_str("seconds=x");
    }
    let (method, version) = (random.of(&METHODS), random.of(&VERSIONS));
    let mut bytes = format!("{method} {path} {version}\r\n").into_bytes();
    for _ in 0..random.below(6) {
        bytes.extend(random.of(&HEADERS).bytes());
        bytes.extend(b"\r\n");
    }
    if random.below(10) == 0 {
        let long = "y".repeat(random.below(40_000));
        bytes.extend(format!("X-Long: {long}\r\n").bytes());
    }
    if random.below(10) == 0 {
        bytes.extend("A: b\r\n".repeat(random.below(200)).bytes());
    }
    bytes.extend(b"\r\n");
    if random.below(4) == 0 {
        let more = random.bytes(500);
        bytes.extend(more);
    }
    for _ in 0..random.below(4) {
        if random.below(3) == 0 {
            let at = random.below(bytes.len());
            bytes[at] = random.next() as u8;
        }
    }
    bytes
}

/// Sends some requests on one connection: at once, in pieces, cut short, read or not.
fn connection(agent: &Agent, random: &mut Random) -> Result {
    let mut stream = TcpStream::connect(agent.address())?;
    stream.set_read_timeout(Some(Duration::from_millis(20)))?;
    stream.set_write_timeout(Some(Duration::from_millis(200)))?;
    let mut bytes = Vec::new();
    for _ in 0..=random.below(4) {
        bytes.extend(request(random));
    }
    if random.below(5) == 0 {
        bytes.truncate(random.below(bytes.len()));
    }
    let piece = match random.below(4) {
        0 => 1 + random.below(200),
        _ => bytes.len().max(1),
    };
    for piece in bytes.chunks(piece) {
        // It may have answered, and closed, before it has all.
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    if random.below(3) > 0 {
        let _ = stream.read(&mut [0; 4_096]);
    }
    Ok(())
}

fn fuzz() -> Result {
    let seconds = std::env::var("CTPROF_FUZZ_SECONDS").ok();
    let seconds = seconds.and_then(|it| it.parse().ok()).unwrap_or(2);
    let seed = std::env::var("CTPROF_FUZZ_SEED").ok();
    let seed = seed.and_then(|it| it.parse().ok()).unwrap_or_else(now_ns) | 1;
    let agent = Agent::start(&[])?;
    let mut random = Random(seed);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(seconds) {
        for _ in 0..ROUND {
            connection(&agent, &mut random)?;
        }
        let asked = Instant::now();
        let answer = agent.ask("/healthz", "")?;
        ensure!(
            answer.code == 200 && asked.elapsed() < patience(),
            "CTPROF_FUZZ_SEED={seed}: /healthz answers {} after {:?}",
            answer.code,
            asked.elapsed()
        );
    }
    let scrape = agent.scrape()?;
    ensure!(
        scrape.get("ctprof_profiles_running", &[])? < 0.5,
        "CTPROF_FUZZ_SEED={seed}: something is recorded"
    );
    let log = agent.end()?;
    ensure!(!log.contains("panicked"), "CTPROF_FUZZ_SEED={seed}: {log}");
    Ok(())
}
