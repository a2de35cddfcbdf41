//! Names and passwords.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::{Mutex as Queue, Semaphore};

/// Credentials that are remembered: to check a password takes as long as a scrape.
const REMEMBERED: usize = 64;

/// Checks that may wait: beyond, whoever guesses keeps others waiting.
const WAITING: usize = 8;

/// What is compared for a name that does not exist, so that it takes as long as one that does. Of no password.
const NOBODY: &str = "$2b$10$abcdefghijklmnopqrstuuKJ0tJ9b0u6vTqfWm9n8mB1pQ0k5c3W.";

/// Who may ask, by bcrypt hashes.
pub struct Users {
    hashes: BTreeMap<String, String>,
    /// `Authorization` headers that were right.
    right: Mutex<HashSet<Vec<u8>>>,
    /// One check at a time: guesses cannot take more than one CPU.
    queue: Queue<()>,
    waiting: Semaphore,
}

impl Default for Users {
    fn default() -> Self {
        Self {
            hashes: BTreeMap::new(),
            right: Mutex::default(),
            queue: Queue::default(),
            waiting: Semaphore::new(WAITING),
        }
    }
}

/// What a check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Name and password are right.
    Right,
    /// They are not.
    Wrong,
    /// Too many others are being checked.
    Busy,
}

impl Users {
    pub(super) fn add(&mut self, name: &str, hash: &str) {
        self.hashes.insert(name.to_owned(), hash.to_owned());
    }

    /// Whether this `Authorization` header is of one of them.
    pub async fn check(self: Arc<Self>, header: &[u8]) -> Verdict {
        if self.remembers(header) {
            return Verdict::Right;
        }
        let Some((name, password)) = parse(header) else {
            return Verdict::Wrong;
        };
        let Ok(_waiting) = self.waiting.try_acquire() else {
            return Verdict::Busy;
        };
        let _turn = self.queue.lock().await;
        if self.remembers(header) {
            return Verdict::Right;
        }
        let users = Arc::clone(&self);
        // It is meant to take long: not on the thread that everything runs on.
        let check = tokio::task::spawn_blocking(move || users.is_right(&name, &password));
        if !check.await.unwrap_or(false) {
            return Verdict::Wrong;
        }
        {
            let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
            if right.len() >= REMEMBERED {
                right.clear();
            }
            right.insert(header.to_vec());
        }
        Verdict::Right
    }

    fn remembers(&self, header: &[u8]) -> bool {
        self.right
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(header)
    }

    fn is_right(&self, name: &str, password: &[u8]) -> bool {
        let hash = self.hashes.get(name);
        let is_right = bcrypt::verify(password, hash.map_or(NOBODY, String::as_str));
        hash.is_some() && is_right.unwrap_or(false)
    }
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
