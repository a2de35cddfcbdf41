//! How the time that stacks of waits take of a CPU is kept below a limit: it is measured by tenths of a second, and where it
//! would be more, only one wait in 2, 4, 8, ... has its stacks taken. Which ones is a matter of chance, so that they stand for
//! all. The first few of each thread in a tenth have them in any case, so that those that wait seldom are not missed; for these
//! there is half of the time, so that many threads do not leave the others without any.

use crate::abi::price::Price;
use crate::abi::reuse::Places;

/// What a limit is about.
pub const TENTH_NS: u64 = 100_000_000;

/// Waits of a thread in a tenth of a second that have their stacks taken while there is time left.
const FEW: u32 = 4;

/// Highest rate: one wait in 65,536.
pub const HIGHEST: u64 = 16;

/// In what [`Price::ask`] says: no stacks.
pub const SKIP: u32 = 1 << 31;
/// The same: it was not a matter of chance.
pub const IN_ANY_CASE: u32 = 1 << 30;

impl Price {
    /// Whether a wait may have its stacks taken that begins in this tenth of a second: the rate at which waits like it have, and
    /// [`SKIP`] if it is none of these.
    ///
    /// `budget_ns` is what may be spent in a tenth, `random` any number.
    #[inline(always)]
    pub fn ask(&mut self, budget_ns: u64, tenth: u64, random: u32, places: &Places) -> u32 {
        if self.tenth != tenth {
            self.begin(budget_ns, tenth);
        }
        if places.tenth.get() != tenth as u32 {
            places.tenth.set(tenth as u32);
            places.taken.set(0);
        }
        if self.rate == 0 {
            return 0;
        }
        let taken = places.taken.get();
        if taken < FEW && self.in_any_case_ns < budget_ns / 2 {
            places.taken.set(taken + 1);
            return IN_ANY_CASE;
        }
        let rate = (self.rate & 31) as u32;
        if random & ((1 << rate) - 1) == 0 {
            return rate;
        }
        if self.skipped_in != tenth {
            self.skipped_in = tenth;
            self.short_of += 1;
        }
        self.skipped += 1;
        rate | SKIP
    }

    #[inline(always)]
    fn begin(&mut self, budget_ns: u64, tenth: u64) {
        // As many as would still be within the limit. After a rest, anything may come.
        let (spent_ns, most_ns) = (self.spent_ns, self.purse(budget_ns));
        let less = if tenth.wrapping_sub(self.tenth) > 10 || spent_ns < most_ns / 32 {
            HIGHEST
        } else if spent_ns < most_ns / 8 {
            3
        } else if spent_ns < most_ns / 4 {
            2
        } else {
            u64::from(spent_ns < most_ns / 2)
        };
        self.rate = self.rate.saturating_sub(less);
        self.tenth = tenth;
        self.spent_ns = 0;
        self.in_any_case_ns = 0;
        self.next_ns = self.purse(budget_ns);
    }

    /// What may be spent by chance: all where everything is.
    #[inline(always)]
    const fn purse(&self, budget_ns: u64) -> u64 {
        if self.rate == 0 {
            budget_ns
        } else {
            budget_ns / 2
        }
    }

