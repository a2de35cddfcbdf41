//! `cargo xtask image`: the container image, with nothing in it but a static ctprof.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::{cmd, paths, static_build};

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
    println!("building a static ctprof");
    let messages = static_build::cargo(&["build", "--bin", "ctprof"])?;
    let folder = prepare(&cmd::built(&messages, "ctprof")?)?;
    if !args.no_docker {
        let mut docker = Command::new("docker");
        docker.args(["build", "--tag", &args.tag]).arg(&folder);
        cmd::run(&mut docker)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Puts a static ctprof and the Dockerfile into a folder.
pub(crate) fn prepare(built: &Path) -> Result<PathBuf> {
    let folder = paths::root().join("target/image");
    std::fs::create_dir_all(&folder)?;
    let binary = folder.join("ctprof");
    cmd::run(Command::new("strip").arg("-o").arg(&binary).arg(built))?;
    let dockerfile = paths::root().join("dashboards/deploy/Dockerfile");
    std::fs::copy(&dockerfile, folder.join("Dockerfile"))
        .with_context(|| format!("cannot copy {}", dockerfile.display()))?;
    let bytes = binary.metadata()?.len();
    println!("{}: {:.1} MB", binary.display(), bytes as f64 / 1e6);
    ensure!(
        bytes <= MAX_BYTES,
        "the binary has {bytes} bytes; at most {MAX_BYTES} are allowed"
    );
    Ok(folder)
}
