//! Files read so far: their tables, within a limit of memory, and what their addresses turned into.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::ahead::{self, Job, Wanted};
use super::binary::{Answer, Binary, guarded};
use super::budget::Budget;
use super::elf::{Header, ReadError, Source};
use super::lent::Lent;
use super::pool::Pool;
use super::problems::{Problem, Problems};
use super::process::{HeldFile, InsteadOf};
use super::{Options, Patience, separate, vdso};

/// CPU time that the tables of one file may cost. Those of large programs take a tenth.
const MAX_TIME: Duration = Duration::from_secs(3);

/// What there is to read.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    Held(Arc<HeldFile>),
    Vdso,
}

/// Number of a held file; `None` is the vDSO.
pub(super) type Key = Option<u32>;

impl Origin {
    pub(super) fn key(&self) -> Key {
        match self {
            Self::Held(file) => Some(file.id),
            Self::Vdso => None,
        }
    }
}

/// What is known about one file.
#[derive(Debug)]
pub(super) struct Entry {
    /// `None` if it has been dropped to save memory, or cannot be read.
    binary: Option<Binary>,
    /// Reading it failed; it is not tried again.
    is_broken: bool,
    /// Addresses by file offset.
    answers: HashMap<u64, Located>,
    build_id: Arc<str>,
    budget: Budget,
    /// When it was last used.
    turn: u64,
}

/// An answer, and the address in the file's own numbering.
#[derive(Clone, Debug)]
pub(super) struct Located {
    pub(super) address: u64,
    /// `None` if the file is not an ELF file that can be read.
    pub(super) answer: Option<Arc<Answer>>,
}

/// Every file read so far.
#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: HashMap<Key, Entry>,
    /// Those that threads of the pool have.
    lent: Lent<Key, Entry>,
    turn: u64,
    /// The time for reading is up: what is not known now stays unknown.
    is_closed: bool,
}

impl Cache {
    /// Names the code at file `offsets`; the result is aligned with them. Also gives the build id.
    pub(super) fn resolve(
        &mut self,
        origin: &Origin,
        offsets: &[u64],
        options: &Options,
        problems: &mut Problems,
    ) -> (Vec<Located>, Arc<str>) {
        self.turn += 1;
        let key = origin.key();
        let entry = self.entries.entry(key).or_insert_with(Entry::new);
        entry.turn = self.turn;
        let new = entry.unknown(offsets.iter().copied());
        let is_new = !new.is_empty() && !self.is_closed;
        if is_new {
            entry.learn(origin, &new, options, problems);
        }
        let located = offsets
            .iter()
            .map(|offset| {
                entry.answers.get(offset).cloned().unwrap_or(Located {
                    address: *offset,
                    answer: None,
                })
            })
            .collect();
        let build_id = Arc::clone(&entry.build_id);
        if is_new {
            self.trim(options.cache_bytes);
        }
        (located, build_id)
    }

    /// Offsets in the file of `instead` of code that has taken its place at `addresses`; `None` if it has not. What is to
    /// be said of them is looked up as well, for [`Cache::resolve`] to find: that it is such code is known only now, when
    /// the files were read that samples lie in. So both are done on the pool; `None` if that is not done by the deadline.
    pub(super) fn offsets_beside(
        &mut self,
        instead: &InsteadOf,
        addresses: &[u64],
        options: &Options,
        (pool, patience): (&Pool, Patience),
        problems: &mut Problems,
    ) -> Option<Vec<Option<u64>>> {
        let deadline = patience.deadline;
        self.turn += 1;
        let origin = Origin::Held(Arc::clone(&instead.file));
        let key = origin.key();
        while self.lent.has(&key) {
            self.take_back(pool, deadline, problems)?;
        }
        if Instant::now() >= deadline {
            return None;
        }
        let mut entry = self.entries.remove(&key).unwrap_or_else(Entry::new);
        entry.turn = self.turn;
        entry.end_at(Some(patience.last));
        let (options, addresses) = (options.clone(), addresses.to_vec());
        let neighbours = instead.neighbours.clone();
        let (answer, answered) = mpsc::sync_channel(1);
        let look = move |entry: &mut Entry, problems: &mut Problems| {
            entry.learn(&origin, &[], &options, problems);
            let binary = entry.binary.as_ref();
            let find = |address| binary?.offset_beside(&neighbours, address);
            let offsets: Vec<Option<u64>> = addresses.into_iter().map(find).collect();
            let new = entry.unknown(offsets.iter().flatten().copied());
            if !new.is_empty() {
                entry.learn(&origin, &new, &options, problems);
            }
            let _ = answer.send(offsets);
        };
        self.lent.lend((key, entry), pool, look);
        while self.lent.has(&key) {
            self.take_back(pool, deadline, problems)?;
        }
        answered.try_recv().ok()
    }

