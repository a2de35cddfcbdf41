//! Processes seen during the recording: their mappings, files and perf maps, held while they can be read.

mod facts;
mod files;
#[cfg(test)]
mod fuzzed;
mod image;
mod maps;
mod mounts;

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use rustix::fs::{AtFlags, StatxFlags};

use self::facts::{ProcFolder, Stat};
use self::files::Files;
pub(super) use self::files::HeldFile;
pub(super) use self::image::{Absent, Content, Image, InsteadOf, Mapping, Neighbour, PerfMap};
use self::maps::Backing;
pub(super) use self::mounts::Mounts;
use super::problems::{Problem, Problems};
use super::safe_open::{Links, Refused};
use super::walk::Root;
use super::{Options, names};
use crate::model::ProcessKey;

/// Identity of a root folder: device, inode, mount id.
type RootKey = (u32, u32, u64, u64);

/// Every process image seen.
#[derive(Debug)]
pub(super) struct Processes {
    proc_root: PathBuf,
    max_processes: usize,
    max_mappings: usize,
    images: HashMap<ProcessKey, Image>,
    exec_ids: HashMap<u32, Vec<u32>>,
    /// Images not taken because of the limit, each counted once.
    refused: HashSet<ProcessKey>,
    files: Files,
    perf_maps: usize,
    max_perf_maps: usize,
    roots: HashMap<RootKey, Weak<OwnedFd>>,
}

