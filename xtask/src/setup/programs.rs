//! Programs that tests and checks call.

use anyhow::{Context, Result, bail};

use super::Found;
use super::apt::Apt;
use super::unpack;
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
    let mut found = vec![
        ("dockerd", program(apt, "dockerd", "docker.io")),
        ("docker", program(apt, "docker", "docker.io")),
        ("ip", program(apt, "ip", "iproute2")),
        ("iptables", program(apt, "iptables", "iptables")),
        ("busybox", program(apt, "busybox", "busybox-static")),
        ("go", program(apt, "go", "golang-go")),
        ("node", program(apt, "node", "nodejs")),
        ("python3", program(apt, "python3", "python3")),
    ];
    found.extend(servers(
        apt,
        &[
            ("redis-server", "redis-server"),
            ("redis-benchmark", "redis-tools"),
            ("nginx", "nginx"),
            ("prometheus", "prometheus"),
        ],
    ));
    found
}

/// Programs whose packages start a service when they are installed: unpacked, where the system does not have them.
fn servers(apt: &mut Apt, servers: &[(&'static str, &str)]) -> Vec<Found> {
    let missing: Vec<&str> = servers
        .iter()
        .filter(|(name, _)| unpack::find(name).is_none())
        .map(|(_, package)| *package)
        .collect();
    let result = if missing.is_empty() {
        Ok(())
    } else {
        unpack::ensure(apt, &missing)
    };
    let found = |(name, package): &(&'static str, &str)| {
        let path = unpack::find(name).with_context(|| match &result {
            Ok(()) => format!("{package} brought no {name}"),
            Err(error) => format!("{error:#}"),
        });
        (*name, path.map(|path| path.display().to_string()))
    };
    servers.iter().map(found).collect()
}

/// rustfmt and clippy, and the tools that counts are compared with.
pub(super) fn tests(apt: &mut Apt) -> Vec<Found> {
    let mut found = vec![
        ("C compiler", program(apt, "cc", "gcc")),
        ("C++ compiler", program(apt, "c++", "g++")),
        ("musl", program(apt, "musl-gcc", "musl-tools")),
        ("strace", program(apt, "strace", "strace")),
        ("perf", program(apt, "perf", "linux-perf")),
        ("rustfmt", component("fmt", "rustfmt")),
        ("clippy", component("clippy", "clippy")),
    ];
    found.extend(servers(apt, &[("promtool", "prometheus")]));
    found
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
