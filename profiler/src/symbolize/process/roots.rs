//! Root folders of processes, one descriptor for all processes of a container.

use std::collections::HashMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::fs::{AtFlags, StatxFlags};

/// Identity of a root folder: device, inode, mount id.
type RootKey = (u32, u32, u64, u64);

/// The root folders that are held.
#[derive(Debug, Default)]
pub(super) struct Roots(Mutex<HashMap<RootKey, Weak<OwnedFd>>>);

impl Roots {
    /// The descriptor of this folder that all share.
    pub(super) fn share(&self, root: OwnedFd) -> Arc<OwnedFd> {
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let Ok(stat) = rustix::fs::statx(
            root.as_fd(),
            "",
            flags,
            StatxFlags::INO | StatxFlags::MNT_ID,
        ) else {
            return Arc::new(root);
        };
        let key = (
            stat.stx_dev_major,
            stat.stx_dev_minor,
            stat.stx_ino,
            stat.stx_mnt_id,
        );
        let mut roots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = roots.get(&key).and_then(Weak::upgrade) {
            return shared;
        }
        roots.retain(|_, root| root.strong_count() > 0);
        let root = Arc::new(root);
        roots.insert(key, Arc::downgrade(&root));
        root
    }
}