    /// Takes over the next file that a thread is done with; `None` if none is by `deadline`.
    fn take_back(&mut self, pool: &Pool, deadline: Instant, problems: &mut Problems) -> Option<()> {
        let (key, entry) = self.lent.next(pool, deadline, problems)?;
        if let Some(entry) = entry {
            self.entries.insert(key, entry);
        }
        Some(())
    }

    /// Looks up all that is wanted, for [`Cache::resolve`] to find, which reads nothing by itself from then on. Whether all of
    /// it is done by the deadline; what is not, goes on.
    pub(super) fn read_until(
        &mut self,
        mut wanted: Wanted,
        options: &Options,
        patience: Patience,
        pool: &Pool,
        problems: &mut Problems,
    ) -> bool {
        self.turn += 1;
        self.is_closed = true;
        let shared = Arc::new(options.clone());
        loop {
            for (key, (origin, offsets)) in std::mem::take(&mut wanted.0) {
                if self.lent.has(&key) {
                    wanted.0.insert(key, (origin, offsets));
                    continue;
                }
                let mut entry = self.entries.remove(&key).unwrap_or_else(Entry::new);
                entry.turn = self.turn;
                let new = entry.unknown(offsets.iter().copied());
                if new.is_empty() || entry.is_broken {
                    self.entries.insert(key, entry);
                    continue;
                }
                entry.end_at(patience.last.checked_sub(ahead::FOR_SYMBOLS));
                let (from, options) = (origin.clone(), Arc::clone(&shared));
                self.lent.lend((key, entry), pool, move |entry, problems| {
                    entry.learn(&from, &new, &options, problems);
                });
                wanted.0.insert(key, (origin, offsets));
            }
            if wanted.0.is_empty() {
                break;
            }
            if self.take_back(pool, patience.deadline, problems).is_none() {
                return false;
            }
        }
        self.trim(options.cache_bytes);
        true
    }

    /// Looks up all that is wanted, several files at a time, for [`Cache::resolve`] to find. What takes until after
    /// `deadline` is counted, and nothing is read after it.
    pub(super) fn read_ahead(
        &mut self,
        wanted: Wanted,
        options: &Options,
        deadline: Option<Instant>,
        pool: &Pool,
        problems: &mut Problems,
    ) {
        self.turn += 1;
        let jobs = wanted.0.into_iter().filter_map(|(key, (origin, offsets))| {
            let mut entry = self.entries.remove(&key).unwrap_or_else(Entry::new);
            let offsets = entry.unknown(offsets.into_iter());
            if offsets.is_empty() {
                self.entries.insert(key, entry);
                return None;
            }
            entry.turn = self.turn;
            Some(Job {
                origin,
                entry,
                offsets,
            })
        });
        let jobs = jobs.collect();
        ahead::run(jobs, options, deadline, pool, problems, |job| {
            self.entries.insert(job.origin.key(), job.entry);
            self.trim(options.cache_bytes);
        });
        self.is_closed = deadline.is_some();
    }

    /// Drops all that is known about files that are held no more.
    pub(super) fn retain(&mut self, held: &HashSet<u32>) {
        self.entries
            .retain(|key, _| key.is_none_or(|id| held.contains(&id)));
    }

