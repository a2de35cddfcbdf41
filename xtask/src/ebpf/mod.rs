//! `cargo xtask ebpf`: builds the kernel half into `profiler/bpf`, or checks that the committed object is
//! what its sources give.

mod build;
mod crates;
pub(crate) mod linker;
#[path = "../../../profiler/bpf/manifest.rs"]
mod manifest;
mod strip;
mod toolchain;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::paths;
use manifest::{Fingerprint, MANIFEST, Manifest, OBJECT};

pub(crate) use toolchain::{Toolchain, find as find_toolchain};

/// Build the BPF object and its manifest.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build into a temporary folder and compare with the committed object instead of replacing it.
    #[arg(long)]
    check: bool,
    /// Write the object and its manifest here instead of profiler/bpf.
    #[arg(long, value_name = "DIR", conflicts_with = "check")]
    output: Option<PathBuf>,
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if args.check {
        return check();
    }
    let (bytes, manifest) = object(&paths::target().join("bpf"))?;
    let folder = args.output.clone().unwrap_or_else(paths::bpf);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    write(&folder.join(OBJECT), &bytes)?;
    let json = serde_json::to_string_pretty(&manifest)? + "\n";
    write(&folder.join(MANIFEST), json.as_bytes())?;
    println!(
        "{}: {} bytes, sha256 {}",
        folder.join(OBJECT).display(),
        bytes.len(),
        manifest.object_sha256
    );
    Ok(ExitCode::SUCCESS)
}

/// Builds the object below `target_folder` and describes it.
fn object(target_folder: &Path) -> Result<(Vec<u8>, Manifest)> {
    let toolchain = find_toolchain()?;
    let linker = linker::find(toolchain.llvm_major)?;
    println!("compiler: {}", toolchain.name);
    println!("linker:   {} ({})", linker.path.display(), linker.version);
    let crates = crates::list()?;
    let elf = build::build(&toolchain, &linker, &crates.sources, target_folder)?;
    let bytes = strip::strip(&elf)?;
    strip::refuse_absolute_paths(&bytes)?;
    let package = paths::kernel_half();
    let manifest = Manifest {
        sources_sha256: manifest::source_hash(&package)
            .with_context(|| format!("cannot hash the sources in {}", package.display()))?,
        object_sha256: manifest::sha256(&bytes),
        toolchain: Fingerprint {
            rustc: toolchain.version.clone(),
            bpf_linker: linker.version.clone(),
            flags: build::flags(),
            crates: crates.names,
        },
    };
    Ok((bytes, manifest))
}

/// Builds everything anew, so that nothing left over from an earlier build can make the comparison pass.
fn check() -> Result<ExitCode> {
    let folder = paths::target().join("bpf-check");
    remove(&folder)?;
    let result = object(&folder).and_then(|(bytes, manifest)| compare(&bytes, &manifest));
    remove(&folder)?;
    result
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

fn compare(bytes: &[u8], rebuilt: &Manifest) -> Result<ExitCode> {
    let committed = read_manifest(&paths::bpf())?;
    if committed.sources_sha256 != rebuilt.sources_sha256 {
        bail!(
            "the committed BPF object is stale: its sources changed since it was built; \
             run `cargo xtask ebpf` and commit profiler/bpf"
        );
    }
    if committed.toolchain != rebuilt.toolchain {
        println!(
            "byte comparison skipped: the committed object was built by another toolchain{}",
            differences(&committed.toolchain, &rebuilt.toolchain)
        );
        return Ok(ExitCode::SUCCESS);
    }
    let path = paths::bpf().join(OBJECT);
    let object = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    if object != bytes {
        let rejected = paths::target().join(OBJECT);
        write(&rejected, bytes)?;
        bail!(
            "the same sources and toolchain gave other bytes than {}: compare with {}",
            path.display(),
            rejected.display()
        );
    }
    println!(
        "{}: {} bytes, the rebuild is identical",
        path.display(),
        bytes.len()
    );
    Ok(ExitCode::SUCCESS)
}

fn read_manifest(folder: &Path) -> Result<Manifest> {
    let path = folder.join(MANIFEST);
    let text = fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}; run `cargo xtask ebpf`", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("cannot parse {}", path.display()))
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
        ("crates", committed.crates.join(" "), here.crates.join(" ")),
    ] {
        if old != new {
            text += &format!("\n  {name}: {old}\n  here: {new}");
        }
    }
    text
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
