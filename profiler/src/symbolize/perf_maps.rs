//! Perf maps that have been read, and what they said of the addresses that were asked for.
//!
//! A process decides how large its map is, and may be asked about again and again while it goes on. So a map is read by one
//! thread at a time, and again only when it has changed since, or for addresses that nobody has asked for before.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use super::jit;
use super::lent::Lent;
use super::pool::Pool;
use super::problems::{Problem, Problems};
use super::safe_open::Held;

/// Maps that are read at a time: each takes as much memory as it is long.
const MOST_AT_ONCE: usize = 4;

/// Maps that are remembered, and names of each.
const MOST_MAPS: usize = 1_024;
const MOST_NAMES: usize = 16_384;

/// Device and inode.
type Key = (u64, u64);

/// A name, or that the map has none.
type Name = Option<Arc<str>>;

/// For whom a map is read.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    /// Of a larger map the end is read.
    pub(super) max_bytes: u64,
    /// What the map said at this moment or later will do.
    pub(super) asked: Instant,
    /// When whoever asks stops waiting.
    pub(super) deadline: Instant,
    pub(super) pool: &'a Pool,
}

/// What has been read.
#[derive(Debug, Default)]
pub(super) struct PerfMaps {
    maps: HashMap<Key, Map>,
    lent: Lent<Key, Map>,
    /// Addresses that the next thread is to look for.
    wanted: HashMap<Key, BTreeSet<u64>>,
}

/// One map.
#[derive(Debug, Default)]
struct Map {
    /// What the names are of, and when it was that.
    version: Option<Version>,
    seen: Option<Instant>,
    names: HashMap<u64, Name>,
    cannot: Option<Problem>,
}

/// Size, and times of the last change, of a file: it is as it was where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl PerfMaps {
    /// The names of `addresses`, aligned with them; `None` if the map could not be read by the deadline. It is read on beside
    /// then, and what was missing is looked for, with all that was asked meanwhile.
    pub(super) fn names(
        &mut self,
        held: &Arc<Held>,
        addresses: &[u64],
        reading: Reading<'_>,
        problems: &mut Problems,
    ) -> Option<Vec<Name>> {
        let key = (held.stat.st_dev, held.stat.st_ino);
        loop {
            while self.lent.has(&key) || self.lent.count() >= MOST_AT_ONCE {
                if self.take_back(reading, problems).is_none() {
                    self.want(key, addresses);
                    return None;
                }
            }
            if let Some(map) = self.maps.get(&key)
                && map.says(addresses, reading.asked)
            {
                if let Some(problem) = map.cannot {
                    problems.add(problem);
                }
                let name = |address| map.names.get(address).cloned().flatten();
                return Some(addresses.iter().map(name).collect());
            }
            if Instant::now() >= reading.deadline {
                return None;
            }
            self.want(key, addresses);
            self.read(key, held, reading);
        }
    }

    fn want(&mut self, key: Key, addresses: &[u64]) {
        if self.wanted.len() >= MOST_MAPS {
            self.wanted.clear();
        }
        let wanted = self.wanted.entry(key).or_default();
        if wanted.len() < MOST_NAMES {
            wanted.extend(addresses);
        }
    }

    fn read(&mut self, key: Key, held: &Arc<Held>, reading: Reading<'_>) {
        if self.maps.len() >= MOST_MAPS {
            self.maps.clear();
        }
        let map = self.maps.remove(&key).unwrap_or_default();
        let wanted = self.wanted.remove(&key).unwrap_or_default();
        let (file, max_bytes) = (Arc::clone(held), reading.max_bytes);
        self.lent
            .lend((key, map), reading.pool, move |map, problems| {
                map.learn(&file, wanted, max_bytes, problems);
            });
    }

    fn take_back(&mut self, reading: Reading<'_>, problems: &mut Problems) -> Option<()> {
        let (key, map) = self.lent.next(reading.pool, reading.deadline, problems)?;
        if let Some(map) = map {
            self.maps.insert(key, map);
        }
        Some(())
    }
}

impl Map {
    /// Whether all is known of these, as it was at that moment or later.
    fn says(&self, addresses: &[u64], at: Instant) -> bool {
        let is_known = |address| self.names.contains_key(address);
        self.seen.is_some_and(|seen| seen >= at)
            && (self.cannot.is_some() || addresses.iter().all(is_known))
    }

