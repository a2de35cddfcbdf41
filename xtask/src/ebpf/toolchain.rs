//! Which compiler can build for BPF here: the target is tier 3, so it needs the sources of `core` and
//! cargo's unstable `build-std`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::linker;
use crate::cmd;

/// A rustc with the matching library sources.
pub(crate) struct Toolchain {
    /// For messages.
    pub(crate) name: String,
    /// Output of `rustc -vV`.
    pub(crate) version: String,
    /// Major version of the LLVM inside rustc; bpf-linker must have the same.
    pub(crate) llvm_major: u32,
    /// Absolute folders of the library sources, as they may appear in debug info.
    pub(crate) sources: Vec<PathBuf>,
    kind: Kind,
}

enum Kind {
    /// A rustup toolchain, by name.
    Rustup(String),
    /// A distribution's compiler: stable, so the unstable flags need `RUSTC_BOOTSTRAP`.
    System(PathBuf),
}

impl Toolchain {
    /// A cargo that builds with this compiler.
    pub(crate) fn cargo(&self) -> Command {
        match &self.kind {
            Kind::Rustup(name) => {
                let mut command = Command::new("rustup");
                command.args(["run", name, "cargo"]);
                // Both are set when we were started through rustup's cargo, and would win over `run`.
                command.env_remove("RUSTC").env_remove("RUSTUP_TOOLCHAIN");
                cmd::clean(&mut command);
                command.current_dir(crate::paths::root());
                command
            }
            Kind::System(rustc) => {
                let mut command = cmd::cargo();
                command.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1");
                command
            }
        }
    }
}

/// The first usable toolchain: rustup's nightly with `rust-src`, then the distribution's rustc with its
/// library sources.
///
/// # Errors
/// When there is none; the message says what each candidate lacks.
pub(crate) fn find() -> Result<Toolchain> {
    let mut missing = Vec::new();
    for candidate in [rustup(), system()] {
        match candidate {
            Ok(toolchain) if linker::LLVM.contains(&toolchain.llvm_major) => return Ok(toolchain),
            Ok(toolchain) => missing.push(format!(
                "{} has LLVM {}, but bpf-linker {} needs {} to {}",
                toolchain.name,
                toolchain.llvm_major,
                linker::VERSION,
                linker::LLVM.start(),
                linker::LLVM.end()
            )),
            Err(error) => missing.push(format!("{error:#}")),
        }
    }
    bail!(
        "no compiler for BPF: {}; run `cargo xtask setup --only bpf`",
        missing.join("; ")
    )
}

fn rustup() -> Result<Toolchain> {
    if cmd::find("rustup").is_none() {
        bail!("rustup is not installed");
    }
    let run = |args: &[&str]| {
        let mut command = Command::new("rustup");
        command.args(["run", "nightly", "rustc"]).args(args);
        // Without this, rustup would download a toolchain that is not installed.
        command.env("RUSTUP_AUTO_INSTALL", "0");
        cmd::output(&mut command)
    };
    let version = run(&["-vV"]).map_err(|_| anyhow::anyhow!("rustup has no nightly toolchain"))?;
    let sysroot = PathBuf::from(run(&["--print", "sysroot"])?);
    let sources = library(&sysroot).context("rustup's nightly has no rust-src")?;
    Ok(Toolchain {
        name: describe("rustup nightly", &version),
        llvm_major: llvm_major(&version)?,
        version,
        sources,
        kind: Kind::Rustup("nightly".to_owned()),
    })
}

fn system() -> Result<Toolchain> {
    let rustc = Path::new("/usr/bin/rustc");
    if !rustc.exists() {
        bail!("{} is not installed", rustc.display());
    }
    let run = |args: &[&str]| cmd::output(Command::new(rustc).args(args));
    let version = run(&["-vV"])?;
    let sysroot = PathBuf::from(run(&["--print", "sysroot"])?);
    let sources =
        library(&sysroot).with_context(|| format!("{} has no library sources", rustc.display()))?;
    Ok(Toolchain {
        name: describe(&rustc.display().to_string(), &version),
        llvm_major: llvm_major(&version)?,
        version,
        sources,
        kind: Kind::System(rustc.to_path_buf()),
    })
}

/// The source folder below `sysroot`, under its own name and under the one it is linked to.
fn library(sysroot: &Path) -> Result<Vec<PathBuf>> {
    let folder = sysroot.join("lib/rustlib/src/rust");
    let core = folder.join("library/core/Cargo.toml");
    if !core.exists() {
        bail!("{} does not exist", core.display());
    }
    let mut folders = vec![folder.clone()];
    if let Ok(real) = folder.canonicalize()
        && real != folder
    {
        folders.push(real);
    }
    Ok(folders)
}

fn describe(name: &str, version: &str) -> String {
    let first = version.lines().next().unwrap_or_default();
    format!("{name} ({first})")
}

fn llvm_major(version: &str) -> Result<u32> {
    version
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "))
        .and_then(|llvm| llvm.split('.').next())
        .and_then(|major| major.parse().ok())
        .context("`rustc -vV` names no LLVM version")
}

#[cfg(test)]
mod tests {
    use super::llvm_major;

    #[test]
    fn llvm_major_is_read_from_the_verbose_version() {
        let text = "rustc 1.96.0\nhost: x86_64-unknown-linux-gnu\nLLVM version: 22.1.8";
        assert_eq!(llvm_major(text).unwrap(), 22);
        assert!(llvm_major("rustc 1.96.0").is_err());
    }
}
