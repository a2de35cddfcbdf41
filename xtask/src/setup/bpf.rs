//! The BPF toolchain: a compiler with library sources, and a bpf-linker with the same LLVM.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Found;
use super::apt::{Apt, candidate};
use crate::ebpf::{self, Toolchain, linker};
use crate::{cmd, paths};

/// A distribution's compiler and the package with its library sources, newest first. Debian keeps
/// `rustc-web` current for its browsers.
const COMPILERS: [[&str; 2]; 1] = [["rustc-web", "rust-web-src"]];

pub(super) fn ensure(apt: &mut Apt) -> Vec<Found> {
    let compiler = compiler(apt);
    let linker = match &compiler {
        Ok(toolchain) => bpf_linker(apt, toolchain.llvm_major),
        Err(_) => Err(anyhow::anyhow!("needs to know the compiler's LLVM first")),
    };
    vec![
        ("compiler", compiler.map(|toolchain| toolchain.name)),
        ("bpf-linker", linker),
    ]
}

fn compiler(apt: &mut Apt) -> Result<Toolchain> {
    if let Ok(toolchain) = ebpf::find_toolchain() {
        return Ok(toolchain);
    }
    for packages in COMPILERS {
        // Where the lists cannot be refreshed, the old ones may do.
        let _ = apt.update();
        if packages.iter().all(|package| candidate(package).is_some()) {
            apt.install(&packages)?;
            return ebpf::find_toolchain();
        }
    }
    let Some(rustup) = cmd::find("rustup") else {
        bail!("install rustup, then run this again");
    };
    println!("installing rustup's nightly toolchain with rust-src");
    cmd::output(Command::new(rustup).args([
        "toolchain",
        "install",
        "nightly",
        "--profile",
        "minimal",
        "--component",
        "rust-src",
    ]))?;
    ebpf::find_toolchain()
}

fn bpf_linker(apt: &mut Apt, llvm_major: u32) -> Result<String> {
    if let Ok(found) = linker::find(llvm_major) {
        return Ok(found.version);
    }
    let prefix = llvm(apt, llvm_major)?;
    let root = linker::tools();
    let version = linker::VERSION;
    println!(
        "building bpf-linker {version} into {} (about a minute)",
        root.display()
    );
    let mut cargo = cmd::cargo();
    cargo
        .args([
            "install",
            "bpf-linker",
            "--locked",
            "--force",
            "--version",
            version,
        ])
        .args([
            "--no-default-features",
            "--features",
            &format!("llvm-{llvm_major}"),
        ])
        .arg("--root")
        .arg(&root)
        .arg("--target-dir")
        .arg(root.join("build"))
        .env("LLVM_PREFIX", &prefix)
        .env_remove("RUSTFLAGS")
        // The workspace's own flags are not for programs from elsewhere.
        .env("CARGO_ENCODED_RUSTFLAGS", "");
    cmd::output(&mut cargo)?;
    // Cargo does not see that a linker at the same path has changed.
    let _ = std::fs::remove_dir_all(paths::target().join("bpf"));
    let _ = std::fs::remove_dir_all(root.join("build"));
    linker::find(llvm_major).map(|found| found.version)
}

/// The folder of an LLVM `major` with its libraries and headers.
fn llvm(apt: &mut Apt, major: u32) -> Result<PathBuf> {
    let prefix = Path::new("/usr/lib").join(format!("llvm-{major}"));
    let library = prefix.join("lib/libLLVM.so");
    if !library.exists() {
        let package = format!("llvm-{major}-dev");
        apt.install(&[&package])
            .with_context(|| format!("bpf-linker needs LLVM {major}"))?;
    }
    if !library.exists() {
        bail!("{} is not there", library.display());
    }
    Ok(prefix)
}
