//! What the kernel half needs to unwind the stacks of the processes that were noticed: a table for each file that they have
//! mapped, made on threads of the pool, and where in each process they lie.

mod files;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ctprof_ebpf::abi::unwind::{MAX_IMAGES, MAX_MAPPED, Mapped, table};

use self::files::{Files, Place};
use super::Symbolizer;
use super::cache::{Key, Origin};
use super::pool::Pool;
use super::problems::{Problem, Problems};
use super::process::{Content, Image, Mapping, Processes};
use crate::model::ProcessKey;
use crate::unwind::News;

/// How often images of processes that are gone are looked for, at most, and what part of the time that may take: each takes
/// a microsecond.
const SWEEP: Duration = Duration::from_secs(1);
const SWEEP_PART: u32 = 100;

/// What has been told so far.
#[derive(Debug, Default)]
pub(super) struct Unwinding {
    files: Files,
    images: HashMap<ProcessKey, Told>,
    next_sweep: Option<Instant>,
}

/// What was told of an image.
#[derive(Debug, Default)]
struct Told {
    files: HashSet<Key>,
    mapped: Vec<Mapped>,
}

impl Unwinding {
    /// What there is to tell since the last time, of these images among others. Never waits.
    pub(super) fn news(
        &mut self,
        mut changed: HashSet<ProcessKey>,
        processes: &Processes,
        pool: &Pool,
        problems: &mut Problems,
    ) -> Vec<News> {
        let mut news = Vec::new();
        let made = self.files.take_in(&mut news, problems);
        if !made.is_empty() {
            let images = self.images.iter();
            let users = images.filter(|(_, told)| !told.files.is_disjoint(&made));
            changed.extend(users.map(|(process, _)| *process));
        }
        for process in changed {
            match processes.image(process).map(Image::all) {
                Some(mappings) => self.tell(process, &mappings, pool, &mut news, problems),
                None => self.forget(process, &mut news),
            }
        }
        self.sweep(processes, &mut news);
        news
    }

    fn tell(
        &mut self,
        process: ProcessKey,
        mappings: &[Mapping],
        pool: &Pool,
        news: &mut Vec<News>,
        problems: &mut Problems,
    ) {
        if self.images.len() >= MAX_IMAGES as usize && !self.images.contains_key(&process) {
            problems.add(Problem::UnwindTooMany);
            return;
        }
        let before = self.images.remove(&process).unwrap_or_default();
        let mut files = HashSet::new();
        for origin in mappings.iter().filter_map(origin) {
            let key = origin.key();
            if files.insert(key) && !before.files.contains(&key) {
                self.files.hold(&origin, pool);
            }
        }
        let mapped = self.mapped(mappings, problems);
        let was_told = !before.mapped.is_empty();
        match &mapped {
            Some(mapped) if *mapped != before.mapped => {
                news.push(News::Mapped(process, mapped.clone()));
            }
            None if was_told => news.push(News::Gone(process)),
            Some(_) | None => {}
        }
        // Not before: the image may have the table until then.
        for key in before.files.difference(&files) {
            self.files.release(*key);
        }
        let mapped = mapped.unwrap_or_default();
        self.images.insert(process, Told { files, mapped });
    }

    /// Where the tables of these mappings lie; `None` for a process that is not unwound by tables.
    fn mapped(&self, mappings: &[Mapping], problems: &mut Problems) -> Option<Vec<Mapped>> {
        let mut mapped: Vec<Mapped> = Vec::new();
        // The page of `vsyscall` is in the kernel's half of addresses, where the kernel half cannot search.
        for mapping in mappings.iter().filter(|it| it.start < Mapped::NONE.start) {
            let (start, end) = (mapping.start, mapping.end);
            let place = origin(mapping).map_or(Place::Without, |origin| {
                self.files.place_of(origin.key(), mapping)
            });
            let (number, origin, pages) = match place {
                Place::At(number, origin, pages) => (number, origin, pages),
                Place::NotYet => (table::NOT_YET, 0, 0),
                Place::Without => (table::NONE, 0, 0),
                Place::Foreign => return None,
            };
            match mapped.last_mut() {
                // One file in several pieces.
                Some(last)
                    if last.end == start && (last.table, last.origin) == (number, origin) =>
                {
                    last.end = end;
                }
                _ => mapped.push(Mapped {
                    start,
                    end,
                    origin,
                    table: number,
                    pages,
                }),
            }
        }
        if mapped.len() > MAX_MAPPED {
            // What compilers at run time have made, piece by piece: what is between lacks a description as well.
            mapped.dedup_by(|next, last| {
                let are_without = next.table == table::NONE && last.table == table::NONE;
                if are_without {
                    last.end = next.end;
                }
                are_without
            });
        }
        if mapped.len() > MAX_MAPPED {
            problems.add(Problem::UnwindTooManyMappings);
            // Those with tables first: what is left out is unwound by frame pointers.
            mapped.sort_by_key(|it| (it.table == table::NONE, it.start));
            mapped.truncate(MAX_MAPPED);
            mapped.sort_by_key(|it| it.start);
        }
        Some(mapped)
    }

    fn forget(&mut self, process: ProcessKey, news: &mut Vec<News>) {
        if let Some(told) = self.images.remove(&process) {
            if !told.mapped.is_empty() {
                news.push(News::Gone(process));
            }
            for key in told.files {
                self.files.release(key);
            }
        }
    }

    /// Forgets images that nobody runs any more: a host that starts many processes would have no room for others soon.
    fn sweep(&mut self, processes: &Processes, news: &mut Vec<News>) {
        let now = Instant::now();
        if self.next_sweep.is_some_and(|next| now < next) {
            return;
        }
        let is_gone = |process: &&ProcessKey| {
            let image = processes.image(**process);
            !image.is_some_and(Image::is_known) || !processes.is_there(process.pid)
        };
        let gone: Vec<ProcessKey> = self.images.keys().filter(is_gone).copied().collect();
        for process in gone {
            self.forget(process, news);
        }
        self.files.sweep(news);
        self.next_sweep = Some(now + SWEEP.max(now.elapsed() * SWEEP_PART));
    }

    /// No table is needed whose making has not begun.
    pub(super) fn end(&self) {
        self.files.end();
    }
}

/// The file whose table describes what is mapped there.
fn origin(mapping: &Mapping) -> Option<Origin> {
    match &mapping.content {
        Content::File { file, .. } => Some(Origin::Held(Arc::clone(file))),
        Content::Vdso => Some(Origin::Vdso),
        Content::Anonymous => mapping
            .instead_of
            .as_ref()
            .map(|moved| Origin::Held(Arc::clone(&moved.file))),
        Content::Unheld { .. } | Content::Special(_) => None,
    }
}

impl Symbolizer {
    /// [`Symbolizer::unwind_news`] begins anew: whoever was told has forgotten it.
    pub fn unwind_anew(&mut self) {
        self.unwinding = Unwinding::default();
        self.processes.all_changed();
    }

    /// What the kernel half has to be told since the last call, so that it unwinds the stacks of the processes that were
    /// noticed. Never waits.
    pub fn unwind_news(&mut self) -> Vec<News> {
        self.take_in();
        let changed = self.processes.take_changed();
        let (pool, problems) = (&self.pool, &mut self.problems);
        self.unwinding
            .news(changed, &self.processes, pool, problems)
    }
}
