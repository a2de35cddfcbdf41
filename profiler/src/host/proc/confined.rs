//! Reads below a root that somebody else may control.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Dir, Mode, OFlags, ResolveFlags, fstat, openat, openat2};
use rustix::io::Errno;

use super::{is_gone, read_capped};

/// Most entries of one folder that are looked at.
const MAX_ENTRIES: usize = 65_536;

/// A folder that stands for `/`: no path, `..` or symbolic link read through it leads out of it.
///
/// The root of a container (`/proc/PID/root`), of a runtime that lives in a mount namespace of its own,
/// or of the host. Only regular files are read: a FIFO or a device at the path costs nothing.
#[derive(Debug)]
pub struct ConfinedRoot {
    dir: OwnedFd,
    /// Paths that are not to be touched, nor what is below them.
    avoided: Vec<PathBuf>,
}

impl ConfinedRoot {
    /// Takes the folder at `path` as root.
    ///
    /// # Errors
    /// When `path` is no folder or may not be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            dir: openat(CWD, path, flags, Mode::empty())?,
            avoided: Vec::new(),
        })
    }

    /// The same without what is at or below these paths. If there are any, links are not followed at all: they could
    /// lead there.
    #[must_use]
    pub fn avoiding(mut self, paths: Vec<PathBuf>) -> Self {
        self.avoided = paths;
        self
    }

    fn may_open(&self, path: &Path) -> bool {
        let is_plain = |path: &Path| path.components().all(|it| it != Component::ParentDir);
        let path = Path::new("/").join(path);
        self.avoided.is_empty()
            || is_plain(&path) && !self.avoided.iter().any(|it| path.starts_with(it))
    }

    fn open_inside(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        if !self.may_open(path) {
            return Err(Errno::ACCESS);
        }
        let mut resolve = ResolveFlags::IN_ROOT;
        if !self.avoided.is_empty() {
            resolve |= ResolveFlags::NO_SYMLINKS;
        }
        // A rename somewhere on the system during the walk makes the kernel answer EAGAIN.
        for _ in 0..8 {
            match openat2(&self.dir, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN) => {}
                done => return done,
            }
        }
        Err(Errno::AGAIN)
    }

    /// The bytes of the regular file at `path`; `None` when there is none.
    ///
    /// # Errors
    /// A missing privilege, more than `cap` bytes, or a failing disk.
    pub fn read(&self, path: &Path, cap: u64) -> io::Result<Option<Vec<u8>>> {
        let read = || -> io::Result<Option<Vec<u8>>> {
            let fd = self.open_inside(path, OFlags::empty())?;
            if rustix::fs::FileType::from_raw_mode(fstat(&fd)?.st_mode)
                != rustix::fs::FileType::RegularFile
            {
                return Ok(None);
            }
            read_capped(File::from(fd), cap).map(Some)
        };
        match read() {
            Err(error) if is_gone(&error) => Ok(None),
            other => other,
        }
    }

    /// Names of the entries of the folder at `path`, sorted; empty when there is none.
    ///
    /// # Errors
    /// A missing privilege or a failing disk.
    pub fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let fd = match self.open_inside(path, OFlags::DIRECTORY) {
            Ok(fd) => fd,
            Err(errno) => {
                let error = io::Error::from(errno);
                return if is_gone(&error) {
                    Ok(Vec::new())
                } else {
                    Err(error)
                };
            }
        };
        let mut names = Vec::new();
        for entry in Dir::new(fd)?.take(MAX_ENTRIES) {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::ConfinedRoot;

    #[test]
    fn links_stay_inside_and_only_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(dir.path().join("secret"), "outside").unwrap();
        std::fs::write(root.join("etc/name"), "inside").unwrap();
        symlink("../../secret", root.join("up")).unwrap();
        symlink("/etc/name", root.join("absolute")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            root.join("fifo"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();

        let confined = ConfinedRoot::open(&root).unwrap();
        let read = |path: &str| confined.read(Path::new(path), 100);
        assert_eq!(read("/etc/name").unwrap().unwrap(), b"inside");
        assert_eq!(read("/absolute").unwrap().unwrap(), b"inside");
        assert_eq!(read("/up").unwrap(), None);
        assert_eq!(read("/../secret").unwrap(), None);
        assert_eq!(read("/fifo").unwrap(), None);
        assert_eq!(read("/etc").unwrap(), None);
        assert!(read("/loop").is_err());
        assert_eq!(
            confined
                .read(Path::new("/etc/name"), 3)
                .unwrap_err()
                .to_string(),
            "larger than 3 bytes"
        );
        assert_eq!(confined.list(Path::new("/etc")).unwrap(), ["name"]);
        assert!(confined.list(Path::new("/none")).unwrap().is_empty());

        let confined = confined.avoiding(vec!["/served".into()]);
        let read = |path: &str| {
            confined
                .read(Path::new(path), 100)
                .is_ok_and(|it| it.is_some())
        };
        assert!(read("/etc/name"));
        std::fs::create_dir(root.join("served")).unwrap();
        std::fs::write(root.join("served/name"), "never answers").unwrap();
        for path in [
            "/served/name",
            "served/name",
            "/etc/../served/name",
            "/absolute",
        ] {
            assert!(!read(path), "{path}");
        }
    }
}
