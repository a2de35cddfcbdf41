//! `cargo xtask image`: the container image, with nothing in it but a static ctprof.

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};

use crate::{cmd, paths};

/// Largest binary that may be shipped.
const MAX_BYTES: u64 = 20_000_000;

/// Build the container image.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Name of the image.
    #[arg(long, default_value = concat!("ctprof:", env!("CARGO_PKG_VERSION")))]
    tag: String,
    /// Only what goes into it, in target/image.
    #[arg(long)]
    no_docker: bool,
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let folder = prepare()?;
    if !args.no_docker {
        let mut docker = Command::new("docker");
        docker.args(["build", "--tag", &args.tag]).arg(&folder);
        cmd::run(&mut docker)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Puts the binary and the Dockerfile into a folder.
pub(crate) fn prepare() -> Result<PathBuf> {
    println!("building a static ctprof");
    // Without a target the flags would count for build scripts, too.
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut cargo = cmd::cargo();
    cargo
        .args(["build", "--release", "--quiet", "--package", "ctprof"])
        .args(["--target", &target])
        .args(["--message-format", "json-render-diagnostics"])
        .env("RUSTFLAGS", "-Ctarget-feature=+crt-static")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("CARGO_PROFILE_RELEASE_STRIP", "symbols")
        .stderr(Stdio::inherit());
    let binary = cmd::built(&cmd::output(&mut cargo)?, "ctprof")?;
    let folder = paths::root().join("target/image");
    std::fs::create_dir_all(&folder)?;
    let dockerfile = paths::root().join("dashboards/deploy/Dockerfile");
    for from in [&binary, &dockerfile] {
        let name = from.file_name().context("a file without a name")?;
        std::fs::copy(from, folder.join(name))
            .with_context(|| format!("cannot copy {}", from.display()))?;
    }
    let bytes = binary.metadata()?.len();
    println!("{}: {:.1} MB", binary.display(), bytes as f64 / 1e6);
    ensure!(
        bytes <= MAX_BYTES,
        "the binary has {bytes} bytes; at most {MAX_BYTES} are allowed"
    );
    Ok(folder)
}
