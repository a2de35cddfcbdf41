//! Paths within the root folder of a container, or of the host, followed step by step.
//!
//! Links are followed here and not by the kernel: they lead to what they mean within that root, and every step is known
//! before it is taken. A file system that a process serves (FUSE) is not entered, its server could block ctprof.

use std::ffi::OsString;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};

use super::process::Mounts;
use super::safe_open::{Held, Links, Refused, hold_folder};

/// Links on the way of one path, as many as Linux itself follows.
const MAX_LINKS: usize = 40;

const HOST_MOUNTS_ARE_GOOD_FOR: Duration = Duration::from_secs(5);

/// A root folder, and where within it FUSE file systems are.
#[derive(Clone, Debug)]
pub(super) struct Root {
    folder: Arc<OwnedFd>,
    fuse_points: Arc<[String]>,
}

impl Root {
    pub(super) fn new(folder: Arc<OwnedFd>, fuse_points: Arc<[String]>) -> Self {
        Self {
            folder,
            fuse_points,
        }
    }

    /// The root folder of ctprof itself. The table of mounts is long on a host of many containers: it is read again
    /// only after a while.
    pub(super) fn host() -> Result<Self, Refused> {
        static KNOWN: Mutex<Option<(Instant, Root)>> = Mutex::new(None);
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((read, root)) = &*known
            && read.elapsed() < HOST_MOUNTS_ARE_GOOD_FOR
        {
            return Ok(root.clone());
        }
        let root = Self::read_host()?;
        *known = Some((Instant::now(), root.clone()));
        Ok(root)
    }

    fn read_host() -> Result<Self, Refused> {
        let mut mounts = Mounts::default();
        mounts.add(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default());
        let folder = hold_folder(Path::new("/"))?;
        Ok(Self::new(Arc::new(folder), mounts.fuse_points()))
    }

    /// Holds the regular file at `path`. Links to folders are followed; `last` says what happens if the file itself
    /// is one.
    pub(super) fn hold(&self, path: &Path, last: Links) -> Result<Held, Refused> {
        let mut left: Vec<OsString> = Vec::new();
        let mut done = PathBuf::from("/");
        let mut links = 0;
        push(&mut left, path);
        while let Some(part) = left.pop() {
            if part == ".." {
                done.pop();
                continue;
            }
            done.push(&part);
            if !self.may_walk(&done.to_string_lossy()) {
                return Err(Refused::Failed);
            }
            let (fd, kind, stat) = self.step(&done)?;
            match kind {
                FileType::Symlink => {
                    links += 1;
                    if links > MAX_LINKS || left.is_empty() && last == Links::Refuse {
                        return Err(Refused::Outside);
                    }
                    let target = rustix::fs::readlinkat(&fd, "", Vec::new())?.into_bytes();
                    let target = PathBuf::from(OsString::from_vec(target));
                    done.pop();
                    if target.is_absolute() {
                        done = PathBuf::from("/");
                    }
                    push(&mut left, &target);
                }
                FileType::Directory if !left.is_empty() => {}
                FileType::RegularFile if left.is_empty() => return Ok(Held::new(fd, stat)),
                FileType::RegularFile => return Err(Refused::Missing),
                _ => return Err(Refused::NotRegular),
            }
        }
        Err(Refused::NotRegular)
    }

    fn step(&self, path: &Path) -> Result<(OwnedFd, FileType, rustix::fs::Stat), Refused> {
        let fd = rustix::fs::openat2(
            self.folder.as_fd(),
            path,
            OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
        )?;
        let stat = rustix::fs::fstat(&fd)?;
        Ok((fd, FileType::from_raw_mode(stat.st_mode), stat))
    }

    /// No FUSE file system lies on the way to `path`.
    fn may_walk(&self, path: &str) -> bool {
        !self.fuse_points.iter().any(|point| {
            point == "/"
                || path
                    .strip_prefix(point.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

/// Puts the parts of `path` in front of what is left to walk.
fn push(left: &mut Vec<OsString>, path: &Path) {
    let parts = path.components().rev();
    left.extend(parts.filter_map(|part| match part {
        Component::Normal(part) => Some(part.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    fn root(folder: &Path, fuse_points: &[&str]) -> Root {
        let folder = Arc::new(hold_folder(folder).unwrap());
        Root::new(folder, fuse_points.iter().map(|it| (*it).into()).collect())
    }

    fn text(root: &Root, path: &str, last: Links) -> Result<String, Refused> {
        let mut text = String::new();
        let held = root.hold(Path::new(path), last)?;
        held.reader()?.read_to_string(&mut text).unwrap();
        Ok(text)
    }

    #[test]
    fn links_mean_what_they_mean_within_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("var/tmp/deep")).unwrap();
        std::fs::write(at("var/tmp/map"), "inside").unwrap();
        symlink("/var/tmp", at("tmp")).unwrap();
        symlink("var/./tmp/deep/../deep", at("deep")).unwrap();
        symlink("../../../../../../var/tmp/map", at("var/link")).unwrap();
        symlink("loop", at("loop")).unwrap();
        let root = root(dir.path(), &[]);
        for path in ["/var/tmp/map", "/tmp/map", "/deep/../map"] {
            assert_eq!(
                text(&root, path, Links::Refuse),
                Ok("inside".into()),
                "{path}"
            );
        }
        assert_eq!(text(&root, "/var/link", Links::Follow), Ok("inside".into()));
        assert_eq!(
            text(&root, "/var/link", Links::Refuse),
            Err(Refused::Outside)
        );
        assert_eq!(text(&root, "/loop", Links::Follow), Err(Refused::Outside));
        assert_eq!(
            text(&root, "/tmp/map/x", Links::Follow),
            Err(Refused::Missing)
        );
        assert_eq!(
            text(&root, "/tmp/none", Links::Follow),
            Err(Refused::Missing)
        );
        assert_eq!(text(&root, "/tmp", Links::Follow), Err(Refused::NotRegular));
        assert_eq!(text(&root, "/", Links::Follow), Err(Refused::NotRegular));
    }

    #[test]
    fn no_link_leads_to_fuse() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("served")).unwrap();
        std::fs::write(at("served/map"), "never").unwrap();
        std::fs::write(at("servedby"), "fine").unwrap();
        symlink("/served", at("tmp")).unwrap();
        let root = root(dir.path(), &["/served"]);
        assert_eq!(text(&root, "/tmp/map", Links::Follow), Err(Refused::Failed));
        assert_eq!(
            text(&root, "/served/map", Links::Follow),
            Err(Refused::Failed)
        );
        assert_eq!(text(&root, "/servedby", Links::Follow), Ok("fine".into()));
    }
}
