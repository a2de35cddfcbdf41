//! The unwind tables of files: one each, for as long as an image has the file mapped.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use ctprof_ebpf::abi::unwind::{Block, MAX_TABLES, PAGE_SHIFT};

use crate::symbolize::cache::{Key, Origin};
use crate::symbolize::elf::{Header, Source};
use crate::symbolize::pool::Pool;
use crate::symbolize::problems::{Problem, Problems};
use crate::symbolize::process::Mapping;
use crate::symbolize::vdso;
use crate::unwind::{Limits, News, NoTable, Own, Table};

/// Longest time for one table. Those of the largest programs take a second; an unoptimised build is ten times as slow.
const MAX_TIME: Duration = Duration::from_secs(20);

/// Memory that all tables of a host may take in the kernel.
const MAX_BYTES: usize = 256 << 20;

/// How long a table stays whose file no image has mapped any more: a shell loop starts the same program again at once.
const LINGER: Duration = Duration::from_secs(10);

/// Every file that is mapped by an image, or was a moment ago.
#[derive(Debug)]
pub(super) struct Files {
    all: HashMap<Key, File>,
    done: (mpsc::Sender<Made>, mpsc::Receiver<Made>),
    next: u32,
    free: Vec<u32>,
    bytes: usize,
    /// Tables whose making has not begun are not wanted any more.
    is_over: Arc<AtomicBool>,
}

type Made = (Key, Result<(Header, Table, Option<Own>), NoTable>);

#[derive(Debug)]
struct File {
    known: Known,
    /// Images that have it mapped.
    users: usize,
    /// When it goes, if it has no users.
    until: Option<Instant>,
}

/// What is known of a file.
#[derive(Debug)]
enum Known {
    /// A thread makes its table.
    Making,
    /// It has none.
    Without,
    /// It is a program for another machine than the 64-bit one whose stacks are unwound.
    Foreign,
    With(Placed),
}

/// A table that the kernel half has.
#[derive(Debug)]
struct Placed {
    number: u32,
    header: Header,
    origin: u64,
    pages: u32,
    bytes: usize,
}

/// What there is for a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A table is being made.
    NotYet,
    /// No table.
    Without,
    /// Its process is not one that is unwound by tables.
    Foreign,
    /// Number of the table, where its origin lies in the process, and its pages.
    At(u32, u64, u32),
}

impl Default for Files {
    fn default() -> Self {
        Self {
            all: HashMap::new(),
            done: mpsc::channel(),
            next: 0,
            free: Vec::new(),
            bytes: 0,
            is_over: Arc::default(),
        }
    }
}

impl Files {
    /// Takes over tables that were made, and returns of which files.
    pub(super) fn take_in(
        &mut self,
        news: &mut Vec<News>,
        problems: &mut Problems,
    ) -> HashSet<Key> {
        let mut new = HashSet::new();
        while let Ok((key, made)) = self.done.1.try_recv() {
            let known = match made {
                Ok(made) => self.place(made, news, problems),
                Err(cause) => {
                    tracing::debug!("no unwind table for file {key:?}: {cause}");
                    without(cause, problems)
                }
            };
            if let Some(file) = self.all.get_mut(&key) {
                file.known = known;
            }
            new.insert(key);
        }
        new
    }

