//! One look at a process: its mappings, the files behind them, its perf map. All that touches `/proc/PID` and files of
//! the process' container happens here, on a thread of the pool.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::facts::{ImageIdentity, ProcFolder, Stat};
use super::files::{Files, HeldFile};
use super::image::{Content, InsteadOf, Mapping, Neighbour, PerfMap, may_have_jit, same};
use super::maps::{self, Backing};
use super::mounts::Mounts;
use super::roots::Roots;
use crate::model::ProcessKey;
use crate::symbolize::names;
use crate::symbolize::problems::{Problem, Problems};
use crate::symbolize::safe_open::{Links, Refused};
use crate::symbolize::walk::Root;

/// What to look at, and what is known already.
pub(super) struct Order {
    pub(super) key: ProcessKey,
    pub(super) proc_root: PathBuf,
    pub(super) max_mappings: usize,
    pub(super) known: Option<Known>,
    pub(super) files: Arc<Files>,
    pub(super) roots: Arc<Roots>,
    /// `None`: the perf map is held already, or is not to be.
    pub(super) perf_map: Option<RoomForPerfMap>,
}

/// Whether one more perf map may be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RoomForPerfMap(pub(super) bool);

/// What an earlier look has found.
pub(super) struct Known {
    pub(super) identity: ImageIdentity,
    pub(super) text_hash: u64,
    pub(super) mappings: Arc<Vec<Mapping>>,
    pub(super) root: Option<Arc<OwnedFd>>,
}

/// What a look has found.
pub(super) struct Look {
    pub(super) key: ProcessKey,
    pub(super) seen: Result<Seen, Refused>,
    pub(super) problems: Problems,
    pub(super) took: Duration,
}

/// The process as it was seen.
pub(super) struct Seen {
    pub(super) stat: Stat,
    pub(super) text_hash: u64,
    /// `None` if they are as they were.
    pub(super) mappings: Option<Vec<Mapping>>,
    pub(super) root: Option<Arc<OwnedFd>>,
    pub(super) perf_map: Option<PerfMap>,
}

impl Order {
    /// Looks. May take as long as the process likes.
    pub(super) fn carry_out(self) -> Look {
        let began = Instant::now();
        let mut problems = Problems::default();
        let seen = self.look(&mut problems);
        Look {
            key: self.key,
            seen,
            problems,
            took: began.elapsed(),
        }
    }

    fn look(&self, problems: &mut Problems) -> Result<Seen, Refused> {
        let folder = ProcFolder::of_process(&self.proc_root, self.key.pid)?;
        let (stat, text) = consistent_maps(&folder)?;
        match &self.known {
            Some(known) if known.identity != stat.identity => return Err(Refused::Missing),
            // Exiting: its memory is gone.
            None if text.is_empty() && !stat.kernel_thread => return Err(Refused::Missing),
            _ => {}
        }
        let known = self.known.as_ref();
        let root = known.and_then(|known| known.root.clone());
        let mut seen = Seen {
            stat,
            text_hash: hash(&text),
            mappings: None,
            root,
            perf_map: None,
        };
        if stat.is_in_exec() {
            return Ok(seen);
        }
        if known.is_none_or(|known| known.text_hash != seen.text_hash) {
            if seen.root.is_none() {
                seen.root = folder.root().ok().map(|root| self.roots.share(root));
            }
            seen.mappings = Some(self.mappings(&folder, &text, seen.root.as_ref(), problems));
        }
        let mappings = match (&seen.mappings, known) {
            (Some(new), _) => new,
            (None, Some(known)) => &*known.mappings,
            (None, None) => return Ok(seen),
        };
        if let (Some(RoomForPerfMap(has_room)), true) = (self.perf_map, may_have_jit(mappings)) {
            seen.perf_map = Some(if has_room {
                find_perf_map(&folder, seen.root.as_ref(), problems)
            } else {
                problems.add(Problem::TooManyFiles);
                PerfMap::Refused
            });
        }
        Ok(seen)
    }

    fn mappings(
        &self,
        folder: &ProcFolder,
        text: &str,
        root: Option<&Arc<OwnedFd>>,
        problems: &mut Problems,
    ) -> Vec<Mapping> {
        let before = self.known.as_ref().map(|known| &*known.mappings);
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
                } => match before.and_then(|before| same(before, line.start, path)) {
                    Some(content) => content.clone(),
                    None => {
                        let range = (line.start, line.end);
                        let file = (device, inode, path);
                        match self.hold(folder, root, range, file, &mut mounts) {
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
                is_disputed: false,
            });
        }
        found.sort_unstable_by_key(|mapping| mapping.start);
        for (start, around) in maps::instead_of_files(text) {
            let at = found.binary_search_by_key(&start, |mapping| mapping.start);
            let Ok(at) = at else {
                continue;
            };
            let Some((line, _)) = around.first() else {
                found[at].is_disputed = true;
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
            let neighbours = around.iter().map(|(line, is_code)| Neighbour {
                start: line.start,
                offset: line.offset,
                is_code: *is_code,
            });
            match self.hold(folder, root, range, (device, inode, path), &mut mounts) {
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
        &self,
        folder: &ProcFolder,
        root: Option<&Arc<OwnedFd>>,
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
        let link = self.map_file(folder, start, end);
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

    fn map_file(&self, folder: &ProcFolder, start: u64, end: u64) -> PathBuf {
        let number = folder.number();
        self.proc_root
            .join(format!("{number}/map_files/{start:x}-{end:x}"))
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
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

pub(super) fn all_mounts(folder: &ProcFolder) -> Mounts {
    let mut mounts = Mounts::default();
    mounts.add(&folder.mountinfo().unwrap_or_default());
    // Some kernels show the device of the layer below for overlayfs files; the host mounts that one.
    mounts.add(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default());
    mounts
}

/// Looks for `/tmp/perf-PID.map` in the process' own root, where JIT compilers write it.
fn find_perf_map(
    folder: &ProcFolder,
    root: Option<&Arc<OwnedFd>>,
    problems: &mut Problems,
) -> PerfMap {
    let (Some(root), Ok(status)) = (root, folder.status()) else {
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
            return PerfMap::Held(Arc::new(held));
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
