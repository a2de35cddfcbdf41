//! bpf-linker: where it is, and which LLVM it carries.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::{cmd, paths};

/// The version that the project builds with.
pub(crate) const VERSION: &str = "0.13.0";

/// Major versions of LLVM that this version can be built with.
pub(crate) const LLVM: RangeInclusive<u32> = 21..=23;

/// An installed bpf-linker.
pub(crate) struct Linker {
    /// Absolute path.
    pub(crate) path: PathBuf,
    /// Its version and, where it loads LLVM as a library, that library's file name and size: they decide
    /// the bytes of the object as much as the linker itself.
    pub(crate) version: String,
}

/// Where `cargo xtask setup` puts the linker, below cargo's target folder.
pub(crate) fn tools() -> PathBuf {
    paths::target().join("tools")
}

/// Our own bpf-linker, or the one in `PATH` or in cargo's folder of programs.
///
/// # Errors
/// When there is none of [`VERSION`] for LLVM `llvm_major`.
pub(crate) fn find(llvm_major: u32) -> Result<Linker> {
    let mut unfit = Vec::new();
    let installed = std::env::home_dir().map(|home| home.join(".cargo/bin/bpf-linker"));
    let candidates = [
        std::env::var_os("BPF_LINKER").map(PathBuf::from),
        Some(tools().join("bin/bpf-linker")),
        cmd::find("bpf-linker"),
        installed,
    ];
    for path in candidates
        .into_iter()
        .flatten()
        .filter(|path| path.exists())
    {
        match describe(&path, llvm_major) {
            Ok(version) => return Ok(Linker { path, version }),
            Err(error) => unfit.push(format!("{}: {error:#}", path.display())),
        }
    }
    if unfit.is_empty() {
        bail!("bpf-linker is not installed; run `cargo xtask setup --only bpf`");
    }
    bail!(
        "no usable bpf-linker ({}); run `cargo xtask setup --only bpf`",
        unfit.join("; ")
    )
}

fn describe(path: &Path, llvm_major: u32) -> Result<String> {
    let version = cmd::output(Command::new(path).arg("--version"))?;
    if version != format!("bpf-linker {VERSION}") {
        bail!("is {version}, not {VERSION}");
    }
    let Some(library) = llvm_library(path) else {
        // Linked statically: its LLVM shows in the features it was built with, not in the program.
        return Ok(version);
    };
    let name = library
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let major = name
        .trim_start_matches("libLLVM")
        .trim_start_matches(['-', '.'])
        .trim_start_matches("so.")
        .split(|c: char| !c.is_ascii_digit())
        .next()
        .and_then(|major| major.parse::<u32>().ok());
    if major != Some(llvm_major) {
        bail!("loads {name}, but rustc has LLVM {llvm_major}");
    }
    let bytes = library.metadata()?.len();
    Ok(format!("{version}, {name} ({bytes} bytes)"))
}

/// The LLVM library that the dynamic loader finds for `program`.
fn llvm_library(program: &Path) -> Option<PathBuf> {
    let text = cmd::output(Command::new("ldd").arg(program)).ok()?;
    let path = text
        .lines()
        .filter_map(|line| line.split_once("=> "))
        .find(|(name, _)| name.trim_start().starts_with("libLLVM"))?
        .1
        .split(" (")
        .next()?
        .to_owned();
    PathBuf::from(path).canonicalize().ok()
}