    fn place(
        &mut self,
        (header, table, own): (Header, Table, Option<Own>),
        news: &mut Vec<News>,
        problems: &mut Problems,
    ) -> Known {
        let bytes = table.blocks().len() * size_of::<Block>();
        if self.is_full_for(bytes) {
            self.let_go(|_| true, news);
        }
        if self.is_full_for(bytes) {
            problems.add(Problem::UnwindTooMany);
            return Known::Without;
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        });
        self.bytes += bytes;
        let placed = Placed {
            number,
            header,
            origin: table.origin(),
            pages: table.pages().min(1 << (u32::BITS - PAGE_SHIFT)),
            bytes,
        };
        news.push(News::Table(number, table, own));
        Known::With(placed)
    }

    fn is_full_for(&self, bytes: usize) -> bool {
        self.free.is_empty() && self.next >= MAX_TABLES || bytes > MAX_BYTES - self.bytes
    }

    /// One more image has this file mapped.
    pub(super) fn hold(&mut self, origin: &Origin, pool: &Pool) {
        let key = origin.key();
        if let Some(file) = self.all.get_mut(&key) {
            file.users += 1;
            file.until = None;
            return;
        }
        let making = File {
            known: Known::Making,
            users: 1,
            until: None,
        };
        self.all.insert(key, making);
        let (origin, done) = (origin.clone(), self.done.0.clone());
        let is_over = Arc::clone(&self.is_over);
        pool.submit(move || {
            if !is_over.load(Ordering::Relaxed) {
                let _ = done.send((origin.key(), make(&origin)));
            }
        });
    }

    /// One less has it: the table goes a while after the last.
    pub(super) fn release(&mut self, key: Key) {
        if let Some(file) = self.all.get_mut(&key) {
            file.users -= 1;
            if file.users == 0 {
                file.until = Some(Instant::now() + LINGER);
            }
        }
    }

    /// Lets go of tables that nobody has used for a while.
    pub(super) fn sweep(&mut self, news: &mut Vec<News>) {
        let now = Instant::now();
        self.let_go(|until| until <= now, news);
    }

    /// Lets go of the tables without users whose time this allows. One that is being made is not there yet: it goes when it is.
    fn let_go(&mut self, mut allows: impl FnMut(Instant) -> bool, news: &mut Vec<News>) {
        let (bytes, free) = (&mut self.bytes, &mut self.free);
        self.all.retain(|_, file| {
            let is_made = !matches!(file.known, Known::Making);
            let stays = !(is_made && file.until.is_some_and(&mut allows));
            if let (false, Known::With(placed)) = (stays, &file.known) {
                *bytes -= placed.bytes;
                free.push(placed.number);
                news.push(News::NoTable(placed.number));
            }
            stays
        });
    }

    /// What there is for a mapping of this file.
    pub(super) fn place_of(&self, key: Key, mapping: &Mapping) -> Place {
        let placed = match self.all.get(&key).map(|file| &file.known) {
            Some(Known::With(placed)) => placed,
            Some(Known::Making) => return Place::NotYet,
            Some(Known::Foreign) => return Place::Foreign,
            Some(Known::Without) | None => return Place::Without,
        };
        let bias = match &mapping.instead_of {
            None => placed.header.bias_of(mapping.start, mapping.offset),
            Some(moved) => {
                let mut parts = moved.neighbours.iter();
                parts.find_map(|part| placed.header.bias_of(part.start, part.offset))
            }
        };
        bias.map_or(Place::Without, |bias| {
            let origin = bias.wrapping_add(placed.origin);
            Place::At(placed.number, origin, placed.pages)
        })
    }

    /// Nobody needs a table whose making has not begun.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

fn without(cause: NoTable, problems: &mut Problems) -> Known {
    match cause {
        NoTable::Machine(_) => return Known::Foreign,
        NoTable::NoDescriptions => {}
        NoTable::TooLarge | NoTable::TooSlow => problems.add(Problem::UnwindTooLarge),
        NoTable::Unreadable => problems.add(Problem::UnwindUnreadable),
    }
    Known::Without
}

fn make(origin: &Origin) -> Result<(Header, Table, Option<Own>), NoTable> {
    match origin {
        Origin::Held(file) => {
            let reader = file.held.reader().map_err(|_| NoTable::Unreadable)?;
            let again = reader.try_clone();
            let source = Source::file(reader).map_err(|_| NoTable::Unreadable)?;
            let (header, table) = make_of(&source)?;
            let own = again
                .ok()
                .and_then(|file| Own::of_file(&file, &header, table.origin()));
            Ok((header, table, own))
        }
        Origin::Vdso => {
            let (source, address) = vdso::read().ok_or(NoTable::Unreadable)?;
            let (header, table) = make_of(&source)?;
            let own = Own::of_vdso(address, &header, table.origin());
            Ok((header, table, Some(own)))
        }
    }
}

fn make_of(source: &Source) -> Result<(Header, Table), NoTable> {
    let header = Header::read(source)?;
    let table = Table::read(source, &header, &Limits::until(Instant::now() + MAX_TIME))?;
    Ok((header.without_sections(), table))
}
