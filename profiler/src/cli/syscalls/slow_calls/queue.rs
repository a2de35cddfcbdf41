//! What waits to be looked at, in lanes: one for each container.
//!
//! A container decides how long looking at its processes takes. Whoever has taken the least time so far comes first, so that
//! one who takes much waits for itself and not the others for it.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Most that waits.
const MOST: usize = 4_096;
/// Lanes that are remembered although nothing waits in them.
const LANES: usize = 1_024;

/// Something that waits, from when on it may be taken.
struct Waiting<T> {
    thing: T,
    not_before: Instant,
}

struct Lane<T> {
    waiting: VecDeque<Waiting<T>>,
    /// Time that was taken for it, and for nobody while it had nothing.
    spent: Duration,
}

/// All lanes, by number.
pub(super) struct Lanes<T> {
    lanes: HashMap<u64, Lane<T>>,
    count: usize,
    /// Time that the lane that was taken from last had spent.
    level: Duration,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<T> {
    /// This, of that lane.
    Do(u64, T),
    /// Wait until then.
    Wait(Instant),
    Nothing,
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self {
            lanes: HashMap::new(),
            count: 0,
            level: Duration::ZERO,
        }
    }
}

impl<T> Lanes<T> {
    /// Adds something; gives it back where there is no room. A lane may have as much as there is room left, so that one that
    /// is full leaves room for others.
    pub(super) fn push(&mut self, lane: u64, thing: T, not_before: Instant) -> Result<(), T> {
        let waiting = self.lanes.get(&lane).map_or(0, |lane| lane.waiting.len());
        if waiting >= MOST.saturating_sub(self.count) {
            return Err(thing);
        }
        if self.lanes.len() >= LANES {
            self.lanes.retain(|_, lane| !lane.waiting.is_empty());
        }
        let level = self.level;
        let lane = self.lanes.entry(lane).or_insert_with(|| Lane {
            waiting: VecDeque::new(),
            spent: level,
        });
        if lane.waiting.is_empty() {
            // To have wanted nothing for a while is no claim.
            lane.spent = lane.spent.max(level);
        }
        lane.waiting.push_back(Waiting { thing, not_before });
        self.count += 1;
        Ok(())
    }

    /// Takes the first of the lane that has spent the least, among those whose first may be taken now.
    pub(super) fn next(&mut self, now: Instant) -> Next<T> {
        let firsts = self.lanes.iter().filter_map(|(number, lane)| {
            let first = lane.waiting.front()?;
            Some((first.not_before.max(now), lane.spent, *number))
        });
        let Some((when, _, number)) = firsts.min() else {
            return Next::Nothing;
        };
        if when > now {
            return Next::Wait(when);
        }
        let Some(lane) = self.lanes.get_mut(&number) else {
            return Next::Nothing;
        };
        match lane.waiting.pop_front() {
            Some(first) => {
                self.count -= 1;
                self.level = self.level.max(lane.spent);
                Next::Do(number, first.thing)
            }
            None => Next::Nothing,
        }
    }

    /// What was taken of this lane took so long.
    pub(super) fn spent(&mut self, lane: u64, time: Duration) {
        if let Some(lane) = self.lanes.get_mut(&lane) {
            lane.spent += time;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn take(lanes: &mut Lanes<u32>, now: Instant) -> u64 {
        match lanes.next(now) {
            Next::Do(lane, _) => lane,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn who_takes_much_waits_for_itself() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        for number in 0..20 {
            lanes.push(1, number, now).unwrap();
        }
        assert_eq!(lanes.next(now), Next::Do(1, 0));
        lanes.spent(1, 100 * MS);
        assert_eq!(take(&mut lanes, now), 1);
        lanes.spent(1, 100 * MS);
        for number in 0..50 {
            lanes.push(2, number, now).unwrap();
        }
        // 50 that take 4 ms each are as dear as two of the others.
        let mut order = Vec::new();
        for _ in 0..50 {
            let lane = take(&mut lanes, now);
            lanes.spent(lane, if lane == 1 { 100 * MS } else { 4 * MS });
            order.push(lane);
        }
        let dear = order.iter().filter(|lane| **lane == 1).count();
        assert!((1..=3).contains(&dear), "{order:?}");
    }

    #[test]
    fn a_full_lane_leaves_room() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        let fill = |lanes: &mut Lanes<u32>, lane| {
            (0..)
                .take_while(|_| lanes.push(lane, 0, now).is_ok())
                .count()
        };
        assert_eq!(fill(&mut lanes, 1), MOST / 2);
        assert_eq!(fill(&mut lanes, 2), MOST / 4);
        assert_eq!(fill(&mut lanes, 3), MOST / 8);
        assert_eq!(fill(&mut lanes, 1), 0);
    }

    #[test]
    fn what_is_to_wait_holds_nobody_up() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        assert_eq!(lanes.next(now), Next::Nothing);
        lanes.push(1, 7, now + MS).unwrap();
        assert_eq!(lanes.next(now), Next::Wait(now + MS));
        lanes.push(2, 8, now).unwrap();
        lanes.spent(2, 100 * MS);
        assert_eq!(lanes.next(now), Next::Do(2, 8));
        assert_eq!(lanes.next(now + MS), Next::Do(1, 7));
    }
}