impl Processes {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            proc_root: options.proc_root.clone(),
            max_processes: options.max_processes,
            max_mappings: options.max_mappings,
            images: HashMap::new(),
            exec_ids: HashMap::new(),
            refused: HashSet::new(),
            files: Files::new(options.max_files),
            perf_maps: 0,
            max_perf_maps: options.max_files / 2,
            roots: HashMap::new(),
        }
    }

    pub(super) fn image(&self, key: ProcessKey) -> Option<&Image> {
        self.images.get(&key)
    }

    /// Lets go of an image and of the files that no other image maps.
    pub(super) fn forget(&mut self, key: ProcessKey) {
        if let Some(image) = self.images.remove(&key)
            && matches!(image.perf_map, PerfMap::Held(_))
        {
            self.perf_maps -= 1;
        }
        self.refused.remove(&key);
        if let Some(ids) = self.exec_ids.get_mut(&key.pid) {
            ids.retain(|id| *id != key.exec_id);
            if ids.is_empty() {
                self.exec_ids.remove(&key.pid);
            }
        }
    }

    /// Numbers of the files held.
    pub(super) fn holds(&self) -> HashSet<u32> {
        self.files.ids()
    }

    /// Files held and images known.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.files.count(), self.images.len())
    }

    /// Looks at a process: the first time to hold what it maps, later to see what was mapped since.
    pub(super) fn observe(&mut self, key: ProcessKey, problems: &mut Problems) {
        let known = match self.images.get(&key) {
            // Gone when it was first looked at; whoever has the pid now is someone else.
            Some(image) if image.identity.is_none() => return,
            Some(image) => image.identity,
            None if self.images.len() >= self.max_processes => {
                if self.refused.len() < self.max_processes && self.refused.insert(key) {
                    problems.add(Problem::TooManyProcesses);
                }
                return;
            }
            None => None,
        };
        match self.look(key, known, problems) {
            Ok(()) => {}
            Err(_) if known.is_some() => {}
            Err(refused) => {
                problems.add(match refused {
                    Refused::Denied => Problem::ProcessDenied,
                    Refused::TooManyFiles => Problem::TooManyFiles,
                    _ => Problem::ProcessGone,
                });
                let absent = match refused {
                    Refused::Missing => Absent::Exited,
                    _ => Absent::Unreadable,
                };
                self.insert(key, Image::absent(absent));
            }
        }
    }

    fn look(
        &mut self,
        key: ProcessKey,
        known: Option<facts::ImageIdentity>,
        problems: &mut Problems,
    ) -> Result<(), Refused> {
        let folder = ProcFolder::open(&self.proc_root, key.pid)?;
        let (stat, text) = consistent_maps(&folder)?;
        if known.is_some_and(|identity| identity != stat.identity) {
            return Err(Refused::Missing);
        }
        if known.is_none() {
            if text.is_empty() && !stat.kernel_thread {
                return Err(Refused::Missing); // exiting: its memory is gone
            }
            if stat.is_in_exec() {
                // It would be remembered without its program. It is announced again when it has that.
                return Ok(());
            }
            self.settle_claims(key, stat, problems)?;
        }
        let mut image = self.images.remove(&key).unwrap_or_default();
        image.identity = Some(stat.identity);
        self.refresh(key, &folder, &text, &mut image, problems);
        self.insert(key, image);
        Ok(())
    }

    /// Two images of one pid cannot be the same program: the one with the lower `exec_id` had already been
    /// replaced when it was looked at.
    fn settle_claims(
        &mut self,
        key: ProcessKey,
        stat: Stat,
        problems: &mut Problems,
    ) -> Result<(), Refused> {
        for exec_id in self.exec_ids.get(&key.pid).into_iter().flatten() {
            let other = ProcessKey {
                pid: key.pid,
                exec_id: *exec_id,
            };
            let Some(image) = self.images.get_mut(&other) else {
                continue;
            };
            if image.identity != Some(stat.identity) {
                continue;
            }
            if *exec_id > key.exec_id {
                return Err(Refused::Missing);
            }
            if matches!(image.perf_map, PerfMap::Held(_)) {
                self.perf_maps -= 1;
            }
            *image = Image::default();
            problems.add(Problem::ProcessGone);
        }
        Ok(())
    }

    fn insert(&mut self, key: ProcessKey, image: Image) {
        let ids = self.exec_ids.entry(key.pid).or_default();
        if !ids.contains(&key.exec_id) {
            ids.push(key.exec_id);
        }
        self.images.insert(key, image);
    }

    fn refresh(
        &mut self,
        key: ProcessKey,
        folder: &ProcFolder,
        text: &str,
        image: &mut Image,
        problems: &mut Problems,
    ) {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let hash = hasher.finish();
        if hash != image.text_hash {
            image.text_hash = hash;
            if image.root.is_none() {
                image.root = folder.root().ok().map(|root| self.share_root(root));
            }
            let mappings = self.mappings(key, folder, text, image, problems);
            image.update(mappings, self.max_mappings);
        }
        if matches!(image.perf_map, PerfMap::None) && image.may_have_jit() {
            if self.perf_maps >= self.max_perf_maps {
                problems.add(Problem::TooManyFiles);
                image.perf_map = PerfMap::Refused;
            } else {
                image.perf_map = find_perf_map(folder, image, problems);
            }
            if matches!(image.perf_map, PerfMap::Held(_)) {
                self.perf_maps += 1;
            }
        }
    }

    fn mappings(
        &mut self,
        key: ProcessKey,
        folder: &ProcFolder,
        text: &str,
        image: &Image,
        problems: &mut Problems,
    ) -> Vec<Mapping> {
        let mut mounts = None;
        let mut found = Vec::new();
        for line in maps::executable(text) {
            if found.len() >= self.max_mappings {
                problems.add(Problem::TooManyMappings);
                break;
            }
            let content = match line.backing {
                // A 32-bit process has another vDSO than ctprof.
                Backing::Vdso if line.end <= u64::from(u32::MAX) => {
                    Content::Special("[vdso]".into())
                }
                Backing::Vdso => Content::Vdso,
                Backing::Anonymous => Content::Anonymous,
                Backing::Special(name) => Content::Special(names::clean(name)),
                Backing::File {
                    device,
                    inode,
                    path,
                } => match image.same(line.start, path) {
                    Some(content) => content.clone(),
                    None => {
                        let range = (line.start, line.end);
                        match self.hold(
                            key,
                            folder,
                            image,
                            range,
                            (device, inode, path),
                            &mut mounts,
                        ) {
                            Ok((file, path)) => Content::File { file, path },
                            Err(problem) => {
                                problems.add(problem);
                                Content::Unheld { path: path.into() }
                            }
                        }
                    }
                },
            };
            found.push(Mapping {
                start: line.start,
                end: line.end,
                offset: line.offset,
                content,
                instead_of: None,
            });
        }
        found.sort_unstable_by_key(|mapping| mapping.start);
        for (start, around) in maps::instead_of_files(text) {
            let at = found.binary_search_by_key(&start, |mapping| mapping.start);
            let (Ok(at), Some((line, _))) = (at, around.first()) else {
                continue;
            };
            let Backing::File {
                device,
                inode,
                path,
            } = line.backing
            else {
                continue;
            };
            let range = (line.start, line.end);
            let held = self.hold(
                key,
                folder,
                image,
                range,
                (device, inode, path),
                &mut mounts,
            );
            let neighbours = around.iter().map(|(line, is_code)| Neighbour {
                start: line.start,
                offset: line.offset,
                is_code: *is_code,
            });
            match held {
                Ok((file, path)) => {
                    found[at].instead_of = Some(Arc::new(InsteadOf {
                        file,
                        path,
                        neighbours: neighbours.collect(),
                    }));
                }
                Err(problem) => problems.add(problem),
            }
        }
        found
    }

    /// Holds a file that is mapped at `start..end`; gives its path as well.
    fn hold(
        &mut self,
        key: ProcessKey,
        folder: &ProcFolder,
        image: &Image,
        (start, end): (u64, u64),
        (device, inode, path): ((u32, u32), u64, &str),
        mounts: &mut Option<Mounts>,
    ) -> Result<(Arc<HeldFile>, Arc<str>), Problem> {
        let path: Arc<str> = Arc::from(path);
        if let Some(file) = self.files.known(device, inode, &path) {
            return Ok((file, path));
        }
        let mounts = mounts.get_or_insert_with(|| all_mounts(folder));
        if !mounts.may_read(device, &path) {
            return Err(Problem::FileOnFuse);
        }
        let link = map_file(&self.proc_root, key.pid, start, end);
        let root = image.root.as_ref();
        let debug_root = root.map(|root| Root::new(Arc::clone(root), mounts.fuse_points()));
        let held = self
            .files
            .hold(&link, (device, inode, &path), (root, debug_root));
        match held {
            Ok(file) => Ok((file, path)),
            Err(Refused::TooManyFiles) => Err(Problem::TooManyFiles),
            Err(_) => Err(Problem::FileUnreadable),
        }
    }

    /// One descriptor for all processes of a container.
    fn share_root(&mut self, root: OwnedFd) -> Arc<OwnedFd> {
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
        if let Some(shared) = self.roots.get(&key).and_then(Weak::upgrade) {
            return shared;
        }
        self.roots.retain(|_, root| root.strong_count() > 0);
        let root = Arc::new(root);
        self.roots.insert(key, Arc::downgrade(&root));
        root
    }
}

