//! Processes seen during the recording: their mappings, files and perf maps, held while they can be read.
//!
//! Here is what is known, and in `looks` which looks are due; nothing in either touches a process. `look` does, on threads of a
//! pool: how long that takes is up to the process.

mod facts;
mod files;
mod find;
mod image;
mod look;
mod looks;
mod maps;
mod mounts;
mod roots;

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Instant;

use self::files::Files;
pub(super) use self::files::HeldFile;
use self::find::{Search, without_mark};
pub(super) use self::image::{Absent, Content, Image, InsteadOf, Mapping, Neighbour, PerfMap};
use self::look::Look;
pub(super) use self::mounts::Mounts;
use self::roots::Roots;
use super::followed::{Code, FileName, Followed};
use super::pool::Pool;
use super::problems::Problems;
use super::{Options, names};
use crate::model::ProcessKey;

/// Most searches for a file, each in the folders of another process, and most searches at a time.
const MAX_TRIES: u8 = 16;
const MAX_SEARCHES: usize = 1_024;

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
    files: Arc<Files>,
    perf_maps: usize,
    max_perf_maps: usize,
    roots: Arc<Roots>,
    /// Looks that wait, each image once.
    waiting: VecDeque<ProcessKey>,
    is_waiting: HashSet<ProcessKey>,
    /// Looks that the pool has, and since when.
    submitted: HashMap<ProcessKey, Instant>,
    done: (mpsc::Sender<Look>, mpsc::Receiver<Look>),
    /// Files that records name.
    named: HashMap<Arc<FileName>, Named>,
    searching: usize,
    found: (mpsc::Sender<Found>, mpsc::Receiver<Found>),
    /// Images of which something else is known than before; `None` if nobody asks.
    changed: Option<HashSet<ProcessKey>>,
}

/// What a search has brought.
type Found = (Arc<FileName>, Option<Arc<HeldFile>>);

/// A file that records name.
#[derive(Debug, Default)]
struct Named {
    file: Option<Arc<HeldFile>>,
    tries: u8,
    is_searched: bool,
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
            files: Arc::new(Files::new(options.max_files)),
            perf_maps: 0,
            max_perf_maps: options.max_files / 2,
            roots: Arc::default(),
            waiting: VecDeque::new(),
            is_waiting: HashSet::new(),
            submitted: HashMap::new(),
            done: mpsc::channel(),
            named: HashMap::new(),
            searching: 0,
            found: mpsc::channel(),
            changed: options.unwind.then(HashSet::new),
        }
    }

    pub(super) fn image(&self, key: ProcessKey) -> Option<&Image> {
        self.images.get(&key)
    }

    /// Lets go of an image and of the files that no other image maps.
    pub(super) fn forget(&mut self, key: ProcessKey) {
        if let Some(image) = self.images.remove(&key) {
            self.change(key);
            self.perf_maps -= usize::from(matches!(image.perf_map, PerfMap::Held(_)));
        }
        self.refused.remove(&key);
        if let Some(ids) = self.exec_ids.get_mut(&key.pid) {
            ids.retain(|id| *id != key.exec_id);
            if ids.is_empty() {
                self.exec_ids.remove(&key.pid);
            }
        }
    }

    /// Images whose mappings have changed, or that are forgotten, since the last call.
    pub(super) fn take_changed(&mut self) -> HashSet<ProcessKey> {
        self.changed
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// The image that this process was last looked at with.
    pub(super) fn latest(&self, pid: u32) -> Option<ProcessKey> {
        let keys = self.exec_ids.get(&pid)?.iter();
        let keys = keys.map(|exec_id| ProcessKey {
            pid,
            exec_id: *exec_id,
        });
        keys.rev()
            .find(|key| self.images.get(key).is_some_and(Image::is_known))
    }

    /// Whether there is a process with this id.
    pub(super) fn is_there(&self, pid: u32) -> bool {
        rustix::fs::stat(self.proc_root.join(pid.to_string())).is_ok()
    }

    /// Everything is new to whoever asks.
    pub(super) fn all_changed(&mut self) {
        if let Some(changed) = &mut self.changed {
            changed.extend(self.images.keys());
        }
    }

    fn change(&mut self, key: ProcessKey) {
        if let Some(changed) = &mut self.changed {
            changed.insert(key);
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

    /// Takes over what looks have found by now. Never waits.
    pub(super) fn take_in(&mut self, pool: &Pool, problems: &mut Problems) {
        while let Ok(look) = self.done.1.try_recv() {
            self.finish(look, problems);
        }
        while let Ok(found) = self.found.1.try_recv() {
            self.keep(found);
        }
        self.submit(pool);
    }

    /// Has the files that records name held. They may be in the root folder of one of these processes.
    pub(super) fn search(&mut self, names: Vec<Arc<FileName>>, processes: &[u32], pool: &Pool) {
        for name in names {
            let named = self.named.entry(Arc::clone(&name)).or_default();
            let is_due = named.file.is_none() && !named.is_searched && named.tries < MAX_TRIES;
            if !is_due || self.searching >= MAX_SEARCHES {
                continue;
            }
            named.tries += 1;
            named.is_searched = true;
            self.searching += 1;
            let search = Search {
                name: Arc::clone(&name),
                processes: processes.to_vec(),
                proc_root: self.proc_root.clone(),
                files: Arc::clone(&self.files),
                roots: Arc::clone(&self.roots),
            };
            let found = self.found.0.clone();
            pool.submit(move || {
                let file = search.carry_out();
                let _ = found.send((name, file));
            });
        }
    }

    /// Waits for the searches that go on, no longer than until `deadline`.
    pub(super) fn wait_for_files(&mut self, deadline: Instant, pool: &Pool) {
        while self.searching > 0 {
            let Some(found) = pool.receive(&self.found.1, deadline) else {
                return;
            };
            self.keep(found);
        }
    }

    fn keep(&mut self, (name, file): Found) {
        self.searching -= 1;
        let named = self.named.entry(name).or_default();
        named.is_searched = false;
        named.file = named.file.take().or(file);
    }

    /// Takes over what records say that a process has mapped. Of one that was never seen they have to say all.
    pub(super) fn follow(&mut self, key: ProcessKey, followed: &Followed) {
        let is_known = self.images.get(&key).is_some_and(Image::is_known);
        if !is_known && (!followed.is_whole || self.images.len() >= self.max_processes) {
            return;
        }
        let mappings = followed.latest_first().map(|code| Mapping {
            start: code.start,
            end: code.end,
            offset: code.offset,
            content: self.content(code),
            instead_of: None,
            is_disputed: false,
        });
        let mappings: Vec<Mapping> = mappings.collect();
        let mut image = self.images.remove(&key).unwrap_or_default();
        image.follow(mappings, followed.ambiguous(), self.max_mappings);
        self.change(key);
        self.insert(key, image);
    }

    fn content(&self, code: &Code) -> Content {
        let path = &code.file.path;
        if code.file.is_file() {
            let path: Arc<str> = Arc::from(without_mark(path));
            let named = self.named.get(&code.file);
            return match named.and_then(|named| named.file.clone()) {
                Some(file) => Content::File { file, path },
                None => Content::Unheld { path },
            };
        }
        match path.as_ref() {
            "[vdso]" if code.end > u64::from(u32::MAX) => Content::Vdso,
            "" | "[heap]" => Content::Anonymous,
            name if name.starts_with("//") || name.starts_with("[anon") => Content::Anonymous,
            name => Content::Special(names::clean(name)),
        }
    }
}
