//! Looks at processes: who is looked at next, on which thread, and what becomes of what it saw.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Processes;
use super::facts::Stat;
use super::image::{Absent, Image, PerfMap};
use super::look::{Known, Look, Order, RoomForPerfMap, Seen};
use crate::model::ProcessKey;
use crate::symbolize::pool::Pool;
use crate::symbolize::problems::{Problem, Problems};
use crate::symbolize::safe_open::Refused;

/// A process is looked at again when this many times as long has passed as the last look took: what one process
/// costs stays below a twentieth of a CPU, however long its list of mappings is.
const PAUSE: u32 = 20;

/// Longest pause: a look that took this long once need not do so again.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Looks that wait for a thread: a host that starts 10,000 processes a second fills it in a second and a half.
const MAX_WAITING: usize = 16_384;

/// Looks that are handed to the pool at once: the others can still be dropped, or come first.
const MAX_SUBMITTED: usize = 8;

impl Processes {
    /// Wants a look at a process: the first time to hold what it maps, later to see what was mapped since. An image
    /// has one look at a time, and a pause after each that is as long as the look was expensive.
    ///
    /// `patience` is for how long the caller is going to wait for this look: there is no pause then, but one that is
    /// likely to take longer does not begin. Whether the image is as well known as it can be, or will be.
    pub(in crate::symbolize) fn want(
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
    pub(super) fn submit(&mut self, pool: &Pool) {
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

    /// Waits until nothing of `keys` is looked at any more, or until `deadline`; those that still are, are returned.
    pub(in crate::symbolize) fn wait_for(
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
    pub(in crate::symbolize) fn drop_waiting(&mut self) {
        self.waiting.clear();
        self.is_waiting.clear();
    }

    pub(super) fn finish(&mut self, look: Look, problems: &mut Problems) {
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

    pub(super) fn insert(&mut self, key: ProcessKey, image: Image) {
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
