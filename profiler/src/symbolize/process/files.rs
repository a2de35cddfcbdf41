//! Mapped files that are held open, one descriptor for each distinct file however many processes map it.
//!
//! The descriptor keeps the inode alive: a binary that is deleted, replaced, or whose container is gone
//! can still be read at the end of the recording.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::symbolize::safe_open::{Held, Links, Refused, hold_in, hold_link};
use crate::symbolize::walk::Root;

/// A mapped file, held.
#[derive(Debug)]
pub(crate) struct HeldFile {
    /// Number of the file, never reused.
    pub(crate) id: u32,
    pub(crate) held: Held,
    /// Its path as a process sees that maps it.
    pub(crate) path: Arc<str>,
    /// Root folder of that process, where its separate debug file may be.
    pub(crate) debug_root: Option<Root>,
}

impl HeldFile {
    /// Whether both are the same file, perhaps under another name. While one is held, its inode is no other file's.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let of = |file: &Self| {
            let stat = &file.held.stat;
            (stat.st_dev, stat.st_ino, stat.st_size)
        };
        self.id == other.id || of(self) == of(other)
    }
}

type Device = (u32, u32);

/// The files held for all processes. No lock is held while a file is touched.
#[derive(Debug)]
pub(crate) struct Files {
    limit: usize,
    held: Mutex<HeldFiles>,
}

#[derive(Debug, Default)]
struct HeldFiles {
    next_id: u32,
    /// By what `/proc/PID/maps` says, with the path, since file systems such as overlayfs may show one
    /// device and inode number for two files.
    by_mapping: HashMap<(Device, u64, Arc<str>), Weak<HeldFile>>,
    /// By what `fstat` says: device, inode, size and time of change.
    by_stat: HashMap<(u64, u64, i64, i64), Weak<HeldFile>>,
}

impl Files {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            held: Mutex::default(),
        }
    }

    fn held(&self) -> MutexGuard<'_, HeldFiles> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file of a mapping, if it is held already.
    pub(crate) fn known(
        &self,
        device: Device,
        inode: u64,
        path: &Arc<str>,
    ) -> Option<Arc<HeldFile>> {
        self.held()
            .by_mapping
            .get(&(device, inode, Arc::clone(path)))?
            .upgrade()
    }

    /// Holds the file behind `link`, an entry of `/proc/PID/map_files`. `root` is the root folder of the process,
    /// `debug_root` the same, to look for debug information there.
    pub(crate) fn hold(
        &self,
        link: &Path,
        (device, inode, path): (Device, u64, &Arc<str>),
        (root, debug_root): (Option<&Arc<OwnedFd>>, Option<Root>),
    ) -> Result<Arc<HeldFile>, Refused> {
        if !self.has_room() {
            return Err(Refused::TooManyFiles);
        }
        let held = match hold_link(link) {
            // map_files takes CAP_CHECKPOINT_RESTORE; the path will do if it still leads to the same file.
            Err(Refused::Denied) => by_path(device, inode, path, root)?,
            held => held?,
        };
        Ok(self.insert(held, (device, inode, path), debug_root))
    }

    /// Whether one more file may be held.
    pub(crate) fn has_room(&self) -> bool {
        let mut files = self.held();
        if files.by_stat.len() >= self.limit {
            files.by_stat.retain(|_, file| file.strong_count() > 0);
            files.by_mapping.retain(|_, file| file.strong_count() > 0);
        }
        files.by_stat.len() < self.limit
    }

    /// Keeps a file, or gives the one that is kept already.
    pub(crate) fn insert(
        &self,
        held: Held,
        (device, inode, path): (Device, u64, &Arc<str>),
        debug_root: Option<Root>,
    ) -> Arc<HeldFile> {
        let key = (
            held.stat.st_dev,
            held.stat.st_ino,
            held.stat.st_size,
            held.stat
                .st_ctime
                .wrapping_mul(1_000_000_000)
                .wrapping_add(held.stat.st_ctime_nsec.cast_signed()),
        );
        let mut files = self.held();
        let file = match files.by_stat.get(&key).and_then(Weak::upgrade) {
            Some(file) => file,
            None => {
                let file = Arc::new(HeldFile {
                    id: files.next_id,
                    held,
                    path: Arc::clone(path),
                    debug_root,
                });
                files.next_id += 1;
                files.by_stat.insert(key, Arc::downgrade(&file));
                file
            }
        };
        files
            .by_mapping
            .insert((device, inode, Arc::clone(path)), Arc::downgrade(&file));
        file
    }

    /// Numbers of the files held now.
    pub(crate) fn ids(&self) -> HashSet<u32> {
        let files = self.held();
        let files = files.by_stat.values().filter_map(Weak::upgrade);
        files.map(|file| file.id).collect()
    }

    /// Files held now.
    pub(crate) fn count(&self) -> usize {
        self.held()
            .by_stat
            .values()
            .filter(|file| file.strong_count() > 0)
            .count()
    }
}

fn by_path(
    device: Device,
    inode: u64,
    path: &str,
    root: Option<&Arc<OwnedFd>>,
) -> Result<Held, Refused> {
    let root = root.ok_or(Refused::Denied)?;
    let held = hold_in(root.as_fd(), Path::new(path), Links::Follow)?;
    let number = (
        rustix::fs::major(held.stat.st_dev),
        rustix::fs::minor(held.stat.st_dev),
    );
    let is_same = held.stat.st_ino == inode && number == device;
    if is_same {
        Ok(held)
    } else {
        Err(Refused::Denied)
    }
}
