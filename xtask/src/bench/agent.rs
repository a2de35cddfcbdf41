//! The agent while something else runs: its start, its answers, its memory.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::condition::{Process, ctprof};
use super::{held, usage};

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
    /// Part of a CPU that it takes when scraped every 15 seconds, as Prometheus does by default in most set-ups.
    pub(super) cpu_share: f64,
    /// Kernel memory by map.
    pub(super) maps: Vec<held::Map>,
}

/// The agent answers with figures of a moment ago if asked again within a second.
const PAUSE: Duration = Duration::from_millis(1_100);
const SCRAPES: usize = 3;
/// How long nobody asks it, to see what it takes for itself.
const IDLE: Duration = Duration::from_secs(3);
const INTERVAL_NS: f64 = 15e9;

/// Starts the agent with a row for every cgroup, asks it some times, and ends it.
pub(super) fn measure() -> Result<Costs> {
    let began = Instant::now();
    let (process, address) = start(&["--by", "cgroup", "--max-containers", "10000"])?;
    let start_ns = ns(began);
    let (before, began) = (usage::cpu_ns(process.id())?, Instant::now());
    std::thread::sleep(IDLE);
    let before_scrapes = usage::cpu_ns(process.id())?;
    let idle_share = (before_scrapes - before) / ns(began);
    let began = Instant::now();
    let mut scrapes = Vec::new();
    let mut answer = Vec::new();
    for _ in 0..SCRAPES {
        std::thread::sleep(PAUSE);
        let start = Instant::now();
        answer = scrape(&address)?;
        scrapes.push(ns(start));
    }
    let scraping_ns = usage::cpu_ns(process.id())? - before_scrapes - idle_share * ns(began);
    let cpu_share = idle_share + scraping_ns / SCRAPES as f64 / INTERVAL_NS;
    scrapes.sort_by(f64::total_cmp);
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok(Costs {
        start_ns,
        scrape_ns: scrapes[SCRAPES / 2],
        answer_bytes: answer.len() as f64,
        resident_bytes: usage::resident_bytes(process.id())?,
        cpu_share,
        maps: held::maps(process.id())?,
    })
}

/// Starts the agent with these options; it is attached, and listens at the address.
pub(super) fn start(options: &[&str]) -> Result<(Process, String)> {
    // Free a moment ago; nobody else wants it.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let mut command = ctprof();
    command
        .arg("agent")
        .args(options)
        .args(["--listen", &address])
        .stdout(Stdio::null());
    Ok((Process::start(command, "ready: ")?, address))
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

#[allow(clippy::cast_precision_loss, reason = "2^52 ns are 52 days")]
fn ns(since: Instant) -> f64 {
    since.elapsed().as_nanos() as f64
}
