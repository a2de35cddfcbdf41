//! Where files that came are kept: elfutils' cache, a folder for each build id with a file `debuginfo`, which is empty where
//! no server had any.
//!
//! A file is written without a name, and gets one when it is whole and checked: what breaks off leaves nothing behind. Where
//! that cannot be, in the agent or without a home, it is kept in memory.

use std::fs::{DirBuilder, File};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, CWD, FileType, MemfdFlags, Mode, OFlags};
use rustix::io::Errno;

/// The file of a build id.
const NAME: &str = "debuginfo";

/// For how long that no server has a file is taken to be still so.
pub(super) const ABSENT_FOR: Duration = Duration::from_secs(600);

/// What is kept of a build id.
#[derive(Debug)]
pub(super) enum Kept {
    File(File),
    /// No server had any, lately.
    Absent,
    Nothing,
}

/// A folder that is this user's own.
#[derive(Debug)]
pub(super) struct Store(OwnedFd);

impl Store {
    /// Opens the folder; `makes` has it made if it is not there.
    pub(super) fn open(path: &Path, makes: bool) -> Option<Self> {
        if makes {
            let _ = DirBuilder::new().recursive(true).mode(0o700).create(path);
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(path, flags, Mode::empty());
        let (folder, stat) = opened
            .and_then(|folder| {
                let stat = rustix::fs::fstat(&folder)?;
                Ok((folder, stat))
            })
            .inspect_err(|error| tracing::debug!("no cache at {}: {error}", path.display()))
            .ok()?;
        // What others can write to they can fill with another build's names, or with links.
        let is_own = stat.st_uid == rustix::process::geteuid().as_raw();
        if !is_own || stat.st_mode & 0o022 != 0 {
            tracing::warn!(
                "debug information is not kept at {}: others may write there; DEBUGINFOD_CACHE_PATH names another place",
                path.display()
            );
            return None;
        }
        Some(Self(folder))
    }

    /// Bytes that may be written: a twentieth of the disk stays free, whatever containers have fetched.
    pub(super) fn room(&self) -> u64 {
        rustix::fs::fstatvfs(&self.0).map_or(0, |disk| {
            let spare = disk.f_bavail.saturating_sub(disk.f_blocks / 20);
            spare.saturating_mul(disk.f_frsize)
        })
    }

    /// What is there of this build id.
    pub(super) fn find(&self, build_id: &str) -> Kept {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(folder) = rustix::fs::openat(&self.0, build_id, flags, Mode::empty()) else {
            return Kept::Nothing;
        };
        let Ok(stat) = rustix::fs::statat(&folder, NAME, AtFlags::SYMLINK_NOFOLLOW) else {
            return Kept::Nothing;
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Kept::Nothing;
        }
        if stat.st_size == 0 {
            let since = u64::try_from(stat.st_mtime).unwrap_or(0);
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            let is_new = now.as_secs().abs_diff(since) < ABSENT_FOR.as_secs();
            return if is_new { Kept::Absent } else { Kept::Nothing };
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&folder, NAME, flags, Mode::empty());
        file.map_or(Kept::Nothing, |file| Kept::File(File::from(file)))
    }

    /// The folder of a build id, which is made if it is not there.
    fn folder(&self, build_id: &str) -> Result<OwnedFd, Errno> {
        match rustix::fs::mkdirat(&self.0, build_id, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.0, build_id, flags, Mode::empty())
    }

    /// Remembers that no server has any.
    pub(super) fn keep_absent(&self, build_id: &str) -> Result<(), Errno> {
        let folder = self.folder(build_id)?;
        let _ = rustix::fs::unlinkat(&folder, NAME, AtFlags::empty());
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        rustix::fs::openat(&folder, NAME, flags, Mode::empty()).map(|_| ())
    }
}

/// A regular file, opened without waiting for whatever else it may be.
pub(super) fn open(path: &Path) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    file.metadata().ok()?.is_file().then_some(file)
}

/// A file in the making.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) file: File,
    /// The folder in which it gets its name; `None` for one in memory.
    folder: Option<OwnedFd>,
}

