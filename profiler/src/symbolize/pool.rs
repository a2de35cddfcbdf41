//! Threads for calls that may never return.
//!
//! A process decides how long reading its `/proc/PID` takes: its list of mappings may be megabytes long, and the kernel
//! waits for the lock of its memory. A file decides the same: whoever serves the file system below it may never answer.
//! Neither can be interrupted, so such calls run here and are waited for up to a moment that the caller names. A thread
//! that hangs is replaced, and left behind until its call returns.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// A call that has taken this long is taken to hang: another thread goes on with the next.
const HANGS_AFTER: Duration = Duration::from_millis(100);

/// Most threads of all pools of this process, those that hang included.
const MOST_THREADS: usize = 64;

/// Stack of a thread: what it runs decodes files, and does not recurse.
const STACK_BYTES: usize = 1 << 20;

static THREADS: AtomicUsize = AtomicUsize::new(0);

type Job = Box<dyn FnOnce() + Send>;

/// Runs jobs in the order in which they come.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    /// Jobs that are worked on at once, those that hang aside.
    width: usize,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    /// When each call that has not returned began, by number.
    begun: HashMap<u64, Instant>,
    next: u64,
    idle: usize,
    closed: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    /// A pool without threads: they come with the first job.
    pub(crate) fn new(width: usize) -> Self {
        Self {
            shared: Arc::new(Shared::default()),
            width,
        }
    }

    /// Has a thread run `job`, after those that were submitted before.
    pub(crate) fn submit(&self, job: impl FnOnce() + Send + 'static) {
        self.shared.state().queue.push_back(Box::new(job));
        self.shared.work.notify_one();
        self.relieve();
    }

    /// Replaces threads that hang, if something waits for them. To be called from time to time by whoever waits.
    pub(super) fn relieve(&self) {
        let state = self.shared.state();
        let working = state.begun.values();
        let working = working.filter(|begun| begun.elapsed() < HANGS_AFTER);
        let missing = self.width.saturating_sub(working.count() + state.idle);
        let wanted = missing.min(state.queue.len().saturating_sub(state.idle));
        drop(state);
        for _ in 0..wanted {
            self.add_thread();
        }
    }

    fn add_thread(&self) {
        let Some(thread) = Counted::take() else {
            return;
        };
        let shared = Arc::clone(&self.shared);
        shared.state().idle += 1;
        let work = move || {
            let _thread = thread;
            work(&shared);
        };
        let builder = std::thread::Builder::new().name("ctprof-look".to_owned());
        if builder.stack_size(STACK_BYTES).spawn(work).is_err() {
            self.shared.state().idle -= 1;
        }
    }

    /// The next of what jobs send; `None` if nothing has come by `deadline`, or nothing can come any more.
    pub(crate) fn receive<T>(&self, from: &mpsc::Receiver<T>, deadline: Instant) -> Option<T> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match from.recv_timeout(left.min(HANGS_AFTER)) {
                Ok(value) => return Some(value),
                Err(mpsc::RecvTimeoutError::Timeout) if left > HANGS_AFTER => self.relieve(),
                Err(_) => return None,
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.closed = true;
        // What nobody has begun is not begun: its receiver is gone or going.
        state.queue.clear();
        drop(state);
        self.shared.work.notify_all();
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

/// One of [`MOST_THREADS`].
struct Counted;

impl Counted {
    fn take() -> Option<Self> {
        let most = |threads| (threads < MOST_THREADS).then_some(threads + 1);
        THREADS
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, most)
            .ok()
            .map(|_| Self)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        THREADS.fetch_sub(1, Ordering::Relaxed);
    }
}

fn work(shared: &Shared) {
    let mut state = shared.state();
    loop {
        let Some(job) = state.queue.pop_front() else {
            if state.closed {
                return;
            }
            state = shared
                .work
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        let number = state.next;
        state.next += 1;
        state.idle -= 1;
        state.begun.insert(number, Instant::now());
        drop(state);
        // Whoever waits for a job that panicked sees that nothing came.
        let _ = catch_unwind(AssertUnwindSafe(job));
        state = shared.state();
        let began = state.begun.remove(&number);
        if began.is_some_and(|began| began.elapsed() >= HANGS_AFTER) && state.queue.is_empty() {
            // Another has taken its place.
            return;
        }
        state.idle += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    /// What `call` returns, if it has by `deadline`.
    fn call<T: Send + 'static>(
        pool: &Pool,
        deadline: Instant,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = mpsc::sync_channel(1);
        pool.submit(move || {
            let _ = answer.send(call());
        });
        pool.receive(&answered, deadline)
    }

    #[test]
    fn calls_that_hang_hold_nobody_up() {
        let pool = Pool::new(1);
        let (release, released) = mpsc::channel::<()>();
        let released = Arc::new(Mutex::new(released));
        for _ in 0..5 {
            let released = Arc::clone(&released);
            let late = call(&pool, Instant::now(), move || {
                let _ = released.lock().unwrap().recv();
            });
            assert_eq!(late, None);
        }
        assert_eq!(call(&pool, soon(), || 7), Some(7));
        drop(release);
    }

    #[test]
    fn a_panic_is_nothing_and_the_next_call_works() {
        let pool = Pool::new(1);
        assert_eq!(call::<()>(&pool, soon(), || panic!("of a test")), None);
        assert_eq!(call(&pool, soon(), || 1), Some(1));
    }

    #[test]
    fn jobs_end_with_their_pool() {
        let pool = Pool::new(2);
        let (sender, receiver) = mpsc::channel();
        for number in 0..100 {
            let sender = sender.clone();
            pool.submit(move || {
                let _ = sender.send(number);
            });
        }
        drop(sender);
        let mut all: Vec<i32> = (0..100)
            .filter_map(|_| pool.receive(&receiver, soon()))
            .collect();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        assert_eq!(pool.receive(&receiver, soon()), None);
    }
}
