//! Refuses a stale BPF object: the one in `bpf/` must be what its manifest says, built from the sources of
//! the kernel half as they are now.

#[path = "bpf/manifest.rs"]
mod manifest;

use std::fs;
use std::path::Path;

use manifest::{MANIFEST, Manifest, OBJECT};

/// What to do about any problem found here.
const REMEDY: &str = "run `cargo xtask ebpf` (and once before it `cargo xtask setup --only bpf`)";

fn main() {
    if let Err(problem) = verify(Path::new("bpf"), Path::new("../profiler-ebpf")) {
        // Cargo shows the line as the build's error and stops there.
        println!("cargo::error={problem}; {REMEDY}");
    }
}

fn verify(folder: &Path, sources: &Path) -> Result<(), String> {
    let object_path = folder.join(OBJECT);
    let manifest_path = folder.join(MANIFEST);
    for path in [&object_path, &manifest_path, &folder.join("manifest.rs")] {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    let text = fs::read(&manifest_path).map_err(|error| cannot("read", &manifest_path, &error))?;
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|error| cannot("parse", &manifest_path, &error))?;
    let object = fs::read(&object_path).map_err(|error| cannot("read", &object_path, &error))?;
    if manifest::sha256(&object) != manifest.object_sha256 {
        return Err(format!(
            "{} is not the BPF object that {MANIFEST} describes",
            object_path.display()
        ));
    }
    // A published package has no sources of the kernel half: there the manifest is what we have.
    if !sources.join("Cargo.toml").exists() {
        return Ok(());
    }
    for path in [sources.join("src"), sources.join("Cargo.toml")] {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    let hash = manifest::source_hash(sources).map_err(|error| cannot("hash", sources, &error))?;
    if hash == manifest.sources_sha256 {
        return Ok(());
    }
    Err(format!(
        "the BPF object is stale: {} changed since {} was built",
        sources.display(),
        object_path.display()
    ))
}

fn cannot(action: &str, path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("cannot {action} {}: {error}", path.display())
}
