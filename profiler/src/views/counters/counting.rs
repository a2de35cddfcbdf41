//! The counters of some cgroups while they count.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use super::counted::{Counted, Without};
use super::event::{self, GROUPS, KINDS, TABLE};
use crate::bpf::online_cpus;
use crate::host::cgroup::Hierarchy;

/// Most events that are opened. One takes 1.4 KiB of kernel memory and 17 us to open, and as long to close.
const MAX_EVENTS: usize = 8_192;

/// Counters of some cgroups, while they count.
#[derive(Debug)]
pub struct Counting {
    hierarchy: Hierarchy,
    watched: Vec<Watched>,
    cpus: Vec<u32>,
    /// Why a kind is not counted for anybody.
    missing: [Option<String>; KINDS],
    /// Cgroups that have no counters, and why.
    without: HashMap<String, Without>,
    /// What perf said when it gave no more.
    refused: Option<String>,
    /// CPUs that came online since.
    cpus_late: usize,
}

/// One cgroup and its events.
#[derive(Debug)]
struct Watched {
    path: String,
    folder: File,
    events: Vec<Opened>,
}

#[derive(Debug)]
struct Opened {
    kind: usize,
    leads: bool,
    file: File,
}

/// Why the events of a cgroup could not be opened.
enum Refusal {
    /// The cgroup is gone.
    Gone,
    /// Nothing more can be opened.
    Full(String),
}

impl Counting {
    /// Opens the counters of the cgroups at `paths`, the most important ones first; they do not count yet. What
    /// cannot be had is told by [`Counted::unavailable`] in the end.
    #[must_use]
    pub fn open<'p>(hierarchy: &Hierarchy, paths: impl IntoIterator<Item = &'p str>) -> Self {
        let (cpus, why) = match online_cpus() {
            Ok(cpus) => (cpus, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let mut counting = Self {
            hierarchy: hierarchy.clone(),
            watched: Vec::new(),
            cpus,
            missing: [const { None }; KINDS].map(|_: Option<String>| why.clone()),
            without: HashMap::new(),
            refused: None,
            cpus_late: 0,
        };
        let most = most_events();
        let mut events = 0;
        for path in paths {
            let why = match counting.open_one(path, most - events) {
                Ok(opened) => {
                    events += opened;
                    continue;
                }
                Err(why) => why,
            };
            counting.without.insert(path.to_owned(), why);
        }
        counting
    }

    /// Opens one cgroup's events, if there is room for `room`; how many it has now.
    fn open_one(&mut self, path: &str, room: usize) -> Result<usize, Without> {
        let kinds = self.missing.iter().filter(|why| why.is_none()).count();
        if kinds == 0 || self.refused.is_some() || kinds * self.cpus.len() > room {
            return Err(Without::Limit);
        }
        let folder = self.hierarchy.perf_dir(path).map(File::open);
        let Some(Ok(folder)) = folder else {
            return Err(Without::NotInPerf);
        };
        let mut watched = Watched {
            path: path.to_owned(),
            folder,
            events: Vec::new(),
        };
        for cpu in self.cpus.clone() {
            match self.open_on(&mut watched, cpu) {
                Ok(()) => {}
                Err(Refusal::Gone) => return Err(Without::NotInPerf),
                Err(Refusal::Full(why)) => {
                    self.refused = Some(why);
                    return Err(Without::Limit);
                }
            }
        }
        let opened = watched.events.len();
        self.watched.push(watched);
        Ok(opened)
    }

    /// Opens every kind of event of one cgroup on one CPU.
    fn open_on(&mut self, watched: &mut Watched, cpu: u32) -> Result<(), Refusal> {
        for group in GROUPS {
            let mut leader = None;
            for kind in group {
                if self.missing[kind].is_some() {
                    continue;
                }
                let leading = leader.map(|index: usize| &watched.events[index].file);
                let leads = leading.is_none();
                let error = match TABLE[kind].open(&watched.folder, cpu, leading) {
                    Ok(file) => {
                        leader.get_or_insert(watched.events.len());
                        watched.events.push(Opened { kind, leads, file });
                        continue;
                    }
                    Err(error) => error,
                };
                if !self.is_there(watched) {
                    return Err(Refusal::Gone);
                }
                if !online_cpus().is_ok_and(|online| online.contains(&cpu)) {
                    return Ok(());
                }
                let full = [Errno::MFILE, Errno::NFILE, Errno::NOMEM];
                if Errno::from_io_error(&error).is_some_and(|errno| full.contains(&errno)) {
                    return Err(Refusal::Full(TABLE[kind].describe(&error)));
                }
                // A sum without one of the CPUs would be wrong, whoever else has it.
                self.missing[kind] = Some(TABLE[kind].describe(&error));
            }
        }
        Ok(())
    }

    /// The cgroup that was opened still exists, and no other one in its place.
    fn is_there(&self, watched: &Watched) -> bool {
        let now = self.hierarchy.perf_dir(&watched.path).map(fs::metadata);
        matches!((now, watched.folder.metadata()), (Some(Ok(now)), Ok(then)) if now.ino() == then.ino())
    }

    /// Lets all of them count, from 0.
    pub fn start(&mut self) {
        for watched in &self.watched {
            leaders(&watched.events).for_each(event::enable);
        }
    }

    /// Counts on CPUs that came online too. What happened there before this call is missing: call it often.
    pub fn follow_cpus(&mut self) {
        let Ok(online) = online_cpus() else {
            return;
        };
        if online == self.cpus {
            return;
        }
        let before = std::mem::replace(&mut self.cpus, online.clone());
        for cpu in online.into_iter().filter(|cpu| !before.contains(cpu)) {
            self.cpus_late += 1;
            for mut watched in std::mem::take(&mut self.watched) {
                let events = watched.events.len();
                if let Err(Refusal::Full(why)) = self.open_on(&mut watched, cpu) {
                    self.refused = Some(why);
                    self.without.insert(watched.path, Without::Limit);
                    continue;
                }
                leaders(&watched.events[events..]).for_each(event::enable);
                self.watched.push(watched);
            }
        }
    }

    /// Stops all of them and takes what they have counted.
    #[must_use]
    pub fn stop(mut self) -> Counted {
        for watched in &self.watched {
            leaders(&watched.events).for_each(event::disable);
        }
        let mut rows = HashMap::new();
        for watched in std::mem::take(&mut self.watched) {
            let mut totals = [const { Some(0_u64) }; KINDS];
            for opened in &watched.events {
                let total = &mut totals[opened.kind];
                *total = total
                    .zip(event::read(&opened.file))
                    .map(|(a, b)| a.saturating_add(b));
            }
            for (total, missing) in totals.iter_mut().zip(&self.missing) {
                *total = total.filter(|_| missing.is_none());
            }
            let gone = self
                .hierarchy
                .perf_dir(&watched.path)
                .is_none_or(|dir| !dir.exists());
            if gone || self.is_there(&watched) {
                rows.insert(watched.path, event::counters(totals));
            } else {
                self.without.insert(watched.path, Without::Born);
            }
        }
        Counted {
            rows,
            missing: self.missing,
            without: self.without,
            refused: self.refused,
            cpus_late: self.cpus_late,
        }
    }
}

fn leaders(events: &[Opened]) -> impl Iterator<Item = &File> {
    events.iter().filter(|it| it.leads).map(|it| &it.file)
}

/// Half of the files that this process may have, up to the limit: binaries and maps take files, too.
fn most_events() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) / 2;
    usize::try_from(files).unwrap_or(usize::MAX).min(MAX_EVENTS)
}
