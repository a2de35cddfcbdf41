//! Processes seen during the recording: their mappings, files and perf maps, held while they can be read.
//!
//! Here is what is known, and which looks are due; nothing here touches a process. `look` does, on threads of a pool:
//! how long that takes is up to the process.

mod facts;
mod files;
mod find;
mod image;
mod look;
mod maps;
mod mounts;
mod roots;

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use self::facts::Stat;
use self::files::Files;
pub(super) use self::files::HeldFile;
use self::find::{Search, without_mark};
pub(super) use self::image::{Absent, Content, Image, InsteadOf, Mapping, Neighbour, PerfMap};
use self::look::{Known, Look, Order, RoomForPerfMap, Seen};
pub(super) use self::mounts::Mounts;
use self::roots::Roots;
use super::followed::{Code, FileName, Followed};
use super::pool::Pool;
use super::problems::{Problem, Problems};
use super::safe_open::Refused;
use super::{Options, names};
use crate::model::ProcessKey;

/// A process is looked at again when this many times as long has passed as the last look took: what one process
/// costs stays below a twentieth of a CPU, however long its list of mappings is.
const PAUSE: u32 = 20;
/// Longest pause: a look that took this long once need not do so again.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Looks that wait for a thread: a host that starts 10,000 processes a second fills it in a second and a half.
const MAX_WAITING: usize = 16_384;

