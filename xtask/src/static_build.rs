//! Building what has to run where nothing else is: in a virtual machine, in a container image.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Result;

use crate::cmd;

/// What the tests put into virtual machines and images.
pub(crate) struct Programs {
    /// The kernel tests, which are init and workload too.
    pub(crate) tests: PathBuf,
    /// `ctprof` itself.
    pub(crate) ctprof: PathBuf,
}

/// Builds both at once: ctprof without its tests has fewer features of its dependencies, and would be compiled anew.
///
/// # Errors
/// They do not build.
pub(crate) fn tests() -> Result<Programs> {
    println!("building static programs for virtual machines and images");
    let messages = cargo(&["test", "--no-run", "--test", "kernel"])?;
    Ok(Programs {
        tests: cmd::built(&messages, "kernel")?,
        ctprof: cmd::built(&messages, "ctprof")?,
    })
}

/// Builds as `cargo ARGS…` says, linked statically; what cargo says of its artifacts.
///
/// # Errors
/// It does not build.
pub(crate) fn cargo(args: &[&str]) -> Result<String> {
    // Without a target the flags would count for build scripts, too.
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut cargo: Command = cmd::cargo();
    cargo
        .args(args)
        .args(["--release", "--quiet", "--package", "ctprof"])
        .args(["--target", &target])
        .args(["--message-format", "json-render-diagnostics"])
        // Frame pointers: so that ctprof can be asked about itself.
        .env(
            "RUSTFLAGS",
            "-Ctarget-feature=+crt-static -Cforce-frame-pointers=yes",
        )
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        // It would fill the memory of the machine.
        .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
        .stderr(Stdio::inherit());
    cmd::output(&mut cargo)
}
