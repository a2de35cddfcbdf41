//! What is known about the files of build ids, and how long it holds.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::store::ABSENT_FOR;
use crate::symbolize::problems::Problem;

/// Most files that are waited for, and most build ids that are known about.
const MOST_COMING: usize = 256;
const MOST_KNOWN: usize = 4096;

/// Memory for files that cannot be kept on disk.
pub(super) const MOST_IN_MEMORY: u64 = 256 << 20;

/// How soon a server that failed is asked again for the same file.
const FAILED_FOR: Duration = Duration::from_secs(60);

/// Why there is no file; whoever asked several servers is told the last of these that any had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::symbolize) enum Missing {
    /// No server has it.
    Absent,
    /// It is larger than the limit.
    TooLarge,
    /// What came is something else.
    Foreign,
    /// A server could not be reached, or did not send all of it.
    Failed,
    /// It has not come yet.
    Late,
}

impl Missing {
    pub(in crate::symbolize) const fn problem(self) -> Problem {
        match self {
            Self::Absent => Problem::ServersHaveNone,
            Self::TooLarge => Problem::ServersTooLarge,
            Self::Foreign => Problem::ServersForeign,
            Self::Failed => Problem::ServersFailed,
            Self::Late => Problem::ServersLate,
        }
    }

    /// How long it is so.
    const fn lasts(self) -> Duration {
        match self {
            Self::Absent | Self::TooLarge => ABSENT_FOR,
            Self::Foreign | Self::Failed => FAILED_FOR,
            Self::Late => Duration::ZERO,
        }
    }
}

/// What is known about the file of a build id.
pub(super) enum Known {
    Coming,
    /// On disk.
    Kept,
    InMemory(Arc<File>),
    Missing(Missing, Instant),
}

#[derive(Default)]
pub(super) struct State {
    pub(super) known: HashMap<Arc<str>, Known>,
    /// Those in memory, oldest first, and their bytes.
    in_memory: VecDeque<(Arc<str>, u64)>,
}

impl Known {
    pub(super) fn missing(cause: Missing) -> Self {
        Self::Missing(cause, Instant::now())
    }
}

impl State {
    /// Whether it is to be looked for now.
    pub(super) fn begin(&mut self, build_id: &Arc<str>) -> bool {
        match self.known.get(build_id) {
            Some(Known::Missing(cause, since)) if since.elapsed() >= cause.lasts() => {}
            Some(Known::Coming | Known::InMemory(_) | Known::Missing(..)) => return false,
            // Somebody has removed it from there.
            Some(Known::Kept) | None => {}
        }
        if self.known.len() >= MOST_KNOWN {
            let is_needed = |known: &Known| matches!(known, Known::Coming | Known::InMemory(_));
            self.known.retain(|_, known| is_needed(known));
        }
        let all = self.known.values();
        let coming = all.filter(|known| matches!(known, Known::Coming)).count();
        let may_come = coming < MOST_COMING;
        let known = if may_come {
            Known::Coming
        } else {
            Known::missing(Missing::Late)
        };
        self.known.insert(Arc::clone(build_id), known);
        may_come
    }

    pub(super) fn is_coming(&self, build_id: &str) -> bool {
        matches!(self.known.get(build_id), Some(Known::Coming))
    }

    /// Takes a file into memory.
    pub(super) fn take_in(&mut self, build_id: &Arc<str>, file: File) -> Known {
        let bytes = file.metadata().map_or(0, |data| data.len());
        self.in_memory.push_back((Arc::clone(build_id), bytes));
        self.make_room();
        Known::InMemory(Arc::new(file))
    }

    /// Lets go of the oldest files in memory until there is room.
    fn make_room(&mut self) {
        let bytes = |all: &VecDeque<(Arc<str>, u64)>| all.iter().map(|(_, bytes)| bytes).sum();
        let mut total: u64 = bytes(&self.in_memory);
        while total > MOST_IN_MEMORY
            && let Some((build_id, bytes)) = self.in_memory.pop_front()
        {
            self.known.remove(&build_id);
            total -= bytes;
        }
    }
}
