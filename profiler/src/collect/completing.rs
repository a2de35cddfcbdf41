//! Has the kernel half complete the stacks of threads that went to sleep before there were tables to unwind them by, or before
//! the recording.

use std::fs::File;
use std::io::Read as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::bpf::{Kernel, probes};

/// How often threads are visited, at most, and what part of the time that may take: a visit takes a fraction of a
/// microsecond a thread, and a few for each stack.
const INTERVAL: Duration = Duration::from_millis(100);
const PART: u32 = 50;

/// Visits to sleeping threads, one at a time.
#[derive(Debug, Default)]
pub(super) struct Completing {
    /// More can be unwound than at the last visit.
    is_due: bool,
    /// When the next may begin.
    next: Arc<Mutex<Next>>,
}

#[derive(Debug, Default)]
enum Next {
    #[default]
    Now,
    At(Instant),
    /// A visit waits for the memory of the threads that it visits, and a container decides how long that takes.
    WhenOver,
}

impl Completing {
    /// There are tables, or threads without stacks, that there were not at the last visit.
    pub(super) const fn is_due(&mut self) {
        self.is_due = true;
    }

    /// Begins a visit if one is due, on a thread of its own. Never waits.
    pub(super) fn visit(&mut self, kernel: &mut Kernel) {
        if !self.is_due || !self.may_begin() {
            return;
        }
        self.is_due = false;
        let visitor = match kernel.visitor(&probes::COMPLETE_STACKS) {
            Ok(visitor) => visitor,
            Err(error) => {
                tracing::debug!("stacks of sleeping threads: {error}");
                return;
            }
        };
        let next = Arc::clone(&self.next);
        set(&next, Next::WhenOver);
        let thread = thread::Builder::new().name("ctprof-complete".to_owned());
        if let Err(error) = thread.spawn(move || run(visitor, &next)) {
            tracing::debug!("stacks of sleeping threads: {error}");
            set(&self.next, Next::Now);
        }
    }

    fn may_begin(&self) -> bool {
        match *self.next.lock().unwrap_or_else(PoisonError::into_inner) {
            Next::Now => true,
            Next::At(at) => Instant::now() >= at,
            Next::WhenOver => false,
        }
    }
}

/// A read runs the kernel half's program for every thread.
fn run(mut visitor: File, next: &Mutex<Next>) {
    let begun = Instant::now();
    if let Err(error) = visitor.read_to_end(&mut Vec::new()) {
        tracing::debug!("stacks of sleeping threads: {error}");
    }
    let rest = INTERVAL.max(begun.elapsed() * PART);
    set(next, Next::At(Instant::now() + rest));
}

fn set(next: &Mutex<Next>, value: Next) {
    *next.lock().unwrap_or_else(PoisonError::into_inner) = value;
}
