//! The agent while something else runs: its start, its answers, its memory.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::condition::{Process, ctprof};
use super::held;

/// What a run of the agent cost.
pub(super) struct Costs {
    /// From its start to everything attached.
    pub(super) start_ns: f64,
    /// A scrape, from connecting to the last byte: the median of some.
    pub(super) scrape_ns: f64,
    /// Length of the answer.
    pub(super) answer_bytes: f64,
    /// Resident memory after them.
    pub(super) resident_bytes: f64,
    /// Kernel memory by map.
    pub(super) maps: Vec<held::Map>,
}

/// The agent answers with figures of a moment ago if asked again within a second.
const PAUSE: Duration = Duration::from_millis(1_100);
const SCRAPES: usize = 3;

/// Starts the agent with a row for every cgroup, asks it some times, and ends it.
pub(super) fn measure() -> Result<Costs> {
    // Free a moment ago; nobody else wants it.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let mut command = ctprof();
    command
        .args(["agent", "--by", "cgroup", "--max-containers", "10000"])
        .args(["--listen", &address])
        .stdout(Stdio::null());
    let start = Instant::now();
    let process = Process::start(command, "ready: ")?;
    let start_ns = ns(start);
    let mut scrapes = Vec::new();
    let mut answer = Vec::new();
    for _ in 0..SCRAPES {
        std::thread::sleep(PAUSE);
        let start = Instant::now();
        answer = scrape(&address)?;
        scrapes.push(ns(start));
    }
    scrapes.sort_by(f64::total_cmp);
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok(Costs {
        start_ns,
        scrape_ns: scrapes[SCRAPES / 2],
        answer_bytes: answer.len() as f64,
        resident_bytes: resident_bytes(process.id())? as f64,
        maps: held::maps(process.id())?,
    })
}

fn scrape(address: &str) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).context("the agent does not listen")?;
    write!(
        stream,
        "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    ensure!(
        answer.starts_with(b"HTTP/1.1 200"),
        "the agent does not answer"
    );
    Ok(answer)
}

fn resident_bytes(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"));
    let line = line.context("the agent has no memory")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kib * 1024)
}

#[allow(clippy::cast_precision_loss, reason = "2^52 ns are 52 days")]
fn ns(since: Instant) -> f64 {
    since.elapsed().as_nanos() as f64
}
