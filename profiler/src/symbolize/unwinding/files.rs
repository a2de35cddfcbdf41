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
use crate::unwind::{Limits, News, NoTable, Table};

/// Longest time for one table. Those of the largest programs take a second; an unoptimised build is ten times as slow.
const MAX_TIME: Duration = Duration::from_secs(20);

/// Memory that all tables of a host may take in the kernel.
const MAX_BYTES: usize = 256 << 20;

/// Every file that is mapped by an image.
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

type Made = (Key, Result<(Header, Table), NoTable>);

#[derive(Debug)]
struct File {
    known: Known,
    /// Images that have it mapped.
    users: usize,
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
            // Its last image may be gone by now; if another came after that, the table has been made twice.
            let Some(File {
                known: Known::Making,
                users,
            }) = self.all.get(&key)
            else {
                continue;
            };
            let users = *users;
            let known = match made {
                Ok((header, table)) => self.place(header, table, news, problems),
                Err(cause) => {
                    tracing::debug!("no unwind table for file {key:?}: {cause}");
                    without(cause, problems)
                }
            };
            self.all.insert(key, File { known, users });
            new.insert(key);
        }
        new
    }

    fn place(
        &mut self,
        header: Header,
        table: Table,
        news: &mut Vec<News>,
        problems: &mut Problems,
    ) -> Known {
        let bytes = table.blocks().len() * size_of::<Block>();
        let is_full = self.free.is_empty() && self.next >= MAX_TABLES;
        if is_full || bytes > MAX_BYTES - self.bytes {
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
        news.push(News::Table(number, table));
        Known::With(placed)
    }

    /// One more image has this file mapped.
    pub(super) fn hold(&mut self, origin: &Origin, pool: &Pool) {
        let key = origin.key();
        if let Some(file) = self.all.get_mut(&key) {
            file.users += 1;
            return;
        }
        let making = File {
            known: Known::Making,
            users: 1,
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

    /// One less has it: the table goes with the last.
    pub(super) fn release(&mut self, key: Key, news: &mut Vec<News>) {
        let Some(file) = self.all.get_mut(&key) else {
            return;
        };
        file.users -= 1;
        if file.users > 0 {
            return;
        }
        if let Some(File {
            known: Known::With(placed),
            ..
        }) = self.all.remove(&key)
        {
            self.bytes -= placed.bytes;
            self.free.push(placed.number);
            news.push(News::NoTable(placed.number));
        }
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

fn make(origin: &Origin) -> Result<(Header, Table), NoTable> {
    let source = match origin {
        Origin::Held(file) => {
            let reader = file.held.reader().map_err(|_| NoTable::Unreadable)?;
            Source::file(reader).map_err(|_| NoTable::Unreadable)?
        }
        Origin::Vdso => vdso::read().ok_or(NoTable::Unreadable)?,
    };
    let header = Header::read(&source)?;
    let table = Table::read(&source, &header, &Limits::until(Instant::now() + MAX_TIME))?;
    Ok((header.without_sections(), table))
}