impl Draft {
    /// An empty file for a build id.
    pub(super) fn new(store: Option<&Store>, build_id: &str) -> Result<Self, Errno> {
        let nameless = |store: &Store| {
            let folder = store.folder(build_id)?;
            let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
            let file = rustix::fs::openat(&folder, ".", flags, Mode::RUSR | Mode::WUSR)?;
            Ok::<_, Errno>(Self {
                file: File::from(file),
                folder: Some(folder),
            })
        };
        let kept = store.map(|store| {
            nameless(store).inspect_err(|error| {
                tracing::debug!("debug information of {build_id} is kept in memory: {error}");
            })
        });
        if let Some(Ok(draft)) = kept {
            return Ok(draft);
        }
        let file = rustix::fs::memfd_create("debuginfo", MemfdFlags::CLOEXEC)?;
        Ok(Self {
            file: File::from(file),
            folder: None,
        })
    }

    /// It is kept in memory, and lost with this process.
    pub(super) fn is_in_memory(&self) -> bool {
        self.folder.is_none()
    }

    /// Gives it its name, in the place of what had it.
    pub(super) fn keep(&self) -> Result<(), Errno> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let name = format!(".{NAME}.{}", std::process::id());
        let _ = rustix::fs::unlinkat(folder, &name, AtFlags::empty());
        rustix::fs::linkat(CWD, own, folder.as_fd(), &name, AtFlags::SYMLINK_FOLLOW)?;
        rustix::fs::renameat(folder, &name, folder, NAME)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    fn text(kept: Kept) -> Option<String> {
        match kept {
            Kept::File(mut file) => {
                let mut text = String::new();
                file.read_to_string(&mut text).unwrap();
                Some(text)
            }
            Kept::Absent | Kept::Nothing => None,
        }
    }

    #[test]
    fn files_have_a_name_once_they_are_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/cache");
        let store = Store::open(&path, true).unwrap();
        let mut draft = Draft::new(Some(&store), "abcd").unwrap();
        assert!(!draft.is_in_memory());
        draft.file.write_all(b"half").unwrap();
        assert!(matches!(store.find("abcd"), Kept::Nothing));
        assert_eq!(std::fs::read_dir(path.join("abcd")).unwrap().count(), 0);
        draft.file.write_all(b" and half").unwrap();
        draft.keep().unwrap();
        assert_eq!(text(store.find("abcd")).unwrap(), "half and half");
        let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("abcd")), 0o700);
        assert_eq!(mode(&path.join("abcd/debuginfo")), 0o600);
        // Another one in its place.
        let mut draft = Draft::new(Some(&store), "abcd").unwrap();
        draft.file.write_all(b"new").unwrap();
        draft.keep().unwrap();
        assert_eq!(text(store.find("abcd")).unwrap(), "new");
        assert_eq!(std::fs::read_dir(path.join("abcd")).unwrap().count(), 1);
    }

    #[test]
    fn absence_is_remembered_for_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), true).unwrap();
        store.keep_absent("abcd").unwrap();
        store.keep_absent("abcd").unwrap();
        assert!(matches!(store.find("abcd"), Kept::Absent));
        let path = dir.path().join("abcd/debuginfo");
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0);
        let long_ago = SystemTime::now() - ABSENT_FOR - Duration::from_secs(2);
        // Root may open it; for others the permissions are for the test to give.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(long_ago)
            .unwrap();
        assert!(matches!(store.find("abcd"), Kept::Nothing));
    }

    #[test]
    fn what_others_can_write_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |mode| {
            std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        };
        mode(0o777);
        assert!(Store::open(dir.path(), true).is_none());
        mode(0o755);
        let store = Store::open(dir.path(), true).unwrap();
        // Links lead nowhere.
        let elsewhere = tempfile::tempdir().unwrap();
        std::fs::write(elsewhere.path().join("debuginfo"), "elsewhere").unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), dir.path().join("abcd")).unwrap();
        assert!(matches!(store.find("abcd"), Kept::Nothing));
        assert!(Draft::new(Some(&store), "abcd").unwrap().is_in_memory());
        assert!(store.keep_absent("abcd").is_err());
    }
}
