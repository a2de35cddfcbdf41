//! `cargo xtask ebpf --check`: is the committed object what its sources give?

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use super::manifest::{self, Fingerprint, MANIFEST, Manifest, OBJECT};
use super::{linker, object, save, toolchain, write};
use crate::paths;

/// Fails when the committed object is stale, or when the same toolchain gives other bytes. Without a
/// toolchain only the first is checked; with another one the object is rebuilt, and with `replace` put in
/// the committed one's place.
pub(super) fn run(replace: bool) -> Result<ExitCode> {
    let committed = fresh()?;
    let toolchain = toolchain::find();
    if let Err(error) = toolchain.and_then(|toolchain| linker::find(toolchain.llvm_major)) {
        println!("rebuild skipped: {error:#}");
        return Ok(ExitCode::SUCCESS);
    }
    // Everything is built anew: nothing left over from an earlier build can make the comparison pass.
    let folder = paths::target().join("bpf-check");
    remove(&folder)?;
    let rebuilt = object(&folder);
    remove(&folder)?;
    let (bytes, manifest) = rebuilt?;
    if committed.toolchain == manifest.toolchain {
        compare(&bytes)?;
    } else {
        println!(
            "byte comparison skipped: the committed object was built by another toolchain{}",
            differences(&committed.toolchain, &manifest.toolchain)
        );
        if replace {
            save(&paths::bpf(), &bytes, &manifest)?;
            println!("replaced by the rebuilt one: {} bytes", bytes.len());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The committed manifest, when sources and object agree with it.
fn fresh() -> Result<Manifest> {
    let path = paths::bpf().join(MANIFEST);
    let text = fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}; run `cargo xtask ebpf`", path.display()))?;
    let committed: Manifest =
        serde_json::from_str(&text).with_context(|| format!("cannot parse {}", path.display()))?;
    let sources =
        manifest::source_hash(&paths::kernel_half()).context("cannot hash the sources")?;
    if committed.sources_sha256 != sources {
        bail!(
            "the committed BPF object is stale: its sources changed since it was built; \
             run `cargo xtask ebpf` and commit profiler/bpf"
        );
    }
    if manifest::sha256(&committed_object()?) != committed.object_sha256 {
        bail!("{OBJECT} is not the object that {MANIFEST} describes");
    }
    Ok(committed)
}

fn committed_object() -> Result<Vec<u8>> {
    let path = paths::bpf().join(OBJECT);
    fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
}

fn compare(rebuilt: &[u8]) -> Result<()> {
    if committed_object()? != rebuilt {
        let rejected = paths::target().join(OBJECT);
        write(&rejected, rebuilt)?;
        bail!(
            "the same sources and toolchain gave other bytes than the committed {OBJECT}: \
             compare with {}",
            rejected.display()
        );
    }
    println!(
        "{OBJECT}: {} bytes, the rebuild is identical",
        rebuilt.len()
    );
    Ok(())
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Which parts of two fingerprints differ, for the message.
fn differences(committed: &Fingerprint, here: &Fingerprint) -> String {
    let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    let mut text = String::new();
    for (name, old, new) in [
        ("rustc", first(&committed.rustc), first(&here.rustc)),
        (
            "bpf-linker",
            committed.bpf_linker.clone(),
            here.bpf_linker.clone(),
        ),
        ("flags", committed.flags.join(" "), here.flags.join(" ")),
        (
            "crates",
            committed.crates.join(", "),
            here.crates.join(", "),
        ),
    ] {
        if old != new {
            text += &format!("\n  {name}: {old}\n  here: {new}");
        }
    }
    text
}
