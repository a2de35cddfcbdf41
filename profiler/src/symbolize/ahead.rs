//! Files that have to be read, side by side: naming the processes of a recording one after the other would read one
//! file after the other, and large ones take a second.

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::thread;

use foldhash::HashSet;

use super::Options;
use super::cache::{Entry, Key, Origin};
use super::problems::Problems;
use super::process::{Content, Image};

/// Most threads that read: whoever is measured wants the other CPUs.
const MOST_THREADS: usize = 4;

/// What has to be looked up in each file, each offset once.
#[derive(Default)]
pub(super) struct Wanted<'a>(pub(super) HashMap<Key, (Origin<'a>, HashSet<u64>)>);

impl<'a> Wanted<'a> {
    /// Adds the addresses of a process that lie in files.
    pub(super) fn add(&mut self, image: &'a Image, addresses: &[u64]) {
        for address in addresses {
            let Some(mapping) = image.mapping(*address) else {
                continue;
            };
            let origin = match &mapping.content {
                Content::File { file, .. } => Origin::Held(file),
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
pub(super) struct Job<'a> {
    pub(super) origin: Origin<'a>,
    pub(super) entry: Entry,
    /// What is to be looked up, in order.
    pub(super) offsets: Vec<u64>,
}

/// Does all of it, the files with the most to look up first. `done` takes each, one at a time, in any order.
pub(super) fn run<'a>(
    mut jobs: Vec<Job<'a>>,
    options: &Options,
    problems: &mut Problems,
    done: impl FnMut(Job<'a>) + Send,
) {
    jobs.sort_by_key(|job| job.offsets.len());
    let cpus = thread::available_parallelism().map_or(1, NonZero::get);
    let others = cpus.min(MOST_THREADS).min(jobs.len()).saturating_sub(1);
    let (jobs, out) = (Mutex::new(jobs), Mutex::new((done, problems)));
    let work = || {
        loop {
            // Not in the condition of the loop, where it would stay locked.
            let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(mut job) = job else {
                return;
            };
            let mut problems = Problems::default();
            job.entry
                .learn(job.origin, &job.offsets, options, &mut problems);
            let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
            out.1.merge(&problems);
            (out.0)(job);
        }
    };
    thread::scope(|scope| {
        for _ in 0..others {
            // Where no thread can be had, this one does it all.
            if thread::Builder::new().spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        work();
    });
}
