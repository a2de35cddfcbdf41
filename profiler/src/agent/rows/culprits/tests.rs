//! Names take turns, and what is told adds up.

use std::time::Duration;

use super::{Culprits, Who};

const SECOND: Duration = Duration::from_secs(1);
const S: u64 = 1_000_000_000;

/// Settles after a second, two names at most; what is told, sorted.
fn settle(
    culprits: &mut Culprits<char>,
    new: &[(Who<char>, u64)],
    waited: u64,
) -> Vec<(Who<char>, u64)> {
    for (who, s) in new {
        culprits.add(*who, s * S, 2);
    }
    culprits.settle(waited * S, SECOND, 2);
    let mut told: Vec<_> = culprits.told().map(|(who, ns)| (who, ns / S)).collect();
    told.sort_unstable();
    told
}

#[test]
fn the_worst_are_named_ours_take_no_place_and_all_adds_up() {
    let new = [
        (Who::Row('a'), 10),
        (Who::Row('b'), 30),
        (Who::Siblings, 5),
        (Who::Row('c'), 20),
        (Who::Kernel, 2),
    ];
    let told = settle(&mut Culprits::default(), &new, 70);
    let expected = [
        (Who::Siblings, 5),
        (Who::Kernel, 2),
        (Who::Row('b'), 30),
        (Who::Row('c'), 20),
        // 10 of `a`, and 3 that nobody explains.
        (Who::Other, 13),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_later_neighbour_that_is_worse_gets_a_name() {
    let mut culprits = Culprits::default();
    settle(
        &mut culprits,
        &[(Who::Row('a'), 10), (Who::Row('b'), 30)],
        40,
    );
    // Not yet twice as bad as `a`: what it has goes to the others for good.
    let told = settle(&mut culprits, &[(Who::Row('c'), 15)], 55);
    assert_eq!(
        told,
        [(Who::Row('a'), 10), (Who::Row('b'), 30), (Who::Other, 15)]
    );
    let told = settle(&mut culprits, &[(Who::Row('c'), 6)], 61);
    let expected = [
        (Who::Row('b'), 30),
        (Who::Row('c'), 6),
        (Who::Other, 15),
        (Who::Former, 10),
    ];
    assert_eq!(told, expected);
    // `a` is back, from 0.
    let told = settle(&mut culprits, &[(Who::Row('a'), 100)], 161);
    let expected = [
        (Who::Row('a'), 100),
        (Who::Row('b'), 30),
        (Who::Other, 15),
        (Who::Former, 16),
    ];
    assert_eq!(told, expected);
}

#[test]
fn what_was_long_ago_counts_less() {
    let mut culprits = Culprits::default();
    settle(
        &mut culprits,
        &[(Who::Row('a'), 3_600), (Who::Row('b'), 3_600)],
        7_200,
    );
    culprits.settle(7_200 * S, Duration::from_secs(3_000), 2);
    // An hour's delay counts a thousandth ten half-lives later.
    let told = settle(&mut culprits, &[(Who::Row('c'), 8)], 7_208);
    assert!(told.contains(&(Who::Row('c'), 8)), "{told:?}");
    assert!(told.contains(&(Who::Former, 3_600)), "{told:?}");
}

#[test]
fn what_is_explained_before_it_is_counted_waits() {
    let mut culprits = Culprits::default();
    let told = settle(&mut culprits, &[(Who::Row('a'), 10)], 7);
    assert_eq!(told, [(Who::Row('a'), 7), (Who::Other, 0)]);
    let told = settle(&mut culprits, &[], 30);
    assert_eq!(told, [(Who::Row('a'), 10), (Who::Other, 20)]);
}

#[test]
fn fewer_places_and_rows_that_are_gone() {
    let mut culprits = Culprits::default();
    settle(
        &mut culprits,
        &[(Who::Row('a'), 10), (Who::Row('b'), 30)],
        40,
    );
    culprits.settle(41 * S, SECOND, 1);
    let told = |culprits: &Culprits<char>| {
        let mut told: Vec<_> = culprits.told().map(|(who, ns)| (who, ns / S)).collect();
        told.sort_unstable();
        told
    };
    let expected = [(Who::Row('b'), 30), (Who::Other, 1), (Who::Former, 10)];
    assert_eq!(told(&culprits), expected);
    culprits.forget(|id| id == 'b');
    assert_eq!(told(&culprits), [(Who::Other, 1), (Who::Former, 40)]);
}

#[test]
fn any_number_of_neighbours_takes_little_memory() {
    let mut culprits = Culprits::default();
    for id in 0..100_000_u64 {
        culprits.add(Who::Row(id), S + id % 7, 5);
        if id % 100 == 99 {
            culprits.settle((id + 1) * 2 * S, SECOND, 5);
            let told: u64 = culprits.told().map(|(_, ns)| ns).sum();
            assert_eq!(told, (id + 1) * 2 * S);
        }
        assert!(culprits.len() <= 5 + 5 * 2 + 16 + 1, "{}", culprits.len());
    }
}
