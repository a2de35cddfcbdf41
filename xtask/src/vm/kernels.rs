//! Debian's cloud kernels: downloaded once by apt, verified, unpacked and kept in `target/vm`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{cmd, paths, setup};

/// A kernel series of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Series {
    /// The oldest one that is supported.
    #[value(name = "6.1")]
    V6_1,
    /// The first long-term one with per-queue throttling clocks.
    #[value(name = "6.12")]
    V6_12,
}

impl Series {
    /// All of them.
    pub(crate) const ALL: [Self; 2] = [Self::V6_1, Self::V6_12];

    /// As in `uname -r`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
        }
    }
}

/// A kernel, ready to boot.
pub(crate) struct Kernel {
    /// Package and version.
    pub(crate) name: String,
    /// The compressed kernel image.
    pub(crate) image: PathBuf,
}

/// The newest kernel of `series` that apt knows, from the cache if it is there. What cannot be downloaded is
/// replaced by the newest cached one.
///
/// # Errors
/// When there is no such package, or it cannot be downloaded or verified, and none is cached.
pub(crate) fn get(series: Series) -> Result<Kernel> {
    let cache = paths::target().join("vm");
    fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
    if let Ok(package) = newest(series)
        && let Some(kernel) = package.kernel(&cache)
    {
        return Ok(kernel);
    }
    fetch(&cache, series).or_else(|error| {
        let kernel = cached(&cache, series).ok_or(error)?;
        println!("no newer kernel to be had: {} from the cache", kernel.name);
        Ok(kernel)
    })
}

/// A package as apt knows it.
struct Package {
    name: String,
    version: String,
}

impl Package {
    fn folder(&self, cache: &Path) -> PathBuf {
        cache.join(format!("{}_{}", self.name, self.version).replace(':', "%"))
    }

    /// Its kernel, if the cache has it.
    fn kernel(&self, cache: &Path) -> Option<Kernel> {
        let image = self.folder(cache).join("vmlinuz");
        let name = format!("{} {}", self.name, self.version);
        image.exists().then_some(Kernel { name, image })
    }
}

/// The newest package of `series` in apt's lists.
fn newest(series: Series) -> Result<Package> {
    if cmd::find("apt-cache").is_none() || cmd::find("dpkg-deb").is_none() {
        bail!("the kernels come from Debian by apt, which is not here");
    }
    let pattern = format!(
        "^linux-image-{}[.][0-9]+.*-cloud-amd64-unsigned$",
        series.name().replace('.', "[.]")
    );
    let mut command = Command::new("apt-cache");
    let text = cmd::output(command.args(["search", "--names-only", &pattern]))?;
    let names = text.lines().filter_map(|line| line.split(' ').next());
    let name = names
        .max_by_key(|name| numbers(name))
        .with_context(|| format!("apt knows no cloud kernel of Linux {}", series.name()))?;
    let version = setup::candidate(name).with_context(|| format!("apt has no {name}"))?;
    Ok(Package {
        name: name.to_owned(),
        version,
    })
}

/// The newest kernel of `series` in the cache.
fn cached(cache: &Path, series: Series) -> Option<Kernel> {
    let prefix = format!("linux-image-{}.", series.name());
    let names = fs::read_dir(cache).ok()?.flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let name = names
        .filter(|name| name.starts_with(&prefix) && cache.join(name).join("vmlinuz").exists())
        .max_by_key(|name| numbers(name))?;
    let image = cache.join(&name).join("vmlinuz");
    Some(Kernel { name, image })
}

/// Downloads, verifies and unpacks the newest package of `series`.
fn fetch(cache: &Path, series: Series) -> Result<Kernel> {
    // Old lists name versions that the mirror no longer has; where they cannot be refreshed, they may do.
    let _ = setup::Apt::new().update();
    let package = newest(series)?;
    println!("downloading {} {}", package.name, package.version);
    let work = cache.join(format!("download-{}", std::process::id()));
    let result = unpack(&work, &package, &package.folder(cache));
    // A left-over folder only costs space; the result matters.
    let _ = fs::remove_dir_all(&work);
    result.with_context(|| format!("cannot get {}", package.name))?;
    package
        .kernel(cache)
        .context("the kernel is not where it was put")
}

fn unpack(work: &Path, package: &Package, folder: &Path) -> Result<()> {
    let exact = format!("{}={}", package.name, package.version);
    let boot = setup::download(work, &exact)?.join("boot");
    let kernel = fs::read_dir(&boot)?
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with("vmlinuz-"))
        .with_context(|| format!("no vmlinuz in {}", package.name))?;
    fs::create_dir_all(folder)?;
    fs::rename(kernel.path(), folder.join("vmlinuz"))
        .with_context(|| format!("cannot write into {}", folder.display()))
}

/// The numbers in a name, for comparing versions.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn versions_compare_by_number() {
        let old = "linux-image-6.1.0-9-cloud-amd64-unsigned";
        let new = "linux-image-6.1.0-56-cloud-amd64-unsigned";
        assert!(numbers(old) < numbers(new));
        assert_eq!(
            numbers("linux-image-6.12.117+deb12-cloud-amd64"),
            [6, 12, 117, 12, 64]
        );
    }
}
