//! Histograms as Prometheus keeps them: few bounds, the same for every container and for ever.
//!
//! The ledger counts in buckets of a quarter octave (`ctprof_ebpf::histogram`). Bounds here are powers of two of ns,
//! which are borders of those buckets: no value is counted below a bound that it is above. (`le` includes the bound
//! itself and a bucket does not: a value of exactly 2^n ns counts in the next one.)

use super::super::self_figures::SCRAPE_BOUNDS;

/// Waits for a CPU: 4 us to 4.3 s. An octave each from half a millisecond, where schedulers cut their slices, to a
/// quarter of a second; two octaves each outside.
pub(super) const RUN_QUEUE: [u64; 16] = powers([
    12, 14, 16, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 30, 32,
]);

/// How long a quota stops a thread: mostly a part of a period of 100 ms, or several periods.
pub(super) const THROTTLE: [u64; 8] = powers([20, 22, 24, 25, 26, 27, 28, 30]);

/// Answers to scrapes; counted by these bounds in the first place.
pub(super) const SCRAPE: [u64; SCRAPE_BOUNDS.len()] = nanoseconds(SCRAPE_BOUNDS);

const fn nanoseconds<const N: usize>(seconds: [f64; N]) -> [u64; N] {
    let mut bounds = [0; N];
    let mut index = 0;
    while index < N {
        bounds[index] = (seconds[index] * 1e9 + 0.5) as u64;
        index += 1;
    }
    bounds
}

const fn powers<const N: usize>(exponents: [u32; N]) -> [u64; N] {
    let mut bounds = [0; N];
    let mut index = 0;
    while index < N {
        bounds[index] = 1 << exponents[index];
        index += 1;
    }
    bounds
}

/// What was counted by the bounds themselves, with one number more for what is beyond them.
pub(super) fn counted(bounds: &[u64], counts: &[u64], into: &mut Vec<(f64, u64)>) {
    into.clear();
    let bounds = bounds.iter().map(|bound| *bound as f64 / 1e9);
    into.extend(bounds.chain([f64::INFINITY]).zip(counts.iter().copied()));
}

/// Values between each bound and the one before, in seconds; the last one is infinite. `buckets` are smallest value
/// beyond a bucket and values in it, ascending.
pub(super) fn spread(
    bounds: &[u64],
    buckets: impl Iterator<Item = (u64, u64)>,
    into: &mut Vec<(f64, u64)>,
) {
    into.clear();
    into.extend(bounds.iter().map(|bound| (*bound as f64 / 1e9, 0)));
    into.push((f64::INFINITY, 0));
    let mut position = 0;
    for (to_ns, count) in buckets {
        while bounds.get(position).is_some_and(|bound| to_ns > *bound) {
            position += 1;
        }
        into[position].1 += count;
    }
}

#[cfg(test)]
mod tests {
    use ctprof_ebpf::histogram;
    use proptest::prelude::*;

    use super::{RUN_QUEUE, THROTTLE, spread};
    use crate::model::metric::Kind;
    use crate::views;

    #[test]
    fn bounds_are_borders_of_buckets() {
        let of_views = views::ALL.iter().flat_map(|view| view.metrics);
        let of_views = of_views.filter_map(|metric| match metric.kind {
            Kind::Histogram(bounds) => Some(bounds),
            _ => None,
        });
        for bounds in [&RUN_QUEUE[..], &THROTTLE].into_iter().chain(of_views) {
            for bound in bounds {
                let bucket = histogram::bucket(*bound);
                assert_eq!(histogram::bounds(bucket).0, *bound);
                assert_eq!(histogram::bounds(bucket - 1).1, *bound);
            }
            assert!(bounds.is_sorted());
        }
        assert_eq!(RUN_QUEUE[0], 4_096);
        assert_eq!(RUN_QUEUE[15], 4_294_967_296);
    }

    proptest! {
        #[test]
        fn every_value_is_below_its_bound(values in proptest::collection::vec(0_u64..1 << 40, 0..200)) {
            let mut counts = vec![0_u64; histogram::BUCKETS];
            for value in &values {
                counts[histogram::bucket(*value)] += 1;
            }
            let buckets = counts
                .iter()
                .enumerate()
                .filter(|(_, count)| **count > 0)
                .map(|(index, count)| (histogram::bounds(index).1, *count));
            let mut spreaded = vec![(1.0, 1)];
            spread(&RUN_QUEUE, buckets, &mut spreaded);
            let mut below = 0;
            for (index, bound) in RUN_QUEUE.iter().enumerate() {
                below += spreaded[index].1;
                let truth = values.iter().filter(|value| *value < bound).count() as u64;
                prop_assert_eq!(below, truth, "{}", bound);
            }
            prop_assert_eq!(below + spreaded[16].1, values.len() as u64);
            prop_assert_eq!(spreaded.len(), 17);
        }
    }
}
