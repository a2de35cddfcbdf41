//! Reading what `ctprof record` wrote.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::folded::Folded;
use super::{Result, ensure};

/// Files that every recording has.
const FILES: [&str; 6] = [
    "summary.json",
    "stacks.folded",
    "profile.pb.gz",
    "flamegraph.svg",
    "on-cpu.svg",
    "syscalls.svg",
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
        let summary = fs::read(folder.join("summary.json"))?;
        let folded = fs::read_to_string(folder.join("stacks.folded"))?;
        let calls = fs::read_to_string(folder.join("syscalls.folded")).unwrap_or_default();
        Ok(Self {
            summary: serde_json::from_slice(&summary)?,
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
