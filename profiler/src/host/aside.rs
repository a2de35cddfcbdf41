//! Questions that whoever is asked may leave unanswered.
//!
//! A process decides how long reading its `/proc/PID/cmdline` takes: the kernel waits for the lock of its memory, and for
//! whoever serves the file that is mapped there. Opening a file below its root is up to the file system that it lies on.
//! So such questions are put on a thread of their own, which is left behind when it is late.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::Builder;
use std::time::Instant;

/// Most threads that are left behind: nobody is asked any more then.
const MOST_BEHIND: usize = 16;

static BEHIND: AtomicUsize = AtomicUsize::new(0);

/// What has been answered in time.
#[derive(Debug)]
pub struct Asked<T> {
    /// The answers, in order.
    pub answers: Vec<T>,
    /// There would have been more.
    pub is_late: bool,
}

/// Has another thread ask, and takes what it sends until it returns, or until `deadline`. When it is in time, the thread
/// has ended when this returns.
pub fn ask<T: Send + 'static>(
    deadline: Instant,
    ask: impl FnOnce(&mpsc::Sender<T>) + Send + 'static,
) -> Asked<T> {
    let mut asked = Asked {
        answers: Vec::new(),
        is_late: true,
    };
    if BEHIND.load(Ordering::Relaxed) >= MOST_BEHIND {
        return asked;
    }
    let (sender, answers) = mpsc::channel();
    let is_left = Arc::new(AtomicBool::new(false));
    let was_left = Arc::clone(&is_left);
    let thread = Builder::new().name("ctprof-ask".to_owned());
    let Ok(thread) = thread.spawn(move || {
        ask(&sender);
        if was_left.swap(true, Ordering::Relaxed) {
            BEHIND.fetch_sub(1, Ordering::Relaxed);
        }
    }) else {
        return asked;
    };
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match answers.recv_timeout(left) {
            Ok(answer) => asked.answers.push(answer),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                asked.is_late = thread.join().is_err();
                return asked;
            }
            Err(mpsc::RecvTimeoutError::Timeout) => break,
        }
    }
    // If it has not come to its end at this very moment, it takes itself off the count then.
    BEHIND.fetch_add(1, Ordering::Relaxed);
    if is_left.swap(true, Ordering::Relaxed) {
        BEHIND.fetch_sub(1, Ordering::Relaxed);
    }
    asked
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_comes_in_time_is_kept() {
        let far = Instant::now() + Duration::from_secs(60);
        let asked = ask(far, |answers| {
            (1..4).for_each(|it| answers.send(it).unwrap());
        });
        assert_eq!((asked.answers, asked.is_late), (vec![1, 2, 3], false));

        let (release, released) = mpsc::channel::<()>();
        let soon = Instant::now() + Duration::from_millis(300);
        let asked = ask(soon, move |answers| {
            answers.send(1).unwrap();
            let _ = released.recv();
        });
        assert_eq!((asked.answers, asked.is_late), (vec![1], true));
        drop(release);

        let asked = ask::<u8>(far, |_| panic!("of a test"));
        assert_eq!((asked.answers, asked.is_late), (vec![], true));
    }
}
