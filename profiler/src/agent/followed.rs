//! What the kernel itself counts, as counters that begin at 0 with the agent and never fall.
//!
//! The kernel's own figures began when the cgroup was created, and are gone with it. So only what is new between two
//! readings is added: a cgroup that was there before counts from when it was first seen, one that was created since from
//! its creation, and a row keeps its sum when one cgroup takes the place of another.

use std::collections::HashMap;

use crate::host::cgroup::cpu::figures_between;
use crate::host::cgroup::pressure::pressure_between;
use crate::host::stolen::stolen_between;
use crate::model::{CfsFigures, Psi, Stall, Stolen};

/// What the kernel says of a cgroup at one moment, since it was created.
#[derive(Clone, Debug)]
pub(super) struct Reported {
    /// Path of the cgroup.
    pub(super) path: String,
    /// Its kernfs id: another one at the same path is another cgroup.
    pub(super) id: u64,
    /// It was created since the agent began.
    pub(super) is_new: bool,
    /// From `cpu.stat`.
    pub(super) cfs: Option<CfsFigures>,
    /// From its pressure files.
    pub(super) psi: Option<Psi>,
}

/// Counters of a row.
#[derive(Clone, Debug, Default)]
pub(super) struct Followed {
    last: HashMap<String, Reported>,
    /// The sum; absent until a cgroup of the row had any.
    pub(super) cfs: Option<CfsFigures>,
    /// The same of stall times.
    pub(super) psi: Option<Psi>,
}

impl Followed {
    /// Adds what is new of each cgroup that the row has now.
    pub(super) fn follow(&mut self, now: Vec<Reported>) {
        let mut last = std::mem::take(&mut self.last);
        for mut now in now {
            let before = last.remove(&now.path);
            let is_another = before.as_ref().is_some_and(|before| before.id != now.id);
            let before = before.filter(|_| !is_another);
            // One that took another's place since the last reading is as new as one whose birth was seen.
            let from_nothing = before.is_none() && (now.is_new || is_another);
            if let Some(cfs) = now.cfs {
                let then = before.as_ref().and_then(|before| before.cfs);
                let then = then.unwrap_or(if from_nothing {
                    CfsFigures::default()
                } else {
                    cfs
                });
                add_cfs(self.cfs.get_or_insert_default(), figures_between(then, cfs));
            }
            if let Some(psi) = now.psi {
                let then = before.as_ref().and_then(|before| before.psi);
                let then = then.unwrap_or(if from_nothing { nothing_of(psi) } else { psi });
                add_psi(self.psi.get_or_insert_default(), then, psi);
            }
            // A file that cannot be read for once is no reason to forget what it said.
            if let Some(before) = before {
                now.cfs = now.cfs.or(before.cfs);
                now.psi = now.psi.or(before.psi);
            }
            self.last.insert(now.path.clone(), now);
        }
    }

    /// Takes over the counters of a row that has another name now.
    pub(super) fn absorb(&mut self, other: Self) {
        if let Some(cfs) = other.cfs {
            add_cfs(self.cfs.get_or_insert_default(), cfs);
        }
        if let Some(psi) = other.psi {
            add_psi(self.psi.get_or_insert_default(), nothing_of(psi), psi);
        }
        for (path, reported) in other.last {
            self.last.entry(path).or_insert(reported);
        }
    }
}

fn add_cfs(sum: &mut CfsFigures, more: CfsFigures) {
    sum.periods += more.periods;
    sum.throttled_periods += more.throttled_periods;
    sum.throttled_ns += more.throttled_ns;
    if let Some(ns) = more.usage_ns {
        *sum.usage_ns.get_or_insert_default() += ns;
    }
    if let Some(ns) = more.throttled_local_ns {
        *sum.throttled_local_ns.get_or_insert_default() += ns;
    }
}

/// A resource whose file came since has no beginning: it counts from now.
fn add_psi(sum: &mut Psi, then: Psi, now: Psi) {
    let then = Psi {
        cpu: then.cpu.or(now.cpu),
        io: then.io.or(now.io),
        memory: then.memory.or(now.memory),
    };
    let more = pressure_between(then, now);
    for (sum, more) in [
        (&mut sum.cpu, more.cpu),
        (&mut sum.io, more.io),
        (&mut sum.memory, more.memory),
    ] {
        if let Some(more) = more {
            let sum = sum.get_or_insert_default();
            sum.some_ns += more.some_ns;
            sum.full_ns += more.full_ns;
        }
    }
}

/// 0 for each resource that there is.
fn nothing_of(psi: Psi) -> Psi {
    let nothing = |stall: Option<Stall>| stall.map(|_| Stall::default());
    Psi {
        cpu: nothing(psi.cpu),
        io: nothing(psi.io),
        memory: nothing(psi.memory),
    }
}

/// CPU time that no thread had, since this began to follow it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FollowedStolen {
    last: Option<Stolen>,
    sum: Stolen,
}

impl FollowedStolen {
    /// Adds what is new; `None` where the kernel does not say.
    pub(super) fn follow(&mut self, now: Option<Stolen>) -> Option<Stolen> {
        let now = now?;
        let more = stolen_between(self.last.unwrap_or(now), now);
        self.last = Some(now);
        self.sum.hypervisor_ns += more.hypervisor_ns;
        self.sum.interrupts_ns += more.interrupts_ns;
        Some(self.sum)
    }
}

