//! BPF programs and maps that a process holds, as the kernel describes them.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use aya::sys::{Stats, enable_stats};

/// A program.
#[derive(Clone, Copy, Default)]
pub(super) struct Program {
    pub(super) runs: u64,
    /// Time in them.
    pub(super) ns: u64,
    /// Instructions that the verifier walked through.
    pub(super) verified: u32,
}

/// A map.
pub(super) struct Map {
    pub(super) name: String,
    /// Kernel memory.
    pub(super) bytes: u64,
}

/// The kernel counts and times programs while this lives.
pub(super) fn statistics() -> Result<OwnedFd> {
    enable_stats(Stats::RunTime).context("cannot switch BPF statistics on")
}

/// The programs of a process, by name.
pub(super) fn programs(pid: u32) -> Result<BTreeMap<String, Program>> {
    let ids = descriptors(pid, "prog_id")?;
    let ids: BTreeSet<u64> = ids
        .into_iter()
        .filter_map(|it| it.get("prog_id").copied())
        .collect();
    let infos = aya::programs::loaded_programs().flatten();
    Ok(infos
        .filter(|info| ids.contains(&u64::from(info.id())))
        .map(|info| {
            let name = info.name_as_str().unwrap_or("?").to_owned();
            let program = Program {
                runs: info.run_count(),
                ns: u64::try_from(info.run_time().as_nanos()).unwrap_or(u64::MAX),
                verified: info.verified_instruction_count().unwrap_or_default(),
            };
            (name, program)
        })
        .collect())
}

/// Time in the programs of a process while `run` runs, in ns; [`statistics`] have to be on.
#[allow(clippy::cast_precision_loss, reason = "2^52 ns are 52 days")]
pub(super) fn time_in_programs(pid: u32, run: impl FnOnce() -> Result<f64>) -> Result<f64> {
    let before = programs(pid)?;
    run()?;
    let after = programs(pid)?;
    let ns = after.iter().map(|(name, program)| {
        let was = before.get(name).map_or(0, |it| it.ns);
        program.ns.saturating_sub(was)
    });
    Ok(ns.sum::<u64>() as f64)
}

/// The maps of a process, the largest first.
pub(super) fn maps(pid: u32) -> Result<Vec<Map>> {
    let memory: BTreeMap<u64, u64> = descriptors(pid, "map_id")?
        .into_iter()
        .filter_map(|it| Some((*it.get("map_id")?, *it.get("memlock")?)))
        .collect();
    let infos = aya::maps::loaded_maps().flatten();
    let mut maps: Vec<Map> = infos
        .filter_map(|info| {
            Some(Map {
                bytes: *memory.get(&u64::from(info.id()))?,
                name: info.name_as_str().unwrap_or("?").to_owned(),
            })
        })
        .collect();
    maps.sort_by(|a, b| b.bytes.cmp(&a.bytes).then(a.name.cmp(&b.name)));
    Ok(maps)
}

/// The numbers in `/proc/PID/fdinfo` of every descriptor that has this one.
fn descriptors(pid: u32, key: &str) -> Result<Vec<BTreeMap<String, u64>>> {
    let folder = format!("/proc/{pid}/fdinfo");
    let entries = std::fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))?;
    Ok(entries
        .flatten()
        .filter_map(|entry| std::fs::read_to_string(entry.path()).ok())
        .map(|text| {
            text.lines()
                .filter_map(|line| line.split_once(':'))
                .filter_map(|(key, value)| Some((key.to_owned(), value.trim().parse().ok()?)))
                .collect::<BTreeMap<String, u64>>()
        })
        .filter(|numbers| numbers.contains_key(key))
        .collect())
}
