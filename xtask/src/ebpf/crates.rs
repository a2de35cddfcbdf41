//! The crates inside the BPF object: their versions for the fingerprint, their folders for the remapping of
//! paths.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::cmd;
use crate::ebpf::build::TARGET;

/// What goes into the object beside `core`.
pub(crate) struct Crates {
    /// `name version`, sorted.
    pub(crate) names: Vec<String>,
    /// Folders that hold the unpacked sources of registry crates.
    pub(crate) sources: BTreeSet<PathBuf>,
}

/// Asks cargo for the resolved dependencies of the kernel half, and downloads them where needed.
pub(crate) fn list() -> Result<Crates> {
    let tree = cmd::output(cmd::cargo().args([
        "tree",
        "--locked",
        "--package",
        "ctprof-ebpf",
        "--target",
        TARGET,
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]))?;
    let names: BTreeSet<String> = tree
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some(format!("{} {}", words.next()?, words.next()?))
        })
        .collect();
    let text = cmd::output(cmd::cargo().args(["metadata", "--locked", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&text).context("cannot parse `cargo metadata`")?;
    let packages = metadata["packages"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let sources = packages
        .iter()
        .filter(|package| package["source"].is_string())
        .filter_map(|package| package["manifest_path"].as_str())
        .filter_map(|manifest| Path::new(manifest).parent()?.parent())
        .map(Path::to_path_buf)
        .collect();
    Ok(Crates {
        names: names.into_iter().collect(),
        sources,
    })
}
