//! `cargo xtask ebpf`: builds the kernel half into `profiler/bpf`, or checks that the committed object is
//! what its sources give.

mod build;
mod check;
mod crates;
pub(crate) mod linker;
#[path = "../../../profiler/bpf/manifest.rs"]
mod manifest;
mod strip;
mod toolchain;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::paths;
use manifest::{Fingerprint, MANIFEST, Manifest, OBJECT};

pub(crate) use toolchain::{Toolchain, find as find_toolchain};

/// Build the BPF object and its manifest.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build into a temporary folder and compare with the committed object instead of replacing it.
    #[arg(long)]
    check: bool,
    /// With --check: where the committed object was built by another toolchain, put the rebuilt one in its
    /// place, so that what follows runs on it.
    #[arg(long, requires = "check")]
    replace: bool,
    /// Write the object and its manifest here instead of profiler/bpf.
    #[arg(long, value_name = "DIR", conflicts_with = "check")]
    output: Option<PathBuf>,
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if args.check {
        return check::run(args.replace);
    }
    let (bytes, manifest) = object(&paths::target().join("bpf"))?;
    let folder = args.output.clone().unwrap_or_else(paths::bpf);
    save(&folder, &bytes, &manifest)?;
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

/// Writes an object and its manifest into `folder`.
fn save(folder: &Path, bytes: &[u8], manifest: &Manifest) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    write(&folder.join(OBJECT), bytes)?;
    let json = serde_json::to_string_pretty(manifest)? + "\n";
    write(&folder.join(MANIFEST), json.as_bytes())
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