    fn learn(
        &mut self,
        held: &Held,
        wanted: BTreeSet<u64>,
        max_bytes: u64,
        problems: &mut Problems,
    ) {
        self.seen = Some(Instant::now());
        let version = version(held);
        let is_new = version.is_none() || version != self.version;
        if is_new || self.names.len() + wanted.len() > MOST_NAMES {
            self.names.clear();
        }
        self.version = version;
        self.cannot = None;
        let unknown = wanted.into_iter();
        let unknown = unknown.filter(|address| !self.names.contains_key(address));
        let unknown: Vec<u64> = unknown.collect();
        if unknown.is_empty() {
            return;
        }
        match jit::resolve(held, &unknown, max_bytes) {
            Ok(found) => {
                if found.is_cut {
                    problems.add(Problem::PerfMapTooLarge);
                }
                self.names.extend(unknown.into_iter().zip(found.names));
            }
            Err(problem) => self.cannot = Some(problem),
        }
    }
}

fn version(held: &Held) -> Option<Version> {
    use std::os::unix::fs::MetadataExt as _;
    let meta = held.reader().ok()?.metadata().ok()?;
    Some(Version {
        size: meta.len(),
        modified: (meta.mtime(), meta.mtime_nsec()),
        changed: (meta.ctime(), meta.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::Duration;

    use super::*;
    use crate::symbolize::safe_open::hold_link;

    #[test]
    fn a_map_that_has_grown_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("perf-1.map");
        std::fs::write(&path, "10 10 old\n").unwrap();
        let held = Arc::new(hold_link(&path).unwrap());
        let (pool, mut problems) = (Pool::new(1), Problems::default());
        let mut maps = PerfMaps::default();
        let mut names = |addresses: &[u64], patience| {
            let reading = Reading {
                max_bytes: 1000,
                asked: Instant::now(),
                deadline: Instant::now() + patience,
                pool: &pool,
            };
            let names = maps.names(&held, addresses, reading, &mut problems)?;
            let names = names.into_iter().map(|it| it.map(|it| it.to_string()));
            Some(names.collect::<Vec<_>>())
        };
        let (none, long) = (Duration::ZERO, Duration::from_secs(60));
        let old = Some("old".to_owned());
        assert_eq!(names(&[0x10], long), Some(vec![old.clone()]));
        assert_eq!(names(&[0x10, 0x20], long), Some(vec![old, None]));
        let mut file = std::fs::File::options().append(true).open(&path).unwrap();
        file.write_all(b"10 18 new\n").unwrap();
        let new = Some("new".to_owned());
        assert_eq!(names(&[0x10], none), None);
        assert_eq!(names(&[0x10, 0x20], long), Some(vec![new.clone(), new]));
    }

    /// A map that changes all the time, and takes longer to read than an attempt lasts.
    #[test]
    fn what_was_read_since_it_was_asked_for_will_do() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("perf-1.map");
        std::fs::write(&path, "10 10 one\n20 10 two\n").unwrap();
        let held = Arc::new(hold_link(&path).unwrap());
        let (pool, mut problems) = (Pool::new(1), Problems::default());
        let (release, released) = std::sync::mpsc::channel::<()>();
        let mut maps = PerfMaps::default();
        let asked = Instant::now();
        let reading = |deadline| Reading {
            max_bytes: 1000,
            asked,
            deadline,
            pool: &pool,
        };
        pool.submit(move || {
            let _ = released.recv();
        });
        let soon = asked + Duration::from_millis(1);
        let mut late = |addresses: &[u64]| {
            let names = maps.names(&held, addresses, reading(soon), &mut problems);
            assert_eq!(names, None);
        };
        late(&[0x10]);
        late(&[0x20]);
        drop(release);
        let far = asked + Duration::from_secs(60);
        let names = maps.names(&held, &[0x10, 0x20], reading(far), &mut problems);
        let names: Vec<_> = names.unwrap().into_iter().flatten().collect();
        assert_eq!(names, ["one".into(), "two".into()]);
        std::fs::write(&path, "10 10 other\n").unwrap();
        let names = maps.names(&held, &[0x10], reading(soon), &mut problems);
        assert_eq!(names, Some(vec![Some("one".into())]));
    }
}