    /// Taking the stacks of a wait took so long, of which [`ask`](Self::ask) had said this.
    #[inline(always)]
    pub fn pay(&mut self, budget_ns: u64, answer: u32, ns: u64) {
        self.taken += 1;
        self.total_ns = self.total_ns.wrapping_add(ns);
        if answer & IN_ANY_CASE != 0 {
            self.in_any_case_ns = self.in_any_case_ns.saturating_add(ns);
            return;
        }
        self.spent_ns = self.spent_ns.saturating_add(ns);
        if self.spent_ns > self.next_ns && self.rate < HIGHEST {
            self.rate += 1;
            if self.rate > self.highest_rate {
                self.highest_rate = self.rate;
            }
            // What comes until the end of this tenth is beyond the limit.
            self.next_ns = self.spent_ns.saturating_add(budget_ns / 8);
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use proptest::prelude::*;

    use super::{SKIP, TENTH_NS};
    use crate::abi::price::Price;
    use crate::abi::reuse::Places;

    const BUDGET_NS: u64 = TENTH_NS / 50;

    /// A CPU on which a thread waits every `gap_ns` for so many tenths, whose stacks take `cost_ns` each; the part of the time
    /// that they took, and how many of the waits had them.
    fn load(price: &mut Price, from: u64, tenths: u64, gap_ns: u64, cost_ns: u64) -> (f64, f64) {
        let places = Places::default();
        let mut seed = 7_u64;
        let (mut spent, mut taken, mut waits) = (0, 0_u64, 0_u64);
        let mut at = from * TENTH_NS;
        while at < (from + tenths) * TENTH_NS {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            waits += 1;
            let answer = price.ask(BUDGET_NS, at / TENTH_NS, (seed >> 33) as u32, &places);
            if answer & SKIP == 0 {
                price.pay(BUDGET_NS, answer, cost_ns);
                spent += cost_ns;
                taken += 1;
            }
            at += gap_ns;
        }
        let part = spent as f64 / (tenths * TENTH_NS) as f64;
        (part, taken as f64 / waits as f64)
    }

    #[test]
    fn what_stays_below_the_limit_has_all_its_stacks() {
        // 1,000 waits a second of 10 us: 1 %.
        let mut price = Price::default();
        let (part, taken) = load(&mut price, 100, 20, 1_000_000, 10_000);
        assert!(
            (0.009..0.011).contains(&part) && taken == 1.0,
            "{part} {taken}"
        );
        assert_eq!((price.skipped, price.short_of, price.rate), (0, 0, 0));
    }

    #[test]
    fn a_load_that_ends_leaves_no_limit_behind() {
        let mut price = Price::default();
        load(&mut price, 100, 20, 5_000, 6_000);
        assert!(price.rate > 3, "{price:?}");
        let (_, taken) = load(&mut price, 120, 20, 2_000_000, 6_000);
        assert!(price.rate == 0 && taken > 0.9, "{price:?}, {taken}");
        load(&mut price, 140, 20, 5_000, 6_000);
        let (_, taken) = load(&mut price, 1_000, 20, 2_000_000, 6_000);
        assert!(price.rate == 0 && taken == 1.0, "{price:?}, {taken}");
    }

    #[test]
    fn who_waits_seldom_has_stacks_beside_who_waits_often() {
        let mut price = Price::default();
        let (often, seldom) = (Places::default(), Places::default());
        let mut seed = 7_u64;
        let mut of_seldom = 0;
        for n in 0..400_000_u64 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // 200,000 a second, and one each 50 ms, at any moment of the tenth.
            let tenth = 50 + n / 20_000;
            let is_seldom = n % 10_000 == 1;
            let places = if is_seldom { &seldom } else { &often };
            let answer = price.ask(BUDGET_NS, tenth, (seed >> 33) as u32, places);
            if answer & SKIP == 0 {
                of_seldom += u32::from(is_seldom);
                price.pay(BUDGET_NS, answer, 5_000);
            }
        }
        assert!(of_seldom >= 30, "{of_seldom} of 40");
    }

    #[test]
    fn many_that_wait_seldom_leave_something_for_the_others() {
        let mut price = Price::default();
        let often = Places::default();
        let mut seed = 7_u64;
        let mut of_often = 0;
        for n in 0..400_000_u64 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // 200,000 a second, every second one of a thread that has just been born.
            let newborn = Places::default();
            let places = if n % 2 == 0 { &often } else { &newborn };
            let answer = price.ask(BUDGET_NS, 50 + n / 20_000, (seed >> 33) as u32, places);
            if answer & SKIP == 0 {
                of_often += u32::from(n % 2 == 0);
                price.pay(BUDGET_NS, answer, 5_000);
            }
        }
        assert!(of_often > 1_000, "{of_often}, {price:?}");
        assert!(price.total_ns < 22 * BUDGET_NS, "{price:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Whatever the load: no more than the limit, but for the moment in which it begins, and no less than a quarter of
        /// it where there is a limit at all.
        #[test]
        fn it_is_the_limit_that_is_spent(gap_ns in 1_000_u64..20_000, cost_ns in 500_u64..60_000) {
            let mut price = Price::default();
            let all = cost_ns as f64 / gap_ns as f64;
            let (_, _) = load(&mut price, 100, 10, gap_ns, cost_ns);
            let (part, taken) = load(&mut price, 110, 100, gap_ns, cost_ns);
            let one = cost_ns as f64 / TENTH_NS as f64;
            prop_assert!(part < 0.026 + 5.0 * one, "{} of {}", part, all);
            prop_assert!(part > all.min(0.02) / 4.0, "{} of {}, {}", part, all, taken);
        }
    }
}
