//! What ctprof finds: the only place that reads its answer.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

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
pub(super) fn ask(ctprof: &Path, id: &str, duration: Duration) -> Result<Vec<Finding>> {
    let mut command = Command::new(ctprof);
    command.args(["doctor", "--format", "json", "--container", id]);
    command.args(["--duration", &format!("{}s", duration.as_secs())]);
    let text = cmd::output(&mut command)?;
    let answer: Answer = serde_json::from_str(&text)
        .with_context(|| format!("`{}` wrote no findings", cmd::line(&command)))?;
    ensure!(
        answer.schema_version == 1,
        "findings of schema {}: only 1 is known here",
        answer.schema_version
    );
    let row = answer.containers.into_iter().next();
    Ok(row.map(|it| it.findings).unwrap_or_default())
}
