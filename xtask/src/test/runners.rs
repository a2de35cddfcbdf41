//! Running the test programs of the workspace.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::summary::{OUTPUT_OF_FAILED, OUTPUT_OF_PASSED, Summary};
use crate::{cmd, paths, setup, summary};

/// Test programs that run as root, one by one.
const PRIVILEGED: [&str; 2] = ["kernel", "docker"];

/// In the names of tests that read mutated input for as long as they are told.
const FUZZ: &str = "fuzz";

/// How long they do here, in seconds.
const FUZZ_SECONDS: &str = "60";

/// More than there are in one program: all of them run side by side, so that together they take little longer than one.
const FUZZ_THREADS: &str = "64";

/// Test programs with such tests; `--lib` is the library's own.
const FUZZED: [&[&str]; 2] = [&["--lib"], &["--test", "output"]];

/// Every unit, integration and documentation test that needs no privilege.
pub(super) fn plain() -> Result<Summary> {
    let mut summary = Summary::default();
    let mut run = |runner: &str, args: &[&str]| -> Result<()> {
        let mut cargo = cmd::cargo();
        cargo
            .args(["test", "--workspace", "--quiet", "--no-fail-fast"])
            .args(args);
        // Quiet cargo, but a line for each test, and what those say that could not run.
        cargo.args(["--", "--format", "pretty", "--show-output"]);
        // They have a group of their own.
        cargo.args(["--skip", FUZZ]);
        summary.add(tests(runner, &mut cargo)?);
        Ok(())
    };
    run("unit", &["--lib", "--bins"])?;
    for name in integration_tests()? {
        run(&name, &["--test", &name])?;
    }
    run("doc", &["--doc"])?;
    Ok(summary)
}

/// Names of the integration tests that need no privilege.
fn integration_tests() -> Result<Vec<String>> {
    let text = cmd::output(cmd::cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&text).context("cannot parse `cargo metadata`")?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let targets = packages
        .filter_map(|package| package["targets"].as_array())
        .flatten();
    Ok(targets
        .filter(|target| target["kind"][0] == "test")
        .filter_map(|target| target["name"].as_str())
        .filter(|name| !PRIVILEGED.contains(name))
        .map(str::to_owned)
        .collect())
}

/// All tests with mutated input.
pub(super) fn fuzz() -> Result<Summary> {
    // Their programs run side by side as well: built before, none waits for the other.
    let mut build = cmd::cargo();
    build.args(["test", "--workspace", "--no-run", "--quiet"]);
    cmd::run(build.args(FUZZED.concat()))?;
    let results = std::thread::scope(|scope| {
        let threads = FUZZED.map(|target| scope.spawn(move || fuzz_program(target)));
        threads.map(std::thread::ScopedJoinHandle::join)
    });
    let mut summary = Summary::default();
    for result in results {
        match result {
            Ok(result) => summary.add(result?),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    Ok(summary)
}

fn fuzz_program(target: &[&str]) -> Result<Summary> {
    let mut cargo = cmd::cargo();
    cargo
        .args(["test", "--workspace", "--quiet"])
        .args(target)
        .args(["--", "--format", "pretty", "--test-threads", FUZZ_THREADS])
        .arg(FUZZ)
        .env("CTPROF_FUZZ_SECONDS", FUZZ_SECONDS);
    tests("fuzz", &mut cargo)
}

/// How often a trial is tried whose truth the machine can disturb.
const TRIES: usize = 3;

/// The test program `name` of package ctprof, as root where that is possible. Where it is not, the program
/// itself skips what needs it.
pub(super) fn privileged(name: &str) -> Result<Summary> {
    let program = program(name)?;
    let needs_sudo = !setup::is_root() && cmd::succeeds(Command::new("sudo").args(["-n", "true"]));
    let run = |args: &[&str]| {
        let mut command = if needs_sudo {
            let mut sudo = Command::new("sudo");
            sudo.args(["-n", "-E"]).arg(&program);
            sudo
        } else {
            Command::new(&program)
        };
        command
            .arg("--color=never")
            .args(args)
            .current_dir(paths::root().join("profiler"));
        tests(name, &mut command)
    };
    let mut summary = run(&[])?;
    summary.try_again(name, TRIES, |test| run(&["--exact", test]))?;
    Ok(summary)
}

/// Builds the test programs that run as root, and returns the path of `name`.
fn program(name: &str) -> Result<PathBuf> {
    let mut cargo = cmd::cargo();
    // The whole workspace, as in [`plain`]: a package alone is built with fewer features of its dependencies, and all that
    // depends on them once more.
    cargo.args(["test", "--no-run", "--quiet", "--workspace"]);
    // The Docker tests use the kernel tests' workload.
    for test in PRIVILEGED {
        cargo.args(["--test", test]);
    }
    cargo.args(["--message-format", "json-render-diagnostics"]);
    let messages = cmd::output(cargo.stderr(Stdio::inherit()))?;
    cmd::built(&messages, name)
}

/// Runs a test program, shows what it prints, and reads its results.
fn tests(runner: &str, command: &mut Command) -> Result<Summary> {
    println!("\n{runner}: {}", cmd::line(command));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run `{}`", cmd::line(command)))?;
    let pipe = child.stdout.take().context("a child without a pipe")?;
    let mut output = String::new();
    let mut times = Vec::new();
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    let mut shown = true;
    let mut last = Instant::now();
    while reader.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        match text.trim_end() {
            // What passing tests print is read for the reasons of those that did not run.
            OUTPUT_OF_PASSED => shown = false,
            rest if rest == OUTPUT_OF_FAILED || rest.starts_with("test result:") => shown = true,
            _ => {}
        }
        if shown {
            print!("{text}");
            std::io::stdout().flush()?;
        }
        if let Some(name) = summary::test_name(&text) {
            times.push((format!("{runner}: {name}"), last.elapsed()));
            last = Instant::now();
        }
        output.push_str(&text);
        line.clear();
    }
    let status = child.wait()?;
    let mut summary = Summary::parse(runner, &output);
    if PRIVILEGED.contains(&runner) {
        summary.times = times;
    }
    if !status.success() && summary.is_good() {
        summary.failed.push(format!("{runner}: {status}"));
    }
    Ok(summary)
}
