//! The files that records of the kernel name: by path, in the root folder of a process that may be gone, or of one that
//! it was forked from, or of the host; and only if it is the file that was mapped.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::facts::ProcFolder;
use super::files::{Files, HeldFile};
use super::look::all_mounts;
use super::roots::Roots;
use crate::model::CodeFile;
use crate::symbolize::elf::{Header, Source};
use crate::symbolize::followed::FileName;
use crate::symbolize::safe_open::{Held, Links, hold_folder};
use crate::symbolize::walk::Root;

/// `OVERLAYFS_SUPER_MAGIC` in the kernel's `uapi/linux/magic.h`.
const OVERLAYFS: u64 = 0x794c_7630;

/// What it takes to find a file.
pub(super) struct Search {
    pub(super) name: Arc<FileName>,
    /// Processes whose root folder it may be in.
    pub(super) processes: Vec<u32>,
    pub(super) proc_root: PathBuf,
    pub(super) files: Arc<Files>,
    pub(super) roots: Arc<Roots>,
}

impl Search {
    /// Searches. May take as long as whoever serves the file likes.
    pub(super) fn carry_out(&self) -> Option<Arc<HeldFile>> {
        let path = without_mark(&self.name.path);
        if !self.files.has_room() {
            return None;
        }
        let own = std::process::id();
        self.processes.iter().chain([&own]).find_map(|pid| {
            let folder = ProcFolder::open(&self.proc_root, *pid, None).ok()?;
            let mounts = all_mounts(&folder);
            let root = if *pid == own {
                Arc::new(hold_folder(Path::new("/")).ok()?)
            } else {
                self.roots.share(folder.root().ok()?)
            };
            let root = Root::new(root, mounts.fuse_points());
            let held = self.hold(&root, path)?;
            let stat = held.stat;
            let device = (
                rustix::fs::major(stat.st_dev),
                rustix::fs::minor(stat.st_dev),
            );
            let mapping = (device, stat.st_ino, &Arc::from(path));
            Some(self.files.insert(held, mapping, Some(root)))
        })
    }

    fn hold(&self, root: &Root, path: &str) -> Option<Held> {
        let held = root.hold(Path::new(path), Links::Follow).ok()?;
        self.is_it(&held)?.then_some(held)
    }

    /// Whether this is the file that was mapped.
    fn is_it(&self, held: &Held) -> Option<bool> {
        match &self.name.file {
            CodeFile::BuildId(id) => {
                let source = Source::file(held.reader().ok()?).ok()?;
                let header = Header::read(&source).ok()?;
                let wanted = id.iter().fold(String::new(), |mut text, byte| {
                    let _ = write!(text, "{byte:02x}");
                    text
                });
                Some(header.build_id(&source) == wanted)
            }
            CodeFile::Inode { device, inode, .. } => {
                let stat = &held.stat;
                let found = (
                    rustix::fs::major(stat.st_dev),
                    rustix::fs::minor(stat.st_dev),
                );
                // The records name the device of the layer below.
                Some(stat.st_ino == *inode && (found == *device || held.is_on(OVERLAYFS)))
            }
        }
    }
}

/// The path without what the kernel adds when the file was removed.
pub(super) fn without_mark(path: &str) -> &str {
    path.strip_suffix(" (deleted)").unwrap_or(path)
}
