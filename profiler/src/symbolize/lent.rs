//! What a thread of the pool works on. It comes back whenever that thread is done: who has stopped waiting for it finds it
//! there later, and nothing is begun twice.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::mpsc;
use std::time::Instant;

use super::binary::guarded;
use super::pool::Pool;
use super::problems::Problems;

/// Things by key that threads of the pool have.
#[derive(Debug)]
pub(super) struct Lent<K, T> {
    away: HashSet<K>,
    sender: mpsc::Sender<Back<K, T>>,
    receiver: mpsc::Receiver<Back<K, T>>,
}

/// `None` where the work panicked: what it worked on is gone.
type Back<K, T> = (K, Option<T>, Problems);

impl<K, T> Default for Lent<K, T> {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel();
        Self {
            away: HashSet::new(),
            sender,
            receiver,
        }
    }
}

impl<K: Eq + Hash + Clone + Send + 'static, T: Send + 'static> Lent<K, T> {
    /// Whether a thread has it.
    pub(super) fn has(&self, key: &K) -> bool {
        self.away.contains(key)
    }

    /// How many threads have something, or will.
    pub(super) fn count(&self) -> usize {
        self.away.len()
    }

    /// Has a thread work on it, after all that was submitted before.
    pub(super) fn lend(
        &mut self,
        (key, mut thing): (K, T),
        pool: &Pool,
        work: impl FnOnce(&mut T, &mut Problems) + Send + 'static,
    ) {
        self.away.insert(key.clone());
        let back = self.sender.clone();
        pool.submit(move || {
            let mut problems = Problems::default();
            let done = guarded(|| {
                work(&mut thing, &mut problems);
                thing
            });
            let _ = back.send((key, done, problems));
        });
    }

    /// The next that comes back; `None` if nothing has by `deadline`. Whose work panicked is as good as never lent.
    pub(super) fn next(
        &mut self,
        pool: &Pool,
        deadline: Instant,
        problems: &mut Problems,
    ) -> Option<(K, Option<T>)> {
        let (key, thing, found) = pool.receive(&self.receiver, deadline)?;
        self.away.remove(&key);
        problems.merge(&found);
        Some((key, thing))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_late_comes_back_all_the_same() {
        let (pool, mut problems) = (Pool::new(1), Problems::default());
        let (release, released) = mpsc::channel::<()>();
        let mut lent = Lent::default();
        lent.lend(("a", 1), &pool, move |number, _| {
            let _ = released.recv();
            *number += 1;
        });
        let late = lent.next(&pool, Instant::now(), &mut problems);
        assert_eq!((late, lent.has(&"a"), lent.count()), (None, true, 1));
        drop(release);
        let far = Instant::now() + Duration::from_secs(60);
        let back = lent.next(&pool, far, &mut problems);
        assert_eq!((back, lent.has(&"a")), (Some(("a", Some(2))), false));

        lent.lend(("b", 1), &pool, |_, _| panic!("of a test"));
        assert_eq!(lent.next(&pool, far, &mut problems), Some(("b", None)));
        assert_eq!(lent.count(), 0);
    }
}
