//! Opening files whose names and contents a container controls.
//!
//! A file is first opened with `O_PATH`, which touches neither FIFOs nor devices, then checked to be a regular
//! file, and only then opened for reading, through the descriptor and not by name again.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

/// Why a file was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// No file of that name, or its process is gone.
    Missing,
    /// Leads through a symbolic link that was not to be followed, or out of its root.
    Outside,
    /// Not a regular file.
    NotRegular,
    /// The limit on open files is reached.
    TooManyFiles,
    /// Not allowed.
    Denied,
    /// Any other error.
    Failed,
}

impl From<Errno> for Refused {
    fn from(error: Errno) -> Self {
        match error {
            Errno::NOENT | Errno::NOTDIR | Errno::SRCH => Self::Missing,
            Errno::LOOP | Errno::XDEV => Self::Outside,
            Errno::MFILE | Errno::NFILE => Self::TooManyFiles,
            Errno::ACCESS | Errno::PERM => Self::Denied,
            _ => Self::Failed,
        }
    }
}

/// A regular file that is held but not yet open for reading, and its attributes when it was opened.
#[derive(Debug)]
pub(super) struct Held {
    fd: OwnedFd,
    pub(super) stat: Stat,
}

impl Held {
    /// A regular file, opened with `O_PATH`.
    pub(super) fn new(fd: OwnedFd, stat: Stat) -> Self {
        Self { fd, stat }
    }

    /// It is the same file as `other`.
    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        (self.stat.st_dev, self.stat.st_ino) == (other.stat.st_dev, other.stat.st_ino)
    }

    /// Whether it is on a file system of this kind.
    pub(super) fn is_on(&self, magic: u64) -> bool {
        rustix::fs::fstatfs(&self.fd).is_ok_and(|found| found.f_type.cast_unsigned() == magic)
    }

    /// Opens the file for reading.
    pub(super) fn reader(&self) -> Result<File, Refused> {
        let path = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
    }
}

/// A folder as a starting point for [`hold_in`]; links are followed (`/proc/PID/root` is one).
pub(super) fn hold_folder(path: &Path) -> Result<OwnedFd, Refused> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Holds the regular file behind a path that the kernel wrote (`/proc/PID/map_files/…`).
pub(super) fn hold_link(path: &Path) -> Result<Held, Refused> {
    check(rustix::fs::openat(
        CWD,
        path,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// Whether symbolic links on the way are followed, always inside the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Links {
    Follow,
    Refuse,
}

/// Holds the regular file `path` below `root`, taking `root` for `/`: neither `..` nor a link leads out of it.
pub(super) fn hold_in(root: BorrowedFd<'_>, path: &Path, links: Links) -> Result<Held, Refused> {
    let mut resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let mut flags = OFlags::PATH | OFlags::CLOEXEC;
    if links == Links::Refuse {
        resolve |= ResolveFlags::NO_SYMLINKS;
        flags |= OFlags::NOFOLLOW;
    }
    check(rustix::fs::openat2(
        root.as_fd(),
        path,
        flags,
        Mode::empty(),
        resolve,
    )?)
}

fn check(fd: OwnedFd) -> Result<Held, Refused> {
    let stat = rustix::fs::fstat(&fd)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(Held { fd, stat }),
        FileType::Symlink => Err(Refused::Outside),
        _ => Err(Refused::NotRegular),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn fifos_devices_and_folders_are_refused_without_blocking() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let root = hold_folder(dir.path()).unwrap();
        let open = |name: &str| hold_in(root.as_fd(), Path::new(name), Links::Refuse).map(|_| ());
        assert_eq!(open("fifo"), Err(Refused::NotRegular));
        assert_eq!(open("."), Err(Refused::NotRegular));
        assert_eq!(open("none"), Err(Refused::Missing));
        assert_eq!(
            hold_link(Path::new("/dev/null")).map(|_| ()),
            Err(Refused::NotRegular)
        );
    }

    #[test]
    fn links_never_lead_out_of_the_root() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::fs::write(dir.path().join("etc/passwd"), "inside").unwrap();
        for (name, target) in [
            ("absolute", "/etc/passwd"),
            ("dots", "../../../../etc/passwd"),
        ] {
            std::os::unix::fs::symlink(target, dir.path().join(name)).unwrap();
            let root = hold_folder(dir.path()).unwrap();
            let refused = hold_in(root.as_fd(), Path::new(name), Links::Refuse);
            assert_eq!(refused.map(|_| ()), Err(Refused::Outside), "{name}");
            let held = hold_in(root.as_fd(), Path::new(name), Links::Follow).unwrap();
            let mut text = String::new();
            held.reader().unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "inside", "{name}");
        }
    }
}
