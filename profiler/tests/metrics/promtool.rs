//! Prometheus' own tool.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use libtest_mimic::{Completion, Trial};

use crate::{Result, unpacked};

/// A trial that calls promtool.
pub(crate) fn with_promtool(name: &str, test: fn() -> Result) -> Trial {
    Trial::ignorable_test(name, move || {
        if let Some(reason) = unpacked::missing(&["promtool"]) {
            return Ok(Completion::ignored_with(reason));
        }
        test().map(|()| Completion::Completed)
    })
}

/// `promtool ARGS…` in `folder`, with `input`; fails with what it says if it fails or has anything to say against it.
pub(crate) fn promtool(folder: &Path, args: &[&str], input: &str) -> Result<String> {
    let program = unpacked::find("promtool").ok_or("promtool is gone")?;
    let mut child = Command::new(program)
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let input = input.to_owned();
    let mut pipe = child.stdin.take().ok_or("a child without a pipe")?;
    let feeder = std::thread::spawn(move || pipe.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    let fed = feeder.join();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    if !output.status.success() || !matches!(fed, Ok(Ok(()))) {
        return Err(format!("promtool {}: {stdout}{stderr}", args.join(" ")).into());
    }
    if !stderr.is_empty() {
        return Err(format!("promtool {} warns: {stderr}", args.join(" ")).into());
    }
    Ok(stdout)
}
