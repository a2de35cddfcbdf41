//! Compiling and linking the kernel half.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::ebpf::Toolchain;
use crate::ebpf::linker::Linker;
use crate::{cmd, paths};

/// Little-endian BPF: every CPU that the project supports.
pub(crate) const TARGET: &str = "bpfel-unknown-none";

/// Compiler flags. `v3` (32-bit jumps and ALU operations) is understood since Linux 5.1; debug info is what
/// the linker makes BTF from.
const FLAGS: [&str; 3] = ["-Ctarget-cpu=v3", "-Cdebuginfo=2", "-Clink-arg=--btf"];

/// Profile settings, so that the object does not depend on how the workspace builds for the host. The
/// linker optimises the whole program itself.
const PROFILE: [(&str, &str); 3] = [
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "false"),
];

/// Flags and settings for the fingerprint.
pub(crate) fn flags() -> Vec<String> {
    let profile = PROFILE
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    FLAGS
        .iter()
        .map(ToString::to_string)
        .chain(profile)
        .collect()
}

/// Builds the object below `target_folder` and returns it as the linker wrote it, with debug info.
pub(crate) fn build(
    toolchain: &Toolchain,
    linker: &Linker,
    registries: &BTreeSet<PathBuf>,
    target_folder: &Path,
) -> Result<Vec<u8>> {
    let mut cargo = toolchain.cargo();
    cargo
        .args([
            "build",
            "--locked",
            "--release",
            "--quiet",
            "-Zbuild-std=core",
        ])
        .args(["--package", "ctprof-ebpf", "--bin", "ctprof-bpf"])
        .args(["--target", TARGET, "--target-dir"])
        .arg(target_folder)
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            rustflags(toolchain, linker, registries),
        )
        .env_remove("RUSTFLAGS")
        .envs(PROFILE);
    cmd::run(&mut cargo)?;
    let file = target_folder.join(TARGET).join("release/ctprof-bpf");
    fs::read(&file).with_context(|| format!("cannot read {}", file.display()))
}

/// All flags, separated as `CARGO_ENCODED_RUSTFLAGS` wants them (so that a path may hold blanks).
fn rustflags(toolchain: &Toolchain, linker: &Linker, registries: &BTreeSet<PathBuf>) -> OsString {
    let mut flags: Vec<OsString> = FLAGS.iter().map(OsString::from).collect();
    flags.push(join("-Clinker=", &linker.path));
    // The last prefix that matches wins, so the most general ones come first.
    let mut remap = |from: &Path, to: &str| {
        let mut flag = join("--remap-path-prefix=", from);
        flag.push("=");
        flag.push(to);
        flags.push(flag);
    };
    remap(&paths::root(), "ctprof");
    for folder in registries {
        remap(folder, "crates");
    }
    for folder in &toolchain.sources {
        remap(folder, "rust");
    }
    flags.join(&OsString::from("\x1f"))
}

fn join(flag: &str, path: &Path) -> OsString {
    let mut text = OsString::from(flag);
    text.push(path);
    text
}
