//! What the kernel itself counts, as counters that begin at 0 with the agent and never fall.
//!
//! The kernel's own figures began when the cgroup was created, and are gone with it. So only what is new between two
//! readings is added: a cgroup that was there before counts from when it was first seen, one that was created since from
//! its creation, and a row keeps its sum when one cgroup takes the place of another.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::host::cgroup::cpu::figures_between;
use crate::host::stolen::stolen_between;
use crate::model::{CfsFigures, Measured, Op, Stolen, Sums as _};

/// A cgroup in which nobody did anything for so long has no period of a quota in progress: they last a second at most, and
/// one goes on when everybody has gone to sleep.
const AT_REST: Duration = Duration::from_secs(3);

/// What the kernel says of a cgroup at one moment, since it was created.
#[derive(Clone, Debug)]
pub(super) struct Reported {
    /// Its kernfs id: another one at the same path is another cgroup.
    pub(super) id: u64,
    /// It was created since the agent began.
    pub(super) is_new: bool,
    /// From `cpu.stat`.
    pub(super) cfs: Option<CfsFigures>,
    /// From other files of the cgroup.
    pub(super) measured: Measured,
}

/// What is new of a cgroup; absent what it does not have.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Increase {
    cfs: Option<CfsFigures>,
    measured: Measured,
}

impl Increase {
    /// Adds it to the sums of a row.
    pub(super) fn add_to(&self, cfs: &mut Option<CfsFigures>, measured: &mut Measured) {
        if let Some(more) = self.cfs {
            add_cfs(cfs.get_or_insert_default(), more);
        }
        measured.combine(&self.measured, Op::Add);
    }

    fn is_nothing(&self) -> bool {
        let Self { cfs, measured } = self;
        cfs.is_none_or(|it| it.periods + it.throttled_periods + it.throttled_ns == 0)
            && *measured == measured.zeroed()
    }
}

#[derive(Clone, Debug)]
struct Last {
    reported: Reported,
    /// When it was last seen to do anything.
    active: Instant,
    /// It has not done anything for a while, and its counters stand still: they are as they were until it does.
    at_rest: bool,
}

/// Every cgroup whose counters are followed.
#[derive(Debug, Default)]
pub(super) struct Followed {
    last: HashMap<Arc<str>, Last>,
}

impl Followed {
    /// Whether the counters of a cgroup have to be read; `is_active` says whether anybody in it did anything since the last
    /// time.
    pub(super) fn is_due(&mut self, path: &str, is_active: bool, now: Instant) -> bool {
        let Some(last) = self.last.get_mut(path) else {
            return true;
        };
        if is_active {
            (last.active, last.at_rest) = (now, false);
        }
        !last.at_rest
    }

    /// What is new of a cgroup; `now` is `None` where its counters were not due.
    pub(super) fn advance(
        &mut self,
        path: &Arc<str>,
        now: Option<Reported>,
        at: Instant,
    ) -> Increase {
        let before = self.last.get(path);
        let Some(mut now) = now else {
            // A row that has it only now has its counters, at 0.
            return before.map_or_else(Increase::default, |it| Increase {
                cfs: it.reported.cfs.map(|_| CfsFigures::default()),
                measured: it.reported.measured.zeroed(),
            });
        };
        let same = before.filter(|before| before.reported.id == now.id);
        // One that took another's place since the last reading is as new as one whose birth was seen.
        let from_nothing = same.is_none() && (now.is_new || before.is_some());
        let cfs = now.cfs.map(|cfs| {
            let then = same.and_then(|before| before.reported.cfs);
            let then = then.unwrap_or(if from_nothing {
                CfsFigures::default()
            } else {
                cfs
            });
            figures_between(then, cfs)
        });
        // What has no beginning, as files that came since, counts from now: at 0.
        let mut measured = now.measured.zeroed();
        match same {
            Some(before) => {
                let mut then = before.reported.measured.clone();
                then.fill_in(now.measured.clone());
                measured.combine(&now.measured.since(&then), Op::Add);
            }
            None if from_nothing => measured = now.measured.clone(),
            None => {}
        }
        let increase = Increase { cfs, measured };
        // A file that cannot be read for once is no reason to forget what it said.
        if let Some(before) = same {
            now.cfs = now.cfs.or(before.reported.cfs);
            now.measured.fill_in(before.reported.measured.clone());
        }
        let active = same.map_or(at, |before| before.active);
        let last = Last {
            reported: now,
            active,
            at_rest: increase.is_nothing() && at - active >= AT_REST,
        };
        self.last.insert(Arc::clone(path), last);
        increase
    }

