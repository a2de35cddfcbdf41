//! A real Prometheus scrapes a real agent while containers run whose truth is known: what it then knows is the truth,
//! and every query of every dashboard and rule has an answer.

mod answers;
mod known;
mod meter;
mod server;

use std::net::TcpStream;
use std::time::Duration;

use libtest_mimic::Trial;

use crate::containers::{burn, image, workload};
use crate::daemon::{Container, docker, missing_docker};
use crate::harness::ctprof::{Ctprof, Running};
use crate::harness::needs::skipping;
use crate::harness::{Result, wait_for};
use crate::load::free_port;
use meter::Meter;
use server::Prometheus;

pub(super) fn trials() -> Vec<Trial> {
    vec![skipping(
        "prometheus::knows_what_happened",
        knows_what_happened,
        missing,
    )]
}

/// How long Prometheus watches, and the window of all rates in it.
const WATCHED: Duration = Duration::from_secs(62);

/// See [`WATCHED`]. It begins after everything has.
const WINDOW: &str = "45s";

fn missing() -> Option<String> {
    server::missing().or_else(missing_docker)
}

fn knows_what_happened() -> Result {
    image()?;
    let limited = [&["--cpus=0.1", "--cpuset-cpus=0"], &burn("300000")[..]].concat();
    let limited = Container::run("limited", &limited)?;
    let alone = workload(&["burn", "--ms", "300000"]);
    let shared = [&["--cpuset-cpus=1"], &alone[..]].concat();
    let _victim = Container::run("victim", &shared)?;
    let _noisy = Container::run("noisy", &shared)?;
    let sleeps = ["calls", "--sleeps", "1000000", "--sleep-ms", "100"];
    let _sleeper = Container::run("sleeper", &workload(&sleeps))?;

    let (agent, address) = agent()?;
    let prometheus = Prometheus::start(&address)?;
    let meter = Meter::begin(&limited)?;
    std::thread::sleep(WATCHED / 2);
    // One that is born and gone, between two scrapes as likely as not.
    let brief = workload(&["burn", "--ms", "100"]);
    docker(&[&["run", "--rm", "--name", "brief"], &brief[..]].concat())?;
    std::thread::sleep(WATCHED / 2);
    let now = prometheus.freeze()?;
    known::check(&now, &meter.end()?)?;
    answers::check(&now)?;
    agent.interrupt()?;
    agent.finish()?.expect_code(0)
}

/// An agent that answers, and where. What ends is gone soon: rows that other programs of this machine leave, each with all
/// of its system calls, would make answers long.
fn agent() -> Result<(Running, String)> {
    let address = format!("127.0.0.1:{}", free_port()?);
    let args = [
        "agent",
        "--linger",
        "10s",
        "--syscalls",
        "--bpf-stats",
        "--listen",
    ];
    let agent = Ctprof::new(&args).arg(&address).start()?;
    wait_for("the agent to listen", || {
        Ok(TcpStream::connect(&address).ok())
    })?;
    Ok((agent, address))
}
