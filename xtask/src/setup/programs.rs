//! Programs that tests and checks call.

use anyhow::{Context, Result, bail};

use super::Found;
use super::apt::Apt;
use crate::cmd;

/// QEMU; the kernels themselves are fetched by `cargo xtask vm`.
pub(super) fn vm(apt: &mut Apt) -> Vec<Found> {
    vec![
        (
            "qemu",
            program(apt, "qemu-system-x86_64", "qemu-system-x86"),
        ),
        ("static C library", static_libc(apt)),
    ]
}

/// The Docker daemon, its client, and the programs that the tests put into containers.
pub(super) fn docker(apt: &mut Apt) -> Vec<Found> {
    vec![
        ("dockerd", program(apt, "dockerd", "docker.io")),
        ("docker", program(apt, "docker", "docker.io")),
        ("busybox", program(apt, "busybox", "busybox-static")),
        ("redis-server", server(apt, "redis-server", "redis-server")),
        (
            "redis-benchmark",
            server(apt, "redis-benchmark", "redis-tools"),
        ),
        ("nginx", server(apt, "nginx", "nginx-light")),
        ("prometheus", server(apt, "prometheus", "prometheus")),
    ]
}

/// A program whose package starts a server: installed on test machines only, elsewhere the choice is the user's.
fn server(apt: &mut Apt, name: &str, package: &str) -> Result<String> {
    if cmd::find(name).is_none() && std::env::var_os("CI").is_none() {
        bail!("install {package} if you want its test (Debian starts it as a service)");
    }
    program(apt, name, package)
}

/// rustfmt and clippy, and the tools that counts are compared with.
pub(super) fn tests(apt: &mut Apt) -> Vec<Found> {
    vec![
        ("C compiler", program(apt, "cc", "gcc")),
        ("promtool", server(apt, "promtool", "prometheus")),
        ("strace", program(apt, "strace", "strace")),
        ("perf", program(apt, "perf", "linux-perf")),
        ("rustfmt", component("fmt", "rustfmt")),
        ("clippy", component("clippy", "clippy")),
    ]
}

/// The path of program `name`, installing `package` where it is not there.
fn program(apt: &mut Apt, name: &str, package: &str) -> Result<String> {
    if cmd::find(name).is_none() {
        apt.install(&[package])?;
    }
    let path = cmd::find(name).with_context(|| format!("{package} brought no {name}"))?;
    Ok(path.display().to_string())
}

/// What links the test program statically, so that it runs as init in an otherwise empty file system.
fn static_libc(apt: &mut Apt) -> Result<String> {
    let find = || {
        let mut cc = std::process::Command::new("cc");
        cmd::output(cc.arg("-print-file-name=libc.a"))
            .ok()
            .filter(|path| path.starts_with('/'))
    };
    if let Some(path) = find() {
        return Ok(path);
    }
    apt.install(&["gcc", "libc6-dev"])?;
    find().context("the C compiler knows no libc.a")
}

/// A cargo subcommand, which rustup may install.
fn component(subcommand: &str, name: &str) -> Result<String> {
    let version = || cmd::output(cmd::cargo().args([subcommand, "--version"]));
    if let Ok(version) = version() {
        return Ok(version);
    }
    let Some(rustup) = cmd::find("rustup") else {
        bail!("install {name} with your Rust toolchain");
    };
    println!("installing {name}");
    cmd::output(std::process::Command::new(rustup).args(["component", "add", name]))?;
    version()
}