/// Looks that are handed to the pool at once: the others can still be dropped, or come first.
const MAX_SUBMITTED: usize = 8;

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

    /// Wants a look at a process: the first time to hold what it maps, later to see what was mapped since. An image
    /// has one look at a time, and a pause after each that is as long as the look was expensive.
    ///
    /// `patience` is for how long the caller is going to wait for this look: there is no pause then, but one that is
    /// likely to take longer does not begin. Whether the image is as well known as it can be, or will be.
    pub(super) fn want(
        &mut self,
        key: ProcessKey,
        patience: Option<Duration>,
        pool: &Pool,
        problems: &mut Problems,
    ) -> bool {
        match self.images.get(&key) {
            // Gone when it was first looked at; whoever has the pid now is someone else.
            Some(image) if image.identity.is_none() => return true,
            Some(image) => {
                let is_no_use = match patience {
                    Some(patience) => image.took > patience / 2,
                    None => image.next_look.is_some_and(|next| Instant::now() < next),
                };
                if is_no_use {
                    return false;
                }
            }
            None if self.images.len() >= self.max_processes => {
                if self.refused.len() < self.max_processes && self.refused.insert(key) {
                    problems.add(Problem::TooManyProcesses);
                }
                return true;
            }
            None => {}
        }
        if self.submitted.contains_key(&key) || self.is_waiting.contains(&key) {
            return true;
        }
        if self.waiting.len() >= MAX_WAITING {
            problems.add(Problem::TooManyLooks);
            return true;
        }
        self.is_waiting.insert(key);
        self.waiting.push_back(key);
        self.submit(pool);
        true
    }

    /// Hands waiting looks to the pool.
    fn submit(&mut self, pool: &Pool) {
        // Those that hang are no reason for others to wait.
        while self.submitted.len() < MAX_SUBMITTED || self.all_hang() {
            let Some(key) = self.waiting.pop_front() else {
                break;
            };
            self.is_waiting.remove(&key);
            self.submitted.insert(key, Instant::now());
            let order = self.order(key);
            let done = self.done.0.clone();
            pool.submit(move || {
                let _ = done.send(order.carry_out());
            });
        }
        pool.relieve();
    }

    fn all_hang(&self) -> bool {
        const LONG: Duration = Duration::from_millis(200);
        self.submitted.len() < 64 && self.submitted.values().all(|begun| begun.elapsed() > LONG)
    }

    fn order(&self, key: ProcessKey) -> Order {
        let image = self.images.get(&key);
        let known = image.and_then(|image| {
            Some(Known {
                identity: image.identity?,
                text_hash: image.text_hash,
                mappings: image.all(),
                root: image.root.clone(),
            })
        });
        let wants_perf_map = image.is_none_or(|image| matches!(image.perf_map, PerfMap::None));
        Order {
            key,
            proc_root: self.proc_root.clone(),
            max_mappings: self.max_mappings,
            known,
            files: Arc::clone(&self.files),
            roots: Arc::clone(&self.roots),
            perf_map: wants_perf_map.then_some(RoomForPerfMap(self.perf_maps < self.max_perf_maps)),
        }
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

    /// Waits until nothing of `keys` is looked at any more, or until `deadline`; those that still are, are returned.
    pub(super) fn wait_for(
        &mut self,
        keys: &HashSet<ProcessKey>,
        deadline: Instant,
        pool: &Pool,
        problems: &mut Problems,
    ) -> Vec<ProcessKey> {
        loop {
            self.take_in(pool, problems);
            let late = |key: &&ProcessKey| {
                self.submitted.contains_key(key) || self.is_waiting.contains(key)
            };
            let late: Vec<ProcessKey> = keys.iter().filter(late).copied().collect();
            if late.is_empty() || Instant::now() >= deadline {
                return late;
            }
            if let Some(look) = pool.receive(&self.done.1, deadline.min(soon())) {
                self.finish(look, problems);
            }
        }
    }

    /// No look that has not begun is wanted any more.
    pub(super) fn drop_waiting(&mut self) {
        self.waiting.clear();
        self.is_waiting.clear();
    }

    fn finish(&mut self, look: Look, problems: &mut Problems) {
        let key = look.key;
        self.submitted.remove(&key);
        problems.merge(&look.problems);
        let is_known = self.images.contains_key(&key);
        let pause = look.took.saturating_mul(PAUSE).min(MAX_PAUSE);
        let taken = look.seen.and_then(|seen| self.take(key, seen));
        match taken {
            Ok(()) => {
                if let Some(image) = self.images.get_mut(&key) {
                    image.next_look = Some(Instant::now() + pause);
                    image.took = look.took;
                }
            }
            Err(_) if is_known => {}
            Err(refused) => {
                let absent = match refused {
                    Refused::Missing => Absent::Exited,
                    Refused::Denied => Absent::Unreadable(Problem::ProcessDenied),
                    Refused::TooManyFiles => Absent::Unreadable(Problem::TooManyFiles),
                    _ => Absent::Unreadable(Problem::ProcessGone),
                };
                self.insert(key, Image::absent(absent));
            }
        }
    }

    fn take(&mut self, key: ProcessKey, seen: Seen) -> Result<(), Refused> {
        let stat = seen.stat;
        if !self.images.contains_key(&key) {
            if stat.is_in_exec() {
                // It would be remembered without its program. It is announced again when it has that.
                return Ok(());
            }
            self.settle_claims(key, stat)?;
        }
        let mut image = self.images.remove(&key).unwrap_or_default();
        image.identity = Some(stat.identity);
        image.text_hash = seen.text_hash;
        image.root = image.root.or(seen.root);
        if let Some(mappings) = seen.mappings {
            image.update(mappings, self.max_mappings);
            self.change(key);
        }
        if let (Some(perf_map), PerfMap::None) = (seen.perf_map, &image.perf_map) {
            self.perf_maps += usize::from(matches!(perf_map, PerfMap::Held(_)));
            image.perf_map = perf_map;
        }
        self.insert(key, image);
        Ok(())
    }

    /// Two images of one process cannot be the same program: the one with the lower `exec_id` had already been
    /// replaced when it was looked at.
    fn settle_claims(&mut self, key: ProcessKey, stat: Stat) -> Result<(), Refused> {
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
}

/// A moment after which it is time to see whether a thread hangs.
fn soon() -> Instant {
    Instant::now() + Duration::from_millis(50)
}
