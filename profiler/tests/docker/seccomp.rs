//! A profile of what a container calls, in the hands of a real runtime.

use std::path::Path;

use libtest_mimic::Trial;
use serde_json::Value;
use tempfile::TempDir;

use crate::daemon::{Container, command, docker, missing_docker};
use crate::harness::ctprof::{Ctprof, Finished};
use crate::harness::needs::skipping;
use crate::harness::{Result, ensure, wait_for};
use crate::image::{self, program};

const REDIS: [&str; 2] = ["/usr/bin/redis-server", "/usr/local/bin/redis-server"];
const BENCHMARK: [&str; 2] = ["/usr/bin/redis-benchmark", "/usr/local/bin/redis-benchmark"];
/// It calls `mknodat`, which redis does not.
const MKFIFO: [&str; 1] = ["/usr/bin/mkfifo"];

const IMAGE: &str = "ctprof-test/confined-redis:1";

pub(super) fn trials() -> Vec<Trial> {
    vec![skipping("seccomp::redis_under_its_profile", redis, || {
        missing_docker().or_else(|| {
            let missing = [&REDIS[..], &BENCHMARK, &MKFIFO]
                .into_iter()
                .find(|candidates| program(candidates).is_none())?;
            Some(format!("needs {}", missing.join(" or ")))
        })
    })]
}

fn redis() -> Result {
    let path = |candidates| program(candidates).ok_or("a program is gone");
    image::make(
        IMAGE,
        &[
            (&path(&REDIS)?, "/bin/redis-server"),
            (&path(&BENCHMARK)?, "/bin/redis-benchmark"),
            (&path(&MKFIFO)?, "/bin/mkfifo"),
        ],
    )?;
    let folder = TempDir::new()?;
    let file = folder.path().join("profile.json");
    let recorded = record(&file)?;
    ensure!(
        recorded.code == Some(0),
        "recording ended with {:?}: {}",
        recorded.code,
        recorded.stderr
    );
    let profile: Value = serde_json::from_str(&std::fs::read_to_string(&file)?)?;
    let allowed = |name: &str| {
        let rules = profile["syscalls"].as_array().into_iter().flatten();
        rules
            .filter(|rule| rule["action"] == "SCMP_ACT_ALLOW")
            .flat_map(|rule| rule["names"].as_array().into_iter().flatten())
            .any(|found| found == name)
    };
    for name in [
        "execve",
        "epoll_wait",
        "accept4",
        "bind",
        "listen",
        "exit_group",
    ] {
        ensure!(allowed(name), "{name} is not allowed: {}", recorded.stderr);
    }
    for name in ["mknodat", "mount", "pivot_root", "ptrace", "bpf", "reboot"] {
        ensure!(!allowed(name), "{name} is allowed: {}", recorded.stderr);
    }

    // The same work under the profile, start to end.
    let option = format!("--security-opt=seccomp={}", file.display());
    {
        let confined = server("confined", &[&option])?;
        benchmark("confined")?;
        let checked = checked(&file, "confined", || benchmark("confined"))?;
        ensure!(
            checked.code == Some(0),
            "the check ended with {:?}: {}{}",
            checked.code,
            checked.stdout,
            checked.stderr
        );
        // What is not in it is denied, which the check sees.
        let denied = || fifo(&["exec", "confined"]);
        let checked = self::checked(&file, "confined", || {
            let output = denied()?;
            ensure!(
                output.contains("Operation not permitted"),
                "mkfifo is not denied: {output}"
            );
            Ok(())
        })?;
        ensure!(checked.code == Some(1), "a denied call is no failure");
        let findings: Value = serde_json::from_str(&checked.stdout)?;
        let names = findings["denied"].as_array().into_iter().flatten();
        let found = names.into_iter().find(|call| call["name"] == "mknodat");
        ensure!(
            found.is_some_and(|call| call["count"] == 1),
            "mknodat is not among the denied: {findings}"
        );
        docker(&["stop", "--time", "10", "confined"])?;
        drop(confined);
    }
    // It is the profile that denies it.
    let output = fifo(&["run", "--rm", "--network=none", IMAGE])?;
    ensure!(output.is_empty(), "mkfifo fails by itself: {output}");
    Ok(())
}

/// Records a container from before its birth to its end.
fn record(file: &Path) -> Result<Finished> {
    let mut ctprof = Ctprof::new(&["seccomp", "record", "--container", "recorded", "--output"])
        .arg(file)
        .start()?;
    ctprof.wait_until_attached()?;
    let container = server("recorded", &[])?;
    benchmark("recorded")?;
    docker(&["stop", "--time", "10", "recorded"])?;
    ctprof.interrupt()?;
    let finished = ctprof.finish()?;
    drop(container);
    Ok(finished)
}

fn server(name: &str, options: &[&str]) -> Result<Container> {
    let command = ["--network=none", IMAGE, "/bin/redis-server", "--save", ""];
    Container::run(name, &[options, &command].concat())
}

/// Some work; fails unless it is done.
fn benchmark(container: &str) -> Result {
    let ping = ["exec", container, "/bin/redis-benchmark", "-q", "-t"];
    wait_for("redis to listen", || {
        Ok(docker(&[&ping[..], &["ping_mbulk", "-n", "1"]].concat()).ok())
    })?;
    let output = docker(&[&ping[..], &["set,get,lpush", "-n", "20000"]].concat())?;
    ensure!(
        output.contains("LPUSH") && !output.contains("Error"),
        "redis-benchmark says {output}"
    );
    Ok(())
}

fn checked(file: &Path, container: &str, act: impl FnOnce() -> Result) -> Result<Finished> {
    let mut ctprof = Ctprof::new(&["seccomp", "check", "--format", "json", "--duration", "120s"])
        .arg("--container")
        .arg(container)
        .arg("--profile")
        .arg(file)
        .start()?;
    ctprof.wait_until_attached()?;
    act()?;
    ctprof.interrupt()?;
    ctprof.finish()
}

/// What `mkfifo` complains about.
fn fifo(how: &[&str]) -> Result<String> {
    let output = command()?
        .args(how)
        .args(["/bin/mkfifo", "/tmp/fifo"])
        .output()?;
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}
