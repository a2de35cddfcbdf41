//! How often an address may be wrong.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Wrong passwords that an address may send at once, and after how long one more.
pub(super) const BURST: u32 = 10;
const ONE_MORE: Duration = Duration::from_secs(1);
/// Addresses that are remembered.
const REMEMBERED: usize = 1_024;

/// Whom a check waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Addresses that were right before.
    Known,
    /// The others.
    Unknown,
}

/// What is remembered of each address. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Guesses(Arc<Mutex<HashMap<IpAddr, Address>>>);

#[derive(Clone, Copy, Debug)]
struct Address {
    /// Guesses that it may still make, as of then.
    left: u32,
    at: Instant,
    is_known: bool,
    is_checked: bool,
}

/// An address' check in progress; a wrong one, unless told otherwise.
#[derive(Debug)]
pub(super) struct Turn {
    guesses: Guesses,
    address: IpAddr,
    lane: Lane,
}

impl Guesses {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Address>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The address' turn; `None` if it has one already, or was wrong too often.
    pub(super) fn begin(&self, from: IpAddr, now: Instant) -> Option<Turn> {
        let address = whose(from);
        let mut all = self.lock();
        if !all.contains_key(&address) && all.len() >= REMEMBERED {
            // Of those that are no loss, the one that asked least lately.
            let oldest = all
                .iter()
                .filter(|(_, it)| !it.is_checked)
                .min_by_key(|(_, it)| (it.is_known, it.at))
                .map(|(address, _)| *address)?;
            all.remove(&oldest);
        }
        let it = all.entry(address).or_insert(Address {
            left: BURST,
            at: now,
            is_known: false,
            is_checked: false,
        });
        let more = now.saturating_duration_since(it.at).as_millis() / ONE_MORE.as_millis();
        if more > 0 {
            it.left = BURST.min(it.left.saturating_add(u32::try_from(more).unwrap_or(BURST)));
            it.at = now;
        }
        if it.is_checked || it.left == 0 {
            return None;
        }
        it.left -= 1;
        it.is_checked = true;
        let lane = if it.is_known {
            Lane::Known
        } else {
            Lane::Unknown
        };
        drop(all);
        Some(Turn {
            guesses: self.clone(),
            address,
            lane,
        })
    }

    /// Takes over what was remembered before a reload.
    pub(super) fn inherit(&self, before: &Self) {
        let before = before.lock().clone();
        self.lock().extend(before.into_iter().map(|(address, it)| {
            let it = Address {
                is_checked: false,
                ..it
            };
            (address, it)
        }));
    }
}

impl Turn {
    pub(super) const fn lane(&self) -> Lane {
        self.lane
    }

    /// It was no guess.
    pub(super) fn was_right(&self) {
        if let Some(it) = self.guesses.lock().get_mut(&self.address) {
            it.left = BURST.min(it.left + 1);
            it.is_known = true;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(it) = self.guesses.lock().get_mut(&self.address) {
            it.is_checked = false;
        }
    }
}

/// A host of IPv6 has at least a /64 to itself.
fn whose(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(it) => {
            let [a, b, c, d, ..] = it.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{BURST, Guesses, Lane, ONE_MORE, REMEMBERED};

    #[test]
    fn one_turn_at_a_time_and_few_wrong_ones() {
        let guesses = Guesses::default();
        let now = Instant::now();
        let from = "10.0.0.1".parse().unwrap();
        let turn = guesses.begin(from, now).unwrap();
        assert!(guesses.begin(from, now).is_none());
        // The same host, as IPv6 has it.
        assert!(
            guesses
                .begin("::ffff:10.0.0.1".parse().unwrap(), now)
                .is_none()
        );
        assert_eq!(turn.lane(), Lane::Unknown);
        turn.was_right();
        drop(turn);
        for _ in 0..BURST {
            assert_eq!(guesses.begin(from, now).unwrap().lane(), Lane::Known);
        }
        assert!(guesses.begin(from, now).is_none());
        assert!(guesses.begin("2001:db8::1".parse().unwrap(), now).is_some());
        for _ in 1..BURST {
            drop(guesses.begin("2001:db8::2".parse().unwrap(), now).unwrap());
        }
        assert!(guesses.begin("2001:db8::3".parse().unwrap(), now).is_none());
        // One more each second.
        let later = now + 2 * ONE_MORE;
        assert!(guesses.begin(from, later).is_some());
        assert!(guesses.begin(from, later).is_some());
        assert!(guesses.begin(from, later).is_none());
    }

    #[test]
    fn any_number_of_addresses_is_forgotten_before_one_that_was_right() {
        let guesses = Guesses::default();
        let now = Instant::now();
        let from = "10.0.0.1".parse().unwrap();
        guesses.begin(from, now).unwrap().was_right();
        for number in 0..4 * REMEMBERED as u32 {
            drop(guesses.begin(std::net::Ipv4Addr::from_bits(number).into(), now));
        }
        assert_eq!(guesses.lock().len(), REMEMBERED);
        assert_eq!(guesses.begin(from, now).unwrap().lane(), Lane::Known);
    }
}