    /// Forgets all other cgroups.
    pub(super) fn keep_only(&mut self, is_kept: impl Fn(&str) -> bool) {
        self.last.retain(|path, _| is_kept(path));
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
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::{AT_REST, Followed, FollowedStolen, Increase, Reported};
    use crate::model::measured::Tally;
    use crate::model::{CfsFigures, Measured, Stolen};

    fn reported(path: &str, id: u64, is_new: bool, count: u64) -> (Arc<str>, Reported) {
        let mut measured = Measured::default();
        measured.insert(Tally {
            sum: count * 10,
            optional: Some(count),
            ..Tally::default()
        });
        let reported = Reported {
            id,
            is_new,
            cfs: Some(CfsFigures {
                periods: count,
                throttled_periods: count / 2,
                throttled_ns: count * 1_000,
                ..CfsFigures::default()
            }),
            measured,
        };
        (Arc::from(path), reported)
    }

    /// Periods of one row after each of these readings; the other counters say the same.
    fn periods(readings: Vec<Vec<(Arc<str>, Reported)>>) -> Vec<u64> {
        let mut followed = Followed::default();
        let (mut cfs, mut measured) = (None, Measured::default());
        let now = Instant::now();
        let told = readings.into_iter().map(|reading| {
            for (path, reported) in &reading {
                assert!(followed.is_due(path, false, now));
                followed
                    .advance(path, Some(reported.clone()), now)
                    .add_to(&mut cfs, &mut measured);
            }
            followed.keep_only(|path| reading.iter().any(|(it, _)| **it == *path));
            let cfs = cfs.unwrap_or_default();
            let tally = measured.get::<Tally>().cloned().unwrap_or_default();
            assert_eq!(cfs.throttled_ns, cfs.periods * 1_000);
            assert_eq!(
                (tally.sum, tally.optional.unwrap_or_default()),
                (cfs.periods * 10, cfs.periods)
            );
            cfs.periods
        });
        told.collect()
    }

    #[test]
    fn a_cgroup_at_rest_is_not_read_until_somebody_does_something() {
        let mut followed = Followed::default();
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut read = |seconds, is_active, count| {
            let (path, now) = reported("/a", 1, true, count);
            let due = followed.is_due(&path, is_active, at(seconds));
            let now = due.then_some(now);
            let (mut cfs, mut measured) = (None, Measured::default());
            followed
                .advance(&path, now, at(seconds))
                .add_to(&mut cfs, &mut measured);
            (due, cfs.map(|it: CfsFigures| it.periods))
        };
        assert_eq!(read(0, true, 10), (true, Some(10)));
        // A period was in progress.
        assert_eq!(read(1, false, 11), (true, Some(1)));
        assert_eq!(read(2, false, 11), (true, Some(0)));
        // Nobody runs, but a counter moves: io_uring waits count as pressure.
        assert_eq!(read(5, false, 12), (true, Some(1)));
        assert_eq!(read(6, false, 12), (true, Some(0)));
        assert_eq!(read(20, false, 12), (false, Some(0)));
        assert_eq!(read(21, true, 15), (true, Some(3)));
        assert_eq!(read(22, false, 15), (true, Some(0)));
        assert_eq!(read(21 + AT_REST.as_secs(), false, 15), (true, Some(0)));
        assert_eq!(read(40, false, 15), (false, Some(0)));
        assert_eq!(
            followed.advance(&Arc::from("/b"), None, at(41)),
            Increase::default()
        );
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
        (gap.1.cfs, gap.1.measured) = (None, Measured::default());
        let at = |count| vec![reported("/a", 1, false, count)];
        assert_eq!(
            periods(vec![at(10), at(20), vec![gap], at(50)]),
            [0, 10, 10, 40]
        );
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
