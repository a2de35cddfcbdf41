//! What ctprof finds: the only place that reads its answer.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::world::Host;
use crate::cmd;

/// What is wrong with a container, by `ctprof doctor --format json`. The worst comes first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Finding {
    pub(super) id: String,
    pub(super) severity: Severity,
    pub(super) title: String,
    pub(super) confidence: String,
    pub(super) evidence: Vec<String>,
    pub(super) advice: Vec<String>,
    pub(super) gain: Option<Gain>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    Info,
    Warning,
    Critical,
}

/// What following the advice is to bring.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Gain {
    pub(super) text: String,
    /// How many times as much work per second, or how much shorter a request.
    pub(super) speedup: Option<f64>,
}

#[derive(Deserialize)]
struct Answer {
    schema_version: u32,
    containers: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    findings: Vec<Finding>,
}

/// Asks about the container with this id, for so long.
pub(super) fn ask(host: &Host<'_>, id: &str, duration: Duration) -> Result<Vec<Finding>> {
    let mut command = Command::new(host.ctprof);
    command.args(["doctor", "--format", "json", "--container", id]);
    command.args(["--duration", &format!("{}s", duration.as_secs())]);
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run `{}`", cmd::line(&command)))?;
    if let Some(ahead) = host.ahead {
        ahead.enter(child.id())?;
    }
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "`{}` failed: {}",
        cmd::line(&command),
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    let answer: Answer = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("`{}` wrote no findings", cmd::line(&command)))?;
    ensure!(
        answer.schema_version == 1,
        "findings of schema {}: only 1 is known here",
        answer.schema_version
    );
    let row = answer.containers.into_iter().next();
    Ok(row.map(|it| it.findings).unwrap_or_default())
}