    /// Drops the tables used longest ago until the rest fits; the answers stay.
    fn trim(&mut self, limit: usize) {
        let mut sizes: Vec<(u64, usize, Option<u32>)> = self
            .entries
            .iter()
            .filter_map(|(key, entry)| Some((entry.turn, entry.binary.as_ref()?.bytes(), *key)))
            .collect();
        let mut total: usize = sizes.iter().map(|(_, bytes, _)| bytes).sum();
        sizes.sort_unstable();
        for (_, bytes, key) in sizes {
            if total <= limit {
                return;
            }
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.binary = None;
            }
            total -= bytes;
        }
    }
}

impl Entry {
    fn new() -> Self {
        Self {
            binary: None,
            is_broken: false,
            answers: HashMap::new(),
            build_id: Arc::from(""),
            budget: Budget::new(MAX_TIME),
            turn: 0,
        }
    }

    /// Those of these offsets that nothing is known about, each once, in order.
    fn unknown(&self, offsets: impl Iterator<Item = u64>) -> Vec<u64> {
        let new = offsets.filter(|offset| !self.answers.contains_key(offset));
        let mut new: Vec<u64> = new.collect();
        new.sort_unstable();
        new.dedup();
        new
    }

    /// Has reading debug information and Go's tables end at this moment; what symbols say is read all the same.
    pub(super) const fn end_at(&mut self, deadline: Option<Instant>) {
        self.budget.end_at(deadline);
    }

    /// Reads the file if it is not yet, and looks up these offsets in it.
    pub(super) fn learn(
        &mut self,
        origin: &Origin,
        offsets: &[u64],
        options: &Options,
        problems: &mut Problems,
    ) {
        if self.binary.is_none() && !self.is_broken {
            match guarded(|| read(origin, options, problems)).unwrap_or(Err(ReadError::Malformed)) {
                Ok(binary) => {
                    self.build_id = Arc::clone(&binary.build_id);
                    self.binary = Some(binary);
                }
                Err(error) => {
                    self.is_broken = true;
                    match error {
                        // JIT code in shared memory, Windows libraries: nothing wrong with them.
                        ReadError::Foreign => {}
                        ReadError::Io => problems.add(Problem::FileUnreadable),
                        ReadError::Malformed | ReadError::Unsupported => {
                            problems.add(Problem::FileMalformed);
                        }
                        ReadError::TooLarge => problems.add(Problem::FileTooLarge),
                    }
                }
            }
        }
        let Some(binary) = &mut self.binary else {
            return;
        };
        let addresses: Vec<u64> = offsets
            .iter()
            .map(|offset| binary.address_of(*offset).unwrap_or(*offset))
            .collect();
        let budget = &mut self.budget;
        let answers = guarded(|| {
            binary.resolve(&addresses, options, budget, &mut |problem| {
                problems.add(problem);
            })
        });
        let Some(answers) = answers else {
            problems.add(Problem::FileMalformed);
            self.is_broken = true;
            self.binary = None;
            return;
        };
        for ((offset, address), answer) in offsets.iter().zip(&addresses).zip(answers) {
            let located = Located {
                address: *address,
                answer: Some(Arc::new(answer)),
            };
            self.answers.insert(*offset, located);
        }
    }
}

fn read(origin: &Origin, options: &Options, problems: &mut Problems) -> Result<Binary, ReadError> {
    let source = match origin {
        Origin::Vdso => vdso::read().ok_or(ReadError::Io)?.0,
        Origin::Held(file) => {
            let reader = file.held.reader().map_err(|_| ReadError::Io)?;
            Source::file(reader).map_err(|_| ReadError::Io)?
        }
    };
    let separate = |elf: (&Source, &Header), build_id: &str, problem: &mut dyn FnMut(Problem)| {
        let Origin::Held(file) = origin else {
            return None;
        };
        if !options.separate_debug_files {
            return None;
        }
        let found = separate::find(file, elf, build_id, options.max_debug_bytes, problem);
        found.or_else(|| {
            let fetched = options.debuginfod.as_ref()?.at_hand(build_id);
            let missing = fetched.as_ref().err().copied().flatten();
            if let Some(missing) = missing {
                problem(missing.problem());
            }
            fetched.ok()
        })
    };
    Binary::read(source, options, separate, &mut |problem| {
        problems.add(problem);
    })
}
