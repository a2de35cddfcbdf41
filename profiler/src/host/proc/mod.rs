//! Reads of the host's files, all below one root, so that a fixture can stand in for a host.
//!
//! Owns how files are opened (size caps, nothing that blocks, nothing outside a root) and what
//! `/proc` says about processes and mounts. What the files mean is for the callers.

pub mod confined;
#[cfg(test)]
pub(crate) mod fixture;
pub mod mounts;
pub mod process;

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

pub use confined::ConfinedRoot;

/// Largest `/proc` or cgroup file that is read: `cgroup.threads` of 100,000 threads is 0.8 MB.
const PSEUDO_FILE_CAP: u64 = 16 << 20;

/// One host, as a tree of files.
#[derive(Clone, Debug)]
pub struct Host {
    root: PathBuf,
}

impl Default for Host {
    fn default() -> Self {
        Self::new("/")
    }
}

impl Host {
    /// A host whose `/` is `root`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where the absolute path of this host really is.
    #[must_use]
    pub fn at(&self, absolute: impl AsRef<Path>) -> PathBuf {
        let absolute = absolute.as_ref();
        self.root
            .join(absolute.strip_prefix("/").unwrap_or(absolute))
    }

    /// The text of a file of `/proc` or a cgroup; `None` when it is not there (any more).
    ///
    /// # Errors
    /// Whatever else reading fails with, such as a missing privilege.
    pub fn read(&self, absolute: impl AsRef<Path>) -> io::Result<Option<String>> {
        read_optional(&self.at(absolute))
    }

    /// The root of this host, through which files of runtimes are read without leaving it.
    ///
    /// # Errors
    /// When the root cannot be opened.
    pub fn confined(&self) -> io::Result<ConfinedRoot> {
        ConfinedRoot::open(&self.root)
    }
}

/// The text at `path`, lossily decoded; `None` when it is not there (any more).
///
/// # Errors
/// Whatever else reading fails with.
pub(crate) fn read_optional(path: &Path) -> io::Result<Option<String>> {
    let file = File::options()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path);
    match file.and_then(|file| read_capped(file, PSEUDO_FILE_CAP)) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Everything in `file`, or an error when that is more than `cap` bytes.
pub(crate) fn read_capped(file: File, cap: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(cap + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > cap {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("larger than {cap} bytes"),
        ));
    }
    Ok(bytes)
}

/// The file, process or cgroup vanished or never was: no failure, just nothing to read.
///
/// ENODEV is what an open file of a removed cgroup returns, ESRCH one of an exited process.
#[must_use]
pub fn is_gone(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NOENT | Errno::NOTDIR | Errno::NODEV | Errno::SRCH)
    )
}

#[cfg(test)]
mod tests {
    use super::Host;

    #[test]
    fn paths_are_below_the_root() {
        assert_eq!(
            Host::new("/fixture").at("/proc/1/cgroup").to_str(),
            Some("/fixture/proc/1/cgroup")
        );
        assert_eq!(Host::default().at("/proc").to_str(), Some("/proc"));
    }

    #[test]
    fn missing_is_none_and_large_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::new(dir.path());
        assert_eq!(host.read("/nope").unwrap(), None);
        assert_eq!(host.read("/nope/deeper").unwrap(), None);
        let sparse = std::fs::File::create(dir.path().join("sparse")).unwrap();
        sparse.set_len(10 << 30).unwrap();
        assert_eq!(
            host.read("/sparse").unwrap_err().to_string(),
            "larger than 16777216 bytes"
        );
    }
}