#[cfg(test)]
mod tests {
    use super::{Followed, FollowedStolen, Reported};
    use crate::model::{CfsFigures, Psi, Stall, Stolen};

    fn reported(path: &str, id: u64, is_new: bool, count: u64) -> Reported {
        Reported {
            path: path.to_owned(),
            id,
            is_new,
            cfs: Some(CfsFigures {
                periods: count,
                throttled_periods: count / 2,
                throttled_ns: count * 1_000,
                ..CfsFigures::default()
            }),
            psi: Some(Psi {
                cpu: Some(Stall {
                    some_ns: count * 10,
                    full_ns: count,
                }),
                ..Psi::default()
            }),
        }
    }

    /// Periods after each of these readings; the other counters say the same.
    fn periods(readings: Vec<Vec<Reported>>) -> Vec<u64> {
        let mut followed = Followed::default();
        let told = readings.into_iter().map(|reading| {
            followed.follow(reading);
            let cfs = followed.cfs.unwrap_or_default();
            let stall = followed.psi.unwrap_or_default().cpu.unwrap_or_default();
            assert_eq!(cfs.throttled_ns, cfs.periods * 1_000);
            assert_eq!(
                (stall.some_ns, stall.full_ns),
                (cfs.periods * 10, cfs.periods)
            );
            cfs.periods
        });
        told.collect()
    }

    #[test]
    fn what_was_before_the_agent_does_not_count() {
        let at = |count| vec![reported("/a", 1, false, count)];
        assert_eq!(periods(vec![at(5_622), at(5_630), at(5_640)]), [0, 8, 18]);
    }

    #[test]
    fn what_was_born_since_counts_from_its_birth() {
        let at = |count| vec![reported("/a", 1, true, count)];
        assert_eq!(periods(vec![at(20), at(30)]), [20, 30]);
    }

    #[test]
    fn a_restart_between_two_readings() {
        // In the same cgroup's place, and at another path; noticed or not.
        let first = || vec![reported("/a", 1, false, 1_000)];
        let then = |id, path: &str, is_new, count| vec![reported(path, id, is_new, count)];
        assert_eq!(
            periods(vec![
                first(),
                then(1, "/a", false, 1_100),
                then(2, "/a", false, 7),
                then(2, "/a", false, 9)
            ]),
            [0, 100, 107, 109]
        );
        assert_eq!(
            periods(vec![
                first(),
                then(1, "/a", false, 1_100),
                then(2, "/b", true, 7),
                vec![],
                then(3, "/c", true, 3)
            ]),
            [0, 100, 107, 107, 110]
        );
        // More than the old one had ever had.
        assert_eq!(
            periods(vec![first(), then(2, "/a", true, 5_000)]),
            [0, 5_000]
        );
    }

    #[test]
    fn a_counter_that_goes_backwards() {
        let at = |count| vec![reported("/a", 1, false, count)];
        assert_eq!(
            periods(vec![at(100), at(110), at(40), at(45)]),
            [0, 10, 10, 15]
        );
    }

    #[test]
    fn several_cgroups_in_one_row() {
        let a = |count| reported("/a", 1, false, count);
        let b = |count| reported("/b", 2, true, count);
        assert_eq!(
            periods(vec![
                vec![a(10)],
                vec![a(20), b(5)],
                vec![b(6), a(30)],
                // One ends, and is not what the other is compared with.
                vec![b(7)],
                vec![],
                vec![b(9)],
            ]),
            [0, 15, 26, 27, 27, 36]
        );
    }

    #[test]
    fn what_cannot_be_read_for_once_is_made_up_for() {
        let mut gap = reported("/a", 1, false, 0);
        (gap.cfs, gap.psi) = (None, None);
        let at = |count| vec![reported("/a", 1, false, count)];
        assert_eq!(
            periods(vec![at(10), at(20), vec![gap], at(50)]),
            [0, 10, 10, 40]
        );
    }

    #[test]
    fn a_row_that_gets_another_name_keeps_its_counters() {
        let (mut old, mut new) = (Followed::default(), Followed::default());
        old.follow(vec![reported("/a", 1, true, 12)]);
        new.follow(vec![reported("/b", 2, true, 30)]);
        new.absorb(old);
        new.follow(vec![
            reported("/a", 1, true, 15),
            reported("/b", 2, true, 30),
        ]);
        assert_eq!(new.cfs.unwrap().periods, 12 + 30 + 3);
    }

    #[test]
    fn stolen_time_since_the_beginning() {
        let mut followed = FollowedStolen::default();
        let mut at = |hypervisor_ns| {
            let now = Stolen {
                hypervisor_ns,
                interrupts_ns: 5,
            };
            followed.follow(Some(now)).unwrap().hypervisor_ns
        };
        // Some hypervisors let it go backwards.
        assert_eq!([at(700), at(750), at(740), at(745)], [0, 50, 50, 55]);
        assert!(followed.follow(None).is_none());
    }
}
