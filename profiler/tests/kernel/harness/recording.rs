//! Reading what `ctprof record` wrote.

use std::fs;
use std::path::Path;

use ctprof::analysis::View;
use ctprof::store;
use serde_json::Value;

use super::folded::Folded;
use super::{Result, ensure};

/// Files that every recording has.
const FILES: [&str; 8] = [
    "summary.json",
    "recording.ctprof",
    "stacks.folded",
    "profile.pb.gz",
    "flamegraph.svg",
    "on-cpu.svg",
    "syscalls.svg",
    "isolation.svg",
];

/// A recording's folder, read.
#[derive(Debug)]
pub(crate) struct Recording {
    /// `summary.json`.
    pub(crate) summary: Value,
    /// `stacks.folded`.
    pub(crate) folded: Folded,
    /// `syscalls.folded`; empty where there is none.
    pub(crate) calls: Folded,
    /// What the hypervisor took away meanwhile, of all CPUs; 0 if nobody has looked.
    pub(crate) stolen_ns: u64,
}

impl Recording {
    /// Reads the folder, which must have every file.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        for name in FILES {
            let size = fs::metadata(folder.join(name)).map_or(0, |meta| meta.len());
            // Stacks may be none at all.
            ensure!(
                size > 0 || name == "stacks.folded",
                "{name} is missing or empty"
            );
        }
        let summary: Value = serde_json::from_slice(&fs::read(folder.join("summary.json"))?)?;
        let window = store::read(folder)?;
        let (stored, _) = View::of(&window);
        // As text, too: what is read of a fraction may be another by the last bit.
        let again: Value = serde_json::from_slice(&serde_json::to_vec(&stored.summary)?)?;
        ensure!(
            again == summary,
            "recording.ctprof is another recording than summary.json"
        );
        let mut twice = window.clone();
        twice.merge(window.clone());
        let (again, _) = View::of(&twice.since(&window));
        ensure!(
            again.stacks == stored.stacks && figures(&again) == figures(&stored),
            "the window merged with itself, less itself, is another one"
        );
        let folded = fs::read_to_string(folder.join("stacks.folded"))?;
        let calls = fs::read_to_string(folder.join("syscalls.folded")).unwrap_or_default();
        Ok(Self {
            summary,
            folded: Folded::parse(&folded)?,
            calls: Folded::parse(&calls)?,
            stolen_ns: 0,
        })
    }

    /// Samples of every container whose cgroup is `path` or below it.
    pub(crate) fn samples_below(&self, path: &str) -> u64 {
        let below = format!("{path}/");
        self.containers()
            .filter(|container| {
                let cgroup = container["cgroup"].as_str().unwrap_or_default();
                cgroup == path || cgroup.starts_with(&below)
            })
            .map(samples)
            .sum()
    }

    /// Samples of the container called `name`.
    pub(crate) fn samples_of(&self, name: &str) -> Result<u64> {
        let mut found = self
            .containers()
            .filter(|container| container["name"] == name);
        let container = found
            .next()
            .ok_or_else(|| format!("no container {name} in {}", self.summary))?;
        Ok(samples(container))
    }

    /// Samples of all containers.
    pub(crate) fn samples(&self) -> u64 {
        self.containers().map(samples).sum()
    }

    /// Length of the recording, in seconds.
    pub(crate) fn seconds(&self) -> Result<f64> {
        let ns = self.summary["window_ns"].as_u64();
        let ns = ns.ok_or_else(|| format!("no window_ns in {}", self.summary))?;
        Ok(std::time::Duration::from_nanos(ns).as_secs_f64())
    }

    fn containers(&self) -> impl Iterator<Item = &Value> {
        self.summary["containers"].as_array().into_iter().flatten()
    }
}

fn samples(container: &Value) -> u64 {
    container["samples"].as_u64().unwrap_or_default()
}

/// Sums of every row that neither a maximum nor a quantile is among.
fn figures(view: &View) -> Vec<impl PartialEq + use<>> {
    let rows = view.summary.containers.iter();
    rows.map(|row| {
        let waits = row.run_queue_latency.as_ref();
        let waits = waits.map(|waits| (waits.count, waits.sum_ns, waits.buckets.clone()));
        (
            (
                row.label.clone(),
                row.threads,
                row.thread_time_ns,
                row.samples,
            ),
            row.time_ns.clone(),
            row.delayed_by.clone(),
            waits,
        )
    })
    .collect()
}
