//! Building the programs of the virtual machine: linked statically, because there is nothing else in it.

use std::path::PathBuf;

use anyhow::Result;

use crate::cmd;

/// What the machine runs.
pub(crate) struct Programs {
    /// The kernel tests, which are init and workload too.
    pub(crate) tests: PathBuf,
    /// `ctprof` itself.
    pub(crate) ctprof: PathBuf,
}

/// Emulation makes unoptimised code too slow, and debug info would fill the machine's memory.
const PROFILE: [(&str, &str); 2] = [
    ("CARGO_PROFILE_DEV_OPT_LEVEL", "1"),
    ("CARGO_PROFILE_DEV_DEBUG", "false"),
];

/// Builds them.
pub(crate) fn programs() -> Result<Programs> {
    println!("building the tests for the virtual machine");
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut cargo = cmd::cargo();
    cargo
        .args([
            "test",
            "--no-run",
            "--quiet",
            "--package",
            "ctprof",
            "--test",
            "kernel",
        ])
        .args([
            "--target",
            &target,
            "--message-format",
            "json-render-diagnostics",
        ])
        .env(
            "RUSTFLAGS",
            "-Ctarget-feature=+crt-static -Cforce-frame-pointers=yes",
        )
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .envs(PROFILE)
        .stderr(std::process::Stdio::inherit());
    let messages = cmd::output(&mut cargo)?;
    Ok(Programs {
        tests: cmd::built(&messages, "kernel")?,
        ctprof: cmd::built(&messages, "ctprof")?,
    })
}
