//! Rows over generated histories of a host: whatever happens, nothing that is told shrinks, and all of it adds up.

mod host;

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::Limits;
use crate::model::GroupKey;
use host::{Event, Host, event};

const LINGER: Duration = Duration::from_secs(120);
const LIMITS: Limits = Limits {
    rows: 8,
    culprits: 2,
    linger: LINGER,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn nothing_shrinks_and_all_of_it_adds_up(events in proptest::collection::vec(event(), 1..200)) {
        let mut host = Host::new(LIMITS);
        for event in events {
            host.happens(event);
        }
        host.read();
    }

    /// Rows that are not there any more take their calls with them: so with room for all, and time without end.
    #[test]
    fn calls_add_up(events in proptest::collection::vec(event(), 1..200)) {
        let mut host = Host::new(Limits { rows: 1_000, linger: LINGER * 1_000, ..LIMITS });
        for event in events {
            if !matches!(event, Event::Limit(..) | Event::Regroup(_)) {
                host.happens(event);
            }
        }
        host.read();
        prop_assert_eq!(host.last.calls, host.truth_calls);
    }
}

/// Each delays one that lives, and is delayed by it.
#[test]
fn a_hundred_thousand_containers_that_ended_leave_nothing() {
    let mut host = Host::new(Limits {
        rows: 2_000,
        culprits: 5,
        linger: LINGER,
    });
    host.happens(Event::Birth(10, 0));
    let victim = host.key(10).unwrap_or_default();
    let (mut most, mut named) = (0, BTreeSet::new());
    for number in 0..100_000_u32 {
        let slot = 11 + number % 7;
        host.happens(Event::Birth(slot, 1));
        host.wait(10, slot, 1_000_000, 1_000_000);
        host.wait(slot, 10, 500, 500);
        host.happens(Event::Gone(slot));
        let job = GroupKey {
            container: format!("job-{number}"),
            ..GroupKey::default()
        };
        host.retire_as(slot, |it| {
            Some(if it == slot {
                job.clone()
            } else {
                victim.clone()
            })
        });
        if number % 200 == 199 {
            host.now += Duration::from_secs(15);
            host.add();
            most = most.max(host.rows.len());
            let id = host.rows.ids[&victim];
            let by = host
                .rows
                .sums(id)
                .map(|it| it.delayed_by)
                .unwrap_or_default();
            named.extend(by.into_iter().map(|(delayer, _)| delayer));
        }
    }
    // They linger for two minutes, in which there are 1,600 of them: an entry each in four maps.
    assert!(most < 10_000, "{most} entries");
    assert!(named.len() > 100, "{} took turns", named.len());
    host.happens(Event::Read(1));
    host.happens(Event::Read(200));
    let left = host.rows.len();
    assert!(left < 40, "{left} entries are left of all of them");
}
