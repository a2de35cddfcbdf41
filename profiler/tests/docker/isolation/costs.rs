//! Two containers side by side on one CPU: what an operation costs each of them, and what `ctprof` names of it.

use std::time::Duration;

use tempfile::TempDir;

use crate::containers::{IMAGE, WORKLOAD};
use crate::daemon::{Client, Container};
use crate::harness::ctprof::Ctprof;
use crate::harness::recording::Recording;
use crate::harness::{Result, ensure};

/// How far what is named may be from what is measured: this part of it, or this part of all CPU time.
pub(super) const PART: f64 = 0.2;
pub(super) const POINTS: f64 = 0.01;
/// And what equal programs differ by from run to run, two standard deviations (`compare/between_runs.rs`): where code and data come
/// to lie, which no number of rounds evens out.
pub(super) const BETWEEN_RUNS: f64 = 2.0 * 0.007;

/// One of the two containers.
pub(super) struct Side {
    pub(super) name: &'static str,
    pub(super) image: &'static str,
    options: Vec<String>,
    command: Vec<String>,
}

impl Side {
    pub(super) fn new(name: &'static str, options: &[&str], command: &[&str]) -> Self {
        let all = |parts: &[&str]| parts.iter().map(|&it| it.to_owned()).collect();
        Self {
            name,
            image: IMAGE,
            options: all(options),
            command: all(command),
        }
    }

    /// Starts it.
    pub(super) fn run(&self, client: &Client) -> Result<Container> {
        let mut args = vec!["--cpuset-cpus=1"];
        args.extend(self.options.iter().map(String::as_str));
        args.extend([self.image, WORKLOAD, "workload", "operations"]);
        args.extend(self.command.iter().map(String::as_str));
        args.extend(["--ms", "600000"]);
        client.container(self.name, &args)
    }
}

/// What was found of one of them.
#[derive(Debug)]
pub(super) struct Cost {
    /// CPU time of an operation, in ns: the median of the rounds in the recording.
    pub(super) operation_ns: f64,
    /// Layers' parts of it.
    layers: Vec<(String, f64)>,
}

impl Cost {
    pub(super) fn layer(&self, id: &str) -> f64 {
        let found = self.layers.iter().find(|(layer, _)| layer == id);
        found.map_or(0.0, |(_, share)| *share)
    }

    /// Parts of its CPU time that containers pay for, or any process.
    fn named(&self) -> f64 {
        let apart = ["softirq", "ctprof"];
        let layers = self.layers.iter();
        layers
            .filter(|(id, _)| !apart.contains(&id.as_str()))
            .map(|(_, share)| share)
            .sum()
    }
}

/// A and B, which has the layer.
pub(super) struct Costs {
    pub(super) a: Cost,
    pub(super) b: Cost,
}

impl Costs {
    /// What B pays more, as a part of its CPU time.
    pub(super) fn measured(&self) -> f64 {
        1.0 - self.a.operation_ns / self.b.operation_ns
    }

    /// The same by what is named: of B, less what A has for the same work.
    pub(super) fn named(&self) -> f64 {
        self.b.named() - self.a.named() * self.a.operation_ns / self.b.operation_ns
    }

    pub(super) fn describe(&self, what: &str) -> String {
        let points = |share: f64| format!("{:.1}", 100.0 * share);
        let layers = |cost: &Cost| {
            let all = cost.layers.iter();
            let all = all.map(|(id, share)| format!("{id} {}", points(*share)));
            all.collect::<Vec<_>>().join(", ")
        };
        format!(
            "{what}: {:.0} ns an operation with it, {:.0} without: {} % measured, {} % named; with it: {}; without: {}",
            self.b.operation_ns,
            self.a.operation_ns,
            points(self.measured()),
            points(self.named()),
            layers(&self.b),
            layers(&self.a),
        )
    }

    /// Fails unless what is named is what is measured.
    pub(super) fn agree(&self, what: &str) -> Result {
        let text = self.describe(what);
        println!("{text}");
        let (measured, named) = (self.measured(), self.named());
        ensure!(
            (measured - named).abs() <= (PART * measured.abs()).max(POINTS) + BETWEEN_RUNS,
            "{text}"
        );
        Ok(())
    }
}

/// Runs both, and records them.
pub(super) fn compare(client: &Client, a: &Side, b: &Side) -> Result<Costs> {
    compare_once(client, a, b, |_| Ok(()))
}

/// The same, with something done to B once it runs.
pub(super) fn compare_once(
    client: &Client,
    a: &Side,
    b: &Side,
    prepare: impl FnOnce(&Container) -> Result,
) -> Result<Costs> {
    let (of_a, of_b) = (a.run(client)?, b.run(client)?);
    prepare(&of_b)?;
    // Until both are at it.
    std::thread::sleep(Duration::from_secs(1));
    let before = [rounds(&of_a)?.len(), rounds(&of_b)?.len()];
    let folder = TempDir::new()?;
    let dir = folder.path().join("recording");
    let args = ["--duration", "12s", "--frequency", "1999"];
    let recording = Ctprof::record(&dir, &args)
        .arg("--container")
        .arg(a.name)
        .arg("--container")
        .arg(b.name)
        .run()?
        .recording(&dir)?;
    let cost = |side: &Side, container: &Container, before: usize| -> Result<Cost> {
        let mut costs: Vec<f64> = rounds(container)?.split_off(before);
        costs.sort_by(f64::total_cmp);
        let median = *costs.get(costs.len() / 2).ok_or("no rounds")?;
        Ok(Cost {
            operation_ns: median,
            layers: layers(&recording, side.name)?,
        })
    };
    Ok(Costs {
        a: cost(a, &of_a, before[0])?,
        b: cost(b, &of_b, before[1])?,
    })
}

/// CPU time of an operation in each round so far, in ns.
#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn rounds(container: &Container) -> Result<Vec<f64>> {
    let log = container.log()?;
    let lines = log.lines().filter_map(|line| line.strip_prefix("round "));
    lines
        .map(|line| {
            let (count, ns) = line.split_once(' ').ok_or("no time in a round")?;
            Ok(ns.parse::<u64>()? as f64 / count.parse::<u64>()? as f64)
        })
        .collect()
}

/// Layers of a container, as parts of its CPU time.
fn layers(recording: &Recording, name: &str) -> Result<Vec<(String, f64)>> {
    let rows = recording.summary["containers"].as_array();
    let mut rows = rows.into_iter().flatten();
    let row = rows.find(|row| row["name"] == name);
    let isolation = &row.ok_or("no row of this name")?["isolation"];
    let whole = isolation["sampled_ns"].as_f64().ok_or("no samples")?;
    let layers = isolation["layers"].as_array().ok_or("no layers")?;
    layers
        .iter()
        .map(|layer| {
            let id = layer["layer"].as_str().ok_or("no id")?;
            let ns = layer["ns"].as_f64().ok_or("no time")?;
            Ok((id.to_owned(), ns / whole))
        })
        .collect()
}
