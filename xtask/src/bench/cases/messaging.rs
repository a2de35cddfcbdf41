//! A load of the scheduler that is not ours: many processes that talk through sockets on all CPUs.

use std::process::Stdio;

use anyhow::{Context, Result};

use super::sched::CONDITIONS;
use crate::bench::peers::Peer;
use crate::bench::report::{Column, Row, Shape, Table, Unit};
use crate::bench::{Effort, turns};
use crate::cmd;

/// Groups of 20 processes that send to 20 others.
const GROUPS: u64 = 4;
const PAIRS: u64 = 20 * 20;

pub(super) fn run(effort: Effort) -> Result<Vec<Table>> {
    let loops = (effort.count / 1_000).max(10);
    let rows = match Peer::Perf.path() {
        Some(perf) => turns::take(CONDITIONS, effort.rounds, |_, holding| {
            let mut command = holding.command(&perf);
            command.args(["bench", "--format", "simple", "sched", "messaging"]);
            command.args([
                "--group",
                &GROUPS.to_string(),
                "--nr_loops",
                &loops.to_string(),
            ]);
            let text = cmd::output(command.stdin(Stdio::null()))?;
            let seconds: f64 = text
                .parse()
                .with_context(|| format!("perf printed `{text}`"))?;
            #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
            Ok(seconds * 1e9 / (GROUPS * PAIRS * loops) as f64)
        })?,
        None => vec![Row {
            lacks: Peer::Perf.lacks(),
            ..Row::new("perf bench sched messaging", 1)
        }],
    };
    Ok(vec![Table {
        id: "messaging".to_owned(),
        title: "Messages between processes".to_owned(),
        about: format!(
            "`perf bench sched messaging`: {GROUPS} groups of 20 processes that each send to 20 others, on all CPUs. How many \
             switches a message takes depends on how fast they are, so this is noisier than a ping-pong."
        ),
        columns: vec![Column::new("a message", Unit::Ns)],
        rows,
        shape: Shape::Added,
        verdicts: Vec::new(),
    }])
}
