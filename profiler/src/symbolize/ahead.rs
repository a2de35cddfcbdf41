//! Files that have to be read, side by side: naming the processes of a recording one after the other would read one
//! file after the other, and large ones take a second.

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use foldhash::HashSet;

use super::Options;
use super::cache::{Entry, Key, Origin};
use super::pool::Pool;
use super::problems::{Problem, Problems};
use super::process::{Content, Image};

/// Most threads that read: whoever is measured wants the other CPUs.
const MOST_THREADS: usize = 4;

/// How long before the deadline debug information is given up, so that the names of symbols are there in time.
pub(super) const FOR_SYMBOLS: Duration = Duration::from_millis(150);

/// A moment that does not come while somebody waits.
pub(super) const FOREVER: Duration = Duration::from_secs(24 * 3600);

/// How many files are read at once.
pub(super) fn width() -> usize {
    thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(MOST_THREADS)
}

/// What has to be looked up in each file, each offset once.
#[derive(Default)]
pub(super) struct Wanted(pub(super) HashMap<Key, (Origin, HashSet<u64>)>);

impl Wanted {
    /// Adds the addresses of a process that lie in files.
    pub(super) fn add(&mut self, image: &Image, addresses: &[u64]) {
        for address in addresses {
            let Some(mapping) = image.mapping(*address) else {
                continue;
            };
            let origin = match &mapping.content {
                Content::File { file, .. } => Origin::Held(Arc::clone(file)),
                Content::Vdso => Origin::Vdso,
                Content::Unheld { .. } | Content::Special(_) | Content::Anonymous => continue,
            };
            let all = self.0.entry(origin.key());
            let (_, offsets) = all.or_insert_with(|| (origin, HashSet::default()));
            offsets.insert(mapping.offset_of(*address));
        }
    }
}

/// One file to read.
pub(super) struct Job {
    pub(super) origin: Origin,
    pub(super) entry: Entry,
    /// What is to be looked up, in order.
    pub(super) offsets: Vec<u64>,
}

/// Does all of it, the files with the most to look up first. `done` takes each, one at a time, in any order; those that
/// are not read by `deadline` are counted, and never come.
pub(super) fn run(
    mut jobs: Vec<Job>,
    options: &Options,
    deadline: Option<Instant>,
    pool: &Pool,
    problems: &mut Problems,
    mut done: impl FnMut(Job),
) {
    jobs.sort_by_key(|job| std::cmp::Reverse(job.offsets.len()));
    let until = deadline.unwrap_or_else(|| Instant::now() + FOREVER);
    let for_debug = deadline.and_then(|deadline| deadline.checked_sub(FOR_SYMBOLS));
    let options = Arc::new(options.clone());
    let (sender, receiver) = mpsc::channel();
    let mut left = jobs.len();
    for mut job in jobs {
        let (sender, options) = (sender.clone(), Arc::clone(&options));
        pool.submit(move || {
            if Instant::now() >= until {
                return;
            }
            let mut problems = Problems::default();
            job.entry.end_at(for_debug);
            job.entry
                .learn(&job.origin, &job.offsets, &options, &mut problems);
            let _ = sender.send((job, problems));
        });
    }
    drop(sender);
    while left > 0 {
        let Some((job, found)) = pool.receive(&receiver, until) else {
            break;
        };
        left -= 1;
        problems.merge(&found);
        done(job);
    }
    for _ in 0..left {
        problems.add(Problem::FileLate);
    }
}
