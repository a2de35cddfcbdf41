//! Names and passwords.
//!
//! A bcrypt check is meant to take long, and anybody can ask for one. So wrong guesses cost whoever makes them: an address
//! has one check at a time and few wrong ones (`guesses`), addresses take turns, those that were right before among
//! themselves alone, and a header that was right once is never checked again. Checks run on threads of their own, not on
//! the pool that `/metrics` is written on.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::{Mutex as Queue, oneshot};

use super::guesses::{Guesses, Lane};

/// Headers that are remembered: more than that are spellings of the same passwords.
const REMEMBERED: usize = 64;

/// Who may ask, by bcrypt hashes.
#[derive(Default)]
pub struct Users {
    hashes: BTreeMap<String, String>,
    /// `Authorization` headers that were right, with the hash that they were right for.
    right: Mutex<HashMap<Vec<u8>, String>>,
    guesses: Guesses,
    /// Addresses that were right before wait for each other alone.
    known: Queue<()>,
    unknown: Queue<()>,
    /// Which hash a name that does not exist is compared with. Nobody can know, or find out: it is the same each time.
    stand_in: RandomState,
}

/// What a check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Name and password are right.
    Right,
    /// They are not.
    Wrong,
    /// This address has guessed too often, or is being checked.
    Busy,
}

impl Users {
    pub(super) fn add(&mut self, name: &str, hash: &str) {
        self.hashes.insert(name.to_owned(), hash.to_owned());
    }

    /// Takes over which headers were right, where name and hash are still the same, and who has guessed.
    pub fn inherit(&self, before: &Self) {
        let mut right = lock(&self.right);
        for (header, hash) in lock(&before.right).iter() {
            if let Some((name, _)) = parse(header)
                && self.hashes.get(&name) == Some(hash)
            {
                right.insert(header.clone(), hash.clone());
            }
        }
        drop(right);
        self.guesses.inherit(&before.guesses);
    }

    /// Whether this `Authorization` header, from this address, is of one of them.
    pub async fn check(self: Arc<Self>, header: &[u8], from: IpAddr) -> Verdict {
        if lock(&self.right).contains_key(header) {
            return Verdict::Right;
        }
        let Some((name, password)) = parse(header) else {
            return Verdict::Wrong;
        };
        let Some(turn) = self.guesses.begin(from, Instant::now()) else {
            return Verdict::Busy;
        };
        let queue = match turn.lane() {
            Lane::Known => &self.known,
            Lane::Unknown => &self.unknown,
        };
        let _turn = queue.lock().await;
        let (answer, answered) = oneshot::channel();
        let users = Arc::clone(&self);
        let thread = std::thread::Builder::new().name("ctprof-password".to_owned());
        let checked = thread.spawn(move || {
            // Whoever asked may have gone.
            let _ = answer.send(users.right_hash(&name, &password));
        });
        let hash = match checked {
            Ok(_) => answered.await.unwrap_or(None),
            Err(error) => {
                tracing::warn!("cannot check a password: {error}");
                return Verdict::Busy;
            }
        };
        let Some(hash) = hash else {
            return Verdict::Wrong;
        };
        turn.was_right();
        let mut right = lock(&self.right);
        if right.len() >= REMEMBERED {
            right.clear();
        }
        right.insert(header.to_vec(), hash);
        Verdict::Right
    }

    /// The hash of this name, if the password is its. A name that does not exist takes as long as one that does: it is
    /// compared with the hash of another.
    fn right_hash(&self, name: &str, password: &[u8]) -> Option<String> {
        let own = self.hashes.get(name);
        let hash = match own {
            Some(hash) => hash,
            None => {
                let number = self.stand_in.hash_one(name) % (self.hashes.len() as u64).max(1);
                self.hashes.values().nth(usize::try_from(number).ok()?)?
            }
        };
        let is_right = bcrypt::verify(password, hash).unwrap_or(false);
        own.filter(|_| is_right).cloned()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.hashes.keys()).finish()
    }
}

/// Name and password of `Basic …`.
fn parse(header: &[u8]) -> Option<(String, Vec<u8>)> {
    let (scheme, rest) = header.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return None;
    }
    let mut name = STANDARD.decode(rest.trim_ascii()).ok()?;
    let colon = name.iter().position(|byte| *byte == b':')?;
    let password = name.split_off(colon + 1);
    name.pop();
    Some((String::from_utf8(name).ok()?, password))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::super::guesses::BURST;
    use super::{Users, Verdict};

    fn users(passwords: &[(&str, &str)]) -> Users {
        let mut users = Users::default();
        for (name, password) in passwords {
            let hash = bcrypt::hash_with_salt(password, 4, *b"sixteen bytes of").unwrap();
            users.add(name, &hash.to_string());
        }
        users
    }

    fn header(name: &str, password: &str) -> Vec<u8> {
        format!("Basic {}", STANDARD.encode(format!("{name}:{password}"))).into_bytes()
    }

    fn check(users: &Arc<Users>, header: &[u8], last: u8) -> Verdict {
        let from = IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(Arc::clone(users).check(header, from))
    }

    #[test]
    fn who_guesses_keeps_nobody_else_out() {
        let users = Arc::new(users(&[("me", "secret"), ("you", "other")]));
        let right = header("me", "secret");
        // There is one more guess a second, which this may take.
        let refused = (0..100 * BURST).find(|number| {
            let verdict = check(&users, &header("me", &number.to_string()), 1);
            assert_ne!(verdict, Verdict::Right);
            verdict == Verdict::Busy
        });
        assert!(refused.is_some_and(|after| after >= BURST), "{refused:?}");
        assert_eq!(check(&users, &right, 2), Verdict::Right);
        // What was right once is right from anywhere, whoever guesses there.
        assert_eq!(check(&users, &right, 1), Verdict::Right);
        assert_eq!(check(&users, &header("you", "other"), 3), Verdict::Right);
    }

    #[test]
    fn names_that_do_not_exist_cost_a_whole_check() {
        let users = users(&[("me", "secret")]);
        assert!(users.right_hash("me", b"secret").is_some());
        // Compared with the hash of `me`, which it fits, and refused all the same.
        assert!(users.right_hash("nobody", b"secret").is_none());
        assert!(Users::default().right_hash("nobody", b"").is_none());
    }

    #[test]
    fn a_reload_forgets_what_has_changed_alone() {
        let before = Arc::new(users(&[("me", "secret"), ("you", "other")]));
        let (me, you) = (header("me", "secret"), header("you", "other"));
        assert_eq!(check(&before, &me, 1), Verdict::Right);
        assert_eq!(check(&before, &you, 1), Verdict::Right);
        let after = users(&[("me", "secret"), ("you", "new")]);
        after.inherit(&before);
        let right = super::lock(&after.right);
        assert!(right.contains_key(&me) && !right.contains_key(&you));
    }
}
