//! Whether the ledger is right: figures beside which a cost means something.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::bench::Effort;
use crate::bench::condition::{ctprof, recording, summary};
use crate::bench::report::{Column, Limit, Row, Shape, Table, Unit};

const COMPUTES: &str = "two threads a CPU that compute";
const WAKES: &str = "two threads a CPU that wake each other";

pub(super) fn run(effort: Effort) -> Result<Vec<Table>> {
    let all = (0..std::thread::available_parallelism()?.get())
        .map(|cpu| cpu.to_string())
        .collect::<Vec<_>>()
        .join(",");
    let (pings, units) = (effort.count.to_string(), (effort.count / 15).to_string());
    let loads: [(&str, &[&str]); 2] = [
        (
            COMPUTES,
            &[
                "bench-stacks",
                "--twice",
                "--stacks",
                &units,
                "--work",
                "100000",
            ],
        ),
        (WAKES, &["bench-load", "--cpus", &all, "--count", &pings]),
    ];
    let mut rows: Vec<Row> = loads.iter().map(|(name, _)| Row::new(*name, 3)).collect();
    for round in 0..effort.rounds {
        for ((name, load), row) in loads.iter().zip(&mut rows) {
            eprintln!("round {} of {}: {name}", round + 1, effort.rounds);
            row.push(&record(load)?);
        }
    }
    let mut table = Table {
        id: "accuracy".to_owned(),
        title: "What is left over".to_owned(),
        about: "`ctprof record --no-stacks -- COMMAND`: what no state of the ledger accounts for, as a part of the lifetime of \
                the command's threads, and its time on the CPU against what the kernel charged its cgroup (`cpuacct.usage` or \
                `cpu.stat`). The kernel charges a thread that takes the CPU from another from its wakeup on, which shows \
                where threads wake each other."
            .to_owned(),
        columns: vec![
            Column::new("lifetime of threads", Unit::Ns),
            Column::new("left over", Unit::Share),
            Column::new("on the CPU, off by", Unit::Share),
        ],
        rows,
        shape: Shape::Plain,
        verdicts: Vec::new(),
    };
    for name in [COMPUTES, WAKES] {
        let left = table.median(name, 1);
        let what = format!("left over of {name}");
        table.judge(&what, Unit::Share, left, Limit::AtMost(0.005));
    }
    let off = table.median(COMPUTES, 2);
    let what = format!("time on the CPU of {COMPUTES}, off by");
    table.judge(&what, Unit::Share, off, Limit::AtMost(0.01));
    Ok(vec![table])
}

/// Records this load of xtask's own, in a cgroup of its own.
fn record(load: &[&str]) -> Result<[f64; 3]> {
    let mut command: Command = ctprof();
    command
        .args(["record", "--no-stacks", "--force", "--output"])
        .arg(recording())
        .arg("--")
        .arg(std::env::current_exe()?)
        .args(load);
    let output = command.stdin(Stdio::null()).output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let summary = summary(&recording())?;
    let of_command = &summary["containers"][0];
    let number = |value: &Value| value.as_f64().context("the summary lacks a figure");
    let lifetime = number(&of_command["thread_time_ns"])?;
    let left = number(&of_command["residual_ns"])?;
    let time = &of_command["time_ns"];
    let on_cpu = number(&time["on_cpu_user"])? + number(&time["on_cpu_kernel"])?;
    let charged = number(&of_command["cfs"]["usage_ns"])?;
    Ok([
        lifetime,
        (left / lifetime).abs(),
        (on_cpu / charged - 1.0).abs(),
    ])
}
