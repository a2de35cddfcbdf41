//! A thread that waits again where it has waited before has the stacks of then: the same registers in the same call are the
//! same way there, but for rare cases. So some of these waits have their stacks taken all the same, and a thread of which
//! too many are others has them taken each time.

use crate::abi::reuse::{Checks, PLACES, Place, Places};
use crate::opaque::opaque;

/// One wait in so many at known places is checked.
const CHECKED: u64 = 128;
/// Beyond this part of checks, in percent, a thread's places are not used any more.
const MOST_DIFFERENT: u32 = 1;
/// Fewer may be chance.
const FEWEST_DIFFERENT: u32 = 3;

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const MULTIPLIER: u64 = 0xff51_afd7_ed55_8ccd;

/// Adds a word to a hash.
#[inline(always)]
const fn mixed(hash: u64, word: u64) -> u64 {
    let hash = (hash ^ word).wrapping_mul(MULTIPLIER);
    hash ^ hash >> 32
}

/// The id of a place, never 0: of the registers `ip`, `sp` and `bp` of user mode, of a program image and the call that the
/// thread is in, and of why it leaves the CPU.
#[inline(always)]
#[must_use]
pub fn id([ip, sp, bp]: [u64; 3], image_and_call: u64, why: u64) -> u64 {
    let mut hash = mixed(SEED, ip);
    hash = mixed(hash, sp);
    hash = mixed(hash, bp);
    hash = mixed(hash, image_and_call);
    mixed(hash, why) | 1
}

/// Whether a wait that begins now at a known place is checked: as good as random, for the clock's last digits are.
#[inline(always)]
#[must_use]
pub const fn is_checked(now_ns: u64) -> bool {
    now_ns.wrapping_mul(MULTIPLIER) >> 32 & (CHECKED - 1) == 0
}

/// What [`Places::find`] says where there is none.
pub const UNKNOWN: u32 = u32::MAX;

/// Most that a place is worth.
const MOST_WORTH: u32 = 16;

impl Places {
    /// Number of the place with this id, if its stacks were taken after `since_ns`, or else [`UNKNOWN`].
    #[inline(always)]
    #[must_use]
    pub fn find(&self, id: u64, since_ns: u64) -> u32 {
        let mut found = UNKNOWN;
        let mut number = 0;
        while number < PLACES {
            let place = &self.places[number];
            if place.id.get() == id && place.taken_ns.get() >= since_ns {
                found = number as u32;
            }
            number += 1;
        }
        found
    }

    /// The place with this number.
    #[inline(always)]
    #[must_use]
    pub fn at(&self, number: u32) -> &Place {
        let index = opaque(number.into()) as usize & (PLACES - 1);
        // SAFETY: the index is below the length of the array. (Slices would bring a check that the verifier needs not.)
        unsafe { &*self.places.as_ptr().add(index) }
    }

    /// Makes room for the place with this id: any other has to go, unless it is worth something; it is worth less then.
    /// [`UNKNOWN`] if there is no room. Not the longest unused: those that come in turn would all go before they come again.
    #[inline(always)]
    #[must_use]
    pub fn make_room(&self, id: u64) -> u32 {
        let mut number = 0;
        while number < PLACES {
            let before = self.places[number].id.get();
            if before == 0 || before == id {
                return number as u32;
            }
            number += 1;
        }
        self.turn.set(self.turn.get().wrapping_add(1));
        let any = (mixed(id, self.turn.get().into()) >> 32) as u32 & (PLACES as u32 - 1);
        let worth = &self.at(any).worth;
        if worth.get() == 0 {
            return any;
        }
        worth.set(worth.get() - 1);
        UNKNOWN
    }

    /// How such waits were checked.
    #[inline(always)]
    #[must_use]
    pub const fn checks(&self, is_forced: bool) -> &Checks {
        let [of_itself, forced] = &self.checks;
        if is_forced { forced } else { of_itself }
    }
}

impl Checks {
    /// Whether places say which stacks such waits of this thread have.
    #[inline(always)]
    #[must_use]
    pub fn are_good(&self) -> bool {
        let differed = self.differed.get();
        differed < FEWEST_DIFFERENT
            || differed.saturating_mul(100) <= self.checked.get().saturating_mul(MOST_DIFFERENT)
    }

