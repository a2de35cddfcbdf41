//! Debian packages unpacked instead of installed: no root, no service that starts, no file of the system touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::apt::Apt;
use crate::{cmd, paths};

/// Where packages put their programs, below [`root`].
const PROGRAMS: [&str; 2] = ["usr/bin", "usr/sbin"];

/// The root of what has been unpacked, laid out as in an installed system. The tests look for it from their own
/// program upwards (`profiler/tests/kernel/harness/unpacked.rs`).
pub(crate) fn root() -> PathBuf {
    paths::target().join("tools/unpacked")
}

/// The path of program `name`: the system's own, or one that was unpacked.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let unpacked = || {
        let files = PROGRAMS.map(|dir| root().join(dir).join(name));
        files.into_iter().find(|file| file.is_file())
    };
    cmd::find(name).or_else(unpacked)
}

/// Unpacks `packages` and the libraries that they need and the system lacks.
pub(super) fn ensure(apt: &mut Apt, packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    if cmd::find("apt-get").is_none() || cmd::find("dpkg-deb").is_none() {
        bail!("install what Debian calls {names}");
    }
    // Old lists name versions that the mirror no longer has; where they cannot be refreshed, they may do.
    let _ = apt.update();
    println!("unpacking {names} into {}", root().display());
    for exact in needed(packages)? {
        let work = paths::target().join(format!("tools/unpack-{}", std::process::id()));
        let result = download(&work, &exact).and_then(|files| merge(&files, &root()));
        // A left-over directory only costs space; the result matters.
        let _ = fs::remove_dir_all(&work);
        result.with_context(|| format!("cannot get {exact}"))?;
    }
    Ok(())
}

/// What installing `packages` would bring, each as `name=version`, without what holds no programs or libraries
/// (`all` architectures: web pages, configuration) and without new versions of what is installed: an older library
/// of the system does for a program of the same release, and a second C library would not fit the system's loader.
fn needed(packages: &[&str]) -> Result<Vec<String>> {
    let mut command = Command::new("apt-get");
    command.args(["--simulate", "install", "--no-install-recommends"]);
    let text = cmd::output(command.args(packages))?;
    let found: Vec<String> = text.lines().filter_map(installation).collect();
    ensure!(
        !found.is_empty(),
        "apt-get would install nothing for {}",
        packages.join(" ")
    );
    Ok(found)
}

/// `Inst NAME (VERSION ORIGIN [ARCHITECTURE])`, as `apt-get --simulate` puts a package that is new to the system.
fn installation(line: &str) -> Option<String> {
    let (name, rest) = line.strip_prefix("Inst ")?.split_once(" (")?;
    let version = rest.split(' ').next()?;
    (!name.contains(' ') && !rest.contains("[all]")).then(|| format!("{name}={version}"))
}

/// Downloads the package `name=version` into `work`, compares it with the package list, and unpacks it; the directory
/// with its files.
///
/// # Errors
/// The package cannot be had, or is not what the list says.
pub(crate) fn download(work: &Path, exact: &str) -> Result<PathBuf> {
    fs::create_dir_all(work)?;
    let mut command = Command::new("apt-get");
    cmd::output(command.args(["-q", "download", exact]).current_dir(work))?;
    let deb = only_package(work)?;
    let wanted = field(exact, "SHA256")?;
    let sum = cmd::output(Command::new("sha256sum").arg(&deb))?;
    ensure!(
        sum.starts_with(&wanted),
        "{} has another SHA-256 than the package list says",
        deb.display()
    );
    let files = work.join("root");
    cmd::output(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&files))?;
    Ok(files)
}

fn only_package(dir: &Path) -> Result<PathBuf> {
    let mut files = fs::read_dir(dir)?.flatten().map(|entry| entry.path());
    let file = files.find(|path| path.extension().is_some_and(|extension| extension == "deb"));
    file.context("apt-get download wrote no package")
}

/// A field of the package list's entry.
fn field(package: &str, name: &str) -> Result<String> {
    let text = cmd::output(Command::new("apt-cache").args(["show", "--no-all-versions", package]))?;
    let prefix = format!("{name}: ");
    let value = text.lines().find_map(|line| line.strip_prefix(&prefix));
    Ok(value
        .with_context(|| format!("{package} has no {name}"))?
        .to_owned())
}

/// Copies the files of a package over what other packages brought.
fn merge(files: &Path, root: &Path) -> Result<()> {
    fs::create_dir_all(root)?;
    let mut command = Command::new("cp");
    command.arg("-a").arg(files.join(".")).arg(root);
    cmd::output(&mut command).map(drop)
}

#[cfg(test)]
mod tests {
    use super::installation;

    #[test]
    fn new_packages_with_programs_or_libraries() {
        for (line, expected) in [
            (
                "Inst redis-server (5:7.0.15-1~deb12u10 Debian-Security:12/oldstable-security [amd64])",
                Some("redis-server=5:7.0.15-1~deb12u10"),
            ),
            (
                "Inst libjs-d3 (3.5.17-4 Debian:12.15/oldstable [all])",
                None,
            ),
            (
                "Inst libc6 [2.36-9] (2.36-9+deb12u10 Debian:12 [amd64]) []",
                None,
            ),
            ("Conf redis-server (5:7.0.15-1 Debian:12 [amd64])", None),
            ("Reading package lists...", None),
        ] {
            assert_eq!(installation(line).as_deref(), expected, "{line}");
        }
    }
}
