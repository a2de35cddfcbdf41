//! How long many things took, with their sums: exact where they take about the same time.

/// How often system calls, or other things, took how long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// How many.
    pub count: u64,
    /// Their time.
    pub sum_ns: u64,
    /// Those of similar length together, the shortest first; none is empty.
    pub buckets: Vec<LatencyBucket>,
}

/// Calls of similar length: the longest is at most 1.25 times the shortest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LatencyBucket {
    /// Smallest time that belongs to it.
    pub from_ns: u64,
    /// Smallest time that is beyond it.
    pub to_ns: u64,
    /// Calls in it.
    pub count: u64,
    /// Their time.
    pub sum_ns: u64,
}

impl Latency {
    /// The time below which this share (0 to 1) of all calls stays: the mean of its bucket, so that it is exact where
    /// calls take about the same time, and within the bucket's width everywhere. `None` without any call.
    #[must_use]
    pub fn quantile_ns(&self, share: f64) -> Option<u64> {
        let counts = self.buckets.iter().map(|bucket| bucket.count);
        let total = counts.fold(0, u64::saturating_add);
        let rank = ((share * total as f64).ceil() as u64).clamp(1, total.max(1));
        let mut seen: u64 = 0;
        let bucket = self.buckets.iter().find(|bucket| {
            seen = seen.saturating_add(bucket.count);
            seen >= rank
        })?;
        bucket.sum_ns.checked_div(bucket.count)
    }
}

#[cfg(test)]
mod tests {
    use super::{Latency, LatencyBucket};

    #[test]
    fn quantiles_are_the_mean_of_their_bucket() {
        let bucket = |from_ns, to_ns, count, sum_ns| LatencyBucket {
            from_ns,
            to_ns,
            count,
            sum_ns,
        };
        let latency = Latency {
            count: 100,
            sum_ns: 50 * 101 + 49 * 215 + 1_100,
            buckets: vec![
                bucket(96, 112, 50, 50 * 101),
                bucket(192, 224, 49, 49 * 215),
                bucket(1_024, 1_280, 1, 1_100),
            ],
        };
        assert_eq!(latency.quantile_ns(0.0), Some(101));
        assert_eq!(latency.quantile_ns(0.5), Some(101));
        assert_eq!(latency.quantile_ns(0.51), Some(215));
        assert_eq!(latency.quantile_ns(0.99), Some(215));
        assert_eq!(latency.quantile_ns(1.0), Some(1_100));
        assert_eq!(Latency::default().quantile_ns(0.5), None);
    }
}