/// The mappings and the image that they are of: read again if the process called `execve` in between.
fn consistent_maps(folder: &ProcFolder) -> Result<(Stat, String), Refused> {
    let mut before = folder.stat()?;
    for _ in 0..3 {
        let text = folder.maps()?;
        let after = folder.stat()?;
        if after == before {
            return Ok((after, text));
        }
        before = after;
    }
    Err(Refused::Failed)
}

fn all_mounts(folder: &ProcFolder) -> Mounts {
    let mut mounts = Mounts::default();
    mounts.add(&folder.mountinfo().unwrap_or_default());
    // Some kernels show the device of the layer below for overlayfs files; the host mounts that one.
    mounts.add(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default());
    mounts
}

fn map_file(proc_root: &Path, pid: u32, start: u64, end: u64) -> PathBuf {
    proc_root.join(format!("{pid}/map_files/{start:x}-{end:x}"))
}

/// Looks for `/tmp/perf-PID.map` in the process' own root, where JIT compilers write it.
fn find_perf_map(folder: &ProcFolder, image: &Image, problems: &mut Problems) -> PerfMap {
    let (Some(root), Ok(status)) = (&image.root, folder.status()) else {
        return PerfMap::None;
    };
    let path = format!("/tmp/perf-{}.map", status.namespace_pid);
    let mut mounts = Mounts::default();
    mounts.add(&folder.mountinfo().unwrap_or_default());
    let root = Root::new(Arc::clone(root), mounts.fuse_points());
    // `/tmp` may be a link within the container; what the process itself could make one is not followed.
    let found = root.hold(Path::new(&path), Links::Refuse);
    let problem = match found {
        Ok(held) if held.stat.st_uid == 0 || status.uids.contains(&held.stat.st_uid) => {
            return PerfMap::Held(held);
        }
        Ok(_) => Problem::PerfMapForeignOwner,
        Err(Refused::Missing) => return PerfMap::None,
        Err(Refused::NotRegular) => Problem::PerfMapNotRegular,
        Err(Refused::Outside) => Problem::PerfMapOutside,
        Err(Refused::TooManyFiles) => Problem::TooManyFiles,
        Err(Refused::Denied | Refused::Failed) => Problem::PerfMapUnreadable,
    };
    problems.add(problem);
    PerfMap::Refused
}
