//! Seccomp profiles that Docker takes, and that containers live under.

use std::path::Path;

use libtest_mimic::Trial;
use serde_json::Value;
use tempfile::TempDir;

use crate::daemon::{Container, docker, with_docker};
use crate::harness::ctprof::{Ctprof, Running};
use crate::harness::needs::skipping;
use crate::harness::{Result, ensure, this_workload};
use crate::image;
use crate::programs::{needs, path};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        skipping("seccomp::redis_under_its_own_profile", redis, || {
            needs(&["redis-server", "redis-benchmark"])
        }),
        with_docker("seccomp::a_call_that_is_not_in_it_is_denied", denied),
    ]
}

/// Begins to record a container that is yet to start.
fn record(name: &str, profile: &Path) -> Result<Running> {
    let args = ["seccomp", "record", "--new", name, "--output"];
    let mut ctprof = Ctprof::new(&args).arg(profile).start()?;
    ctprof.wait_until_attached()?;
    Ok(ctprof)
}

fn under(profile: &Path) -> String {
    format!("--security-opt=seccomp={}", profile.display())
}

const IMAGE: &str = "ctprof-test/redis:1";

/// Starts redis and has it serve; then its end.
fn serve(name: &str, options: &[&str]) -> Result {
    let server = ["--network=none", IMAGE, "/bin/redis-server", "--save", ""];
    let _redis = Container::run(name, &[options, &server].concat())?;
    let load = ["-q", "-t", "ping,get,set,lpush", "-n", "2000"];
    let said = docker(&[&["exec", name, "/bin/redis-benchmark"][..], &load].concat())?;
    let served = said.matches("requests per second").count();
    ensure!(
        served >= 4,
        "{served} of 4 kinds of requests served: {said}"
    );
    docker(&["stop", name])?;
    let code = docker(&["inspect", "--format", "{{.State.ExitCode}}", name])?;
    ensure!(code == "0", "redis ended with {code}");
    Ok(())
}

fn redis() -> Result {
    let (server, benchmark) = (path("redis-server")?, path("redis-benchmark")?);
    let files = [
        (server.as_path(), "/bin/redis-server"),
        (benchmark.as_path(), "/bin/redis-benchmark"),
    ];
    image::make(IMAGE, &files)?;
    let folder = TempDir::new()?;
    let profile = folder.path().join("redis.json");
    let ctprof = record("recorded", &profile)?;
    serve("recorded", &[])?;
    // It ends with its container.
    let finished = ctprof.finish()?;
    finished.expect_code_only(0)?;
    finished.expect_said("from its first instruction, under its filter")?;
    let text = std::fs::read_to_string(&profile)?;
    for name in ["\"accept4\"", "\"epoll_wait\""] {
        ensure!(text.contains(name), "no {name} in {text}");
    }
    for name in ["\"mount\"", "\"pivot_root\"", "\"ptrace\""] {
        ensure!(!text.contains(name), "{name} in {text}");
    }
    serve("confined", &[&under(&profile)])
}

/// The profile of a program that does little; another mode of it sleeps, which is not in it.
fn denied() -> Result {
    const IMAGE: &str = "ctprof-test/workload:1";
    const PROGRAM: &str = "/bin/workload";
    image::make(IMAGE, &[(&this_workload()?, PROGRAM)])?;
    let folder = TempDir::new()?;
    let profile = folder.path().join("profile.json");
    let ctprof = record("small", &profile)?;
    let modest = [
        "--network=none",
        IMAGE,
        PROGRAM,
        "workload",
        "calls",
        "--getppid",
        "3",
    ];
    docker(&[&["run", "--name", "small"], &modest[..]].concat())?;
    ctprof.finish()?.expect_code_only(0)?;
    docker(&["rm", "small"])?;
    let option = under(&profile);
    docker(&[&["run", "--rm", &option], &modest[..]].concat())?;

    let args = ["seccomp", "check", "--new", "sleeper", "--format", "json"];
    let check = Ctprof::new(&args).arg("--profile").arg(&profile);
    let mut check = check.start()?;
    check.wait_until_attached()?;
    let sleep = [
        "--network=none",
        IMAGE,
        PROGRAM,
        "workload",
        "sleep",
        "--ms",
        "1",
    ];
    let slept = docker(&[&["run", "--name", "sleeper", &option], &sleep[..]].concat());
    let finished = check.finish();
    // Whatever has become of it: another trial has a container of this name.
    docker(&["rm", "--force", "sleeper"])?;
    let finished = finished?;
    ensure!(slept.is_err(), "it slept, which its profile denies");
    finished.expect_code_only(1)?;
    let found: Value = serde_json::from_str(&finished.stdout)?;
    let live = found["containers"][0]["denied_live"].as_array();
    let sleeps = live
        .into_iter()
        .flatten()
        .find(|call| call["name"] == "clock_nanosleep");
    ensure!(
        sleeps.is_some_and(|call| call["error"] == "EPERM" && call["callers"][0]["count"] == 1),
        "no sleep was denied: {found}"
    );
    finished.expect_said("denied: ")?;
    finished.expect_said(" clock_nanosleep(")
}
