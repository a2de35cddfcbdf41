//! Work that stacks wait for. On a host whose programs want all CPUs, a thread of ours would get one in its turn, among fifty of
//! them; and what has a stack until then has one without callers. So such work goes first: it is a few milliseconds for a
//! program, however long that runs afterwards.
//!
//! How much there is of it is up to containers, so the time for it is limited: at first half a second of two CPUs, then a twentieth of
//! one.

use std::cell::Cell;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{getpriority_process, setpriority_process};

/// The highest that there is (`setpriority(2)`).
const HIGHEST: i32 = -20;
/// Most time that can be saved up.
const MOST: Duration = Duration::from_secs(1);
/// What part of the time that goes by is added.
const PART: u32 = 20;

/// Longest time for one piece of work: the tables of the largest programs take as long.
const LONGEST: Duration = Duration::from_millis(300);

static BUDGET: Mutex<Budget> = Mutex::new(Budget {
    left: MOST,
    since: None,
});

/// How long threads may still go first.
#[derive(Debug)]
struct Budget {
    left: Duration,
    since: Option<Instant>,
}

impl Budget {
    fn allows(&mut self, now: Instant) -> bool {
        let before = self.since.replace(now).unwrap_or(now);
        let more = now.saturating_duration_since(before) / PART;
        self.left = (self.left + more).min(MOST);
        !self.left.is_zero()
    }

    fn spend(&mut self, spent: Duration) {
        self.left = self.left.saturating_sub(spent);
    }
}

fn budget<T>(ask: impl FnOnce(&mut Budget) -> T) -> T {
    ask(&mut BUDGET.lock().unwrap_or_else(PoisonError::into_inner))
}

thread_local! {
    /// The usual priority of a thread that goes first, and since when it does.
    static FIRST: Cell<Option<(i32, Instant)>> = const { Cell::new(None) };
}

/// While it lives, this thread goes before others, where the system allows that (`CAP_SYS_NICE`).
pub(crate) struct Urgent(());

impl Urgent {
    pub(crate) fn begin() -> Self {
        let now = Instant::now();
        let before = budget(|it| it.allows(now))
            // On Linux both are about the calling thread alone.
            .then(|| getpriority_process(None).ok())
            .flatten()
            .filter(|_| setpriority_process(None, HIGHEST).is_ok());
        FIRST.set(before.map(|before| (before, now)));
        Self(())
    }

    /// To be called from time to time by work whose length is up to a container: what takes long takes its turn.
    pub(crate) fn not_for_long() {
        if FIRST
            .get()
            .is_some_and(|(_, since)| since.elapsed() > LONGEST)
        {
            end();
        }
    }
}

impl Drop for Urgent {
    fn drop(&mut self) {
        end();
    }
}

fn end() {
    if let Some((before, since)) = FIRST.take() {
        let _ = setpriority_process(None, before);
        budget(|it| it.spend(since.elapsed()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_comes_back_slowly() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut budget = Budget {
            left: MOST,
            since: None,
        };
        assert!(budget.allows(now));
        budget.spend(3 * second);
        assert!(!budget.allows(now));
        assert!(budget.allows(now + 2 * second));
        assert_eq!(budget.left, second / 10);
        assert!(budget.allows(now + 100 * second));
        assert_eq!(budget.left, MOST);
    }
}