    /// Notes the outcome of a check.
    #[inline(always)]
    pub fn add(&self, is_same: bool) {
        self.checked.set(self.checked.get().saturating_add(1));
        if !is_same {
            self.differed.set(self.differed.get().saturating_add(1));
        }
    }
}

impl Place {
    /// A thread waits here again.
    #[inline(always)]
    pub fn is_used(&self) {
        let worth = self.worth.get();
        if worth < MOST_WORTH {
            self.worth.set(worth + 1);
        }
    }
}

const _: () = assert!(CHECKED.is_power_of_two() && PLACES.is_power_of_two());

#[cfg(test)]
mod tests {
    use super::{UNKNOWN, id, is_checked};
    use crate::abi::reuse::Places;

    #[test]
    fn whatever_tells_waits_apart_tells_their_places_apart() {
        let base = id([1, 2, 3], 4, 5);
        assert_eq!(base, id([1, 2, 3], 4, 5));
        for other in [
            id([0, 2, 3], 4, 5),
            id([2, 1, 3], 4, 5),
            id([1, 2, 4], 4, 5),
            id([1, 2, 3], 5, 4),
            id([1, 2, 3], 4, 6),
        ] {
            assert_ne!(base, other);
        }
    }

    fn put(places: &Places, id: u64, taken_ns: u64) -> bool {
        let number = places.make_room(id);
        if number == UNKNOWN {
            return false;
        }
        let place = places.at(number);
        place.id.set(id);
        place.taken_ns.set(taken_ns);
        place.worth.set(0);
        true
    }

    /// A wait at this place, which is put there if it is not known; whether it was.
    fn wait(places: &Places, id: u64) -> bool {
        let number = places.find(id, 0);
        if number == UNKNOWN {
            put(places, id, 1);
            return false;
        }
        places.at(number).is_used();
        true
    }

    #[test]
    fn a_place_is_known_until_it_is_too_old() {
        let places = Places::default();
        let wait = id([1, 2, 3], 4, 5);
        assert_eq!(places.find(wait, 0), UNKNOWN, "nothing is kept yet");
        assert!(put(&places, wait, 100));
        assert_eq!(places.at(places.find(wait, 100)).id.get(), wait);
        assert_eq!(places.find(wait, 101), UNKNOWN, "wanted only since");
        assert_eq!(places.find(wait ^ 2, 0), UNKNOWN);
    }

    #[test]
    fn places_that_are_used_outlast_those_that_are_not() {
        let places = Places::default();
        let used = [1, 2, 3].map(|ip| id([ip, 0, 0], 0, 0));
        let mut known = 0;
        for round in 0..1_000 {
            for place in used {
                known += u32::from(wait(&places, place));
                // Between two waits there is one at a place that never comes again.
                wait(&places, id([9, round, place], 0, 0));
            }
        }
        assert!(known > 2_900, "{known} of 3,000");
        // What is not used any more makes room.
        let new = [5, 6, 7].map(|ip| id([ip, 0, 0], 0, 0));
        let known = (0..1_000).flat_map(|_| new).filter(|it| wait(&places, *it));
        let known = known.count();
        assert!(known > 2_900, "{known} of 3,000");
    }

    #[test]
    fn one_in_128_is_checked_whatever_the_beat() {
        for beat in [1_u64, 1_000, 4_096, 1_000_000] {
            let checked = (0..200_000).filter(|n| is_checked(7 + n * beat)).count();
            assert!((1_200..2_000).contains(&checked), "{beat}: {checked}");
        }
    }

    #[test]
    fn a_thread_whose_stacks_differ_is_not_trusted() {
        let places = Places::default();
        let checks = places.checks(false);
        checks.add(false);
        checks.add(false);
        assert!(checks.are_good(), "it may be chance");
        for _ in 0..297 {
            checks.add(true);
        }
        checks.add(false);
        assert!(checks.are_good(), "3 of 300 are a hundredth");
        checks.add(false);
        assert!(!checks.are_good());
        assert!(places.checks(true).are_good(), "other waits are others");
    }
}
