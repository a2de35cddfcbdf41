//! Running the test programs of the workspace.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::summary::Summary;
use crate::{cmd, paths, setup};

/// Test programs that run as root, one by one.
const PRIVILEGED: [&str; 2] = ["kernel", "docker"];

/// Every unit, integration and documentation test that needs no privilege.
pub(super) fn plain() -> Result<Summary> {
    let mut summary = Summary::default();
    let mut run = |runner: &str, args: &[&str]| -> Result<()> {
        let mut cargo = cmd::cargo();
        cargo
            .args(["test", "--workspace", "--quiet", "--no-fail-fast"])
            .args(args);
        // Quiet cargo, but a line for each test.
        cargo.args(["--", "--format", "pretty"]);
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
    summary.try_again(name, 2, |test| run(&["--exact", test]))?;
    Ok(summary)
}

/// Builds the test programs that run as root, and returns the path of `name`.
fn program(name: &str) -> Result<PathBuf> {
    let mut cargo = cmd::cargo();
    cargo.args(["test", "--no-run", "--quiet", "--package", "ctprof"]);
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
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        print!("{text}");
        std::io::stdout().flush()?;
        output.push_str(&text);
        line.clear();
    }
    let status = child.wait()?;
    let mut summary = Summary::parse(runner, &output);
    if !status.success() && summary.failed.is_empty() {
        summary.failed.push(format!("{runner}: {status}"));
    }
    Ok(summary)
}
