//! Where the time of a container's threads went, and whose doing it was.

/// The ledger of one container over the window: everything but the times themselves, which are in
/// [`super::Container::time_ns`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Sum of the lifetimes of its threads inside the window, kept apart from the states: from births, exits and
    /// moves alone. What the states do not add up to is the residual.
    pub thread_time_ns: u64,
    /// Threads that came in the window: born, or moved in.
    pub threads_born: u64,
    /// Threads that left in the window: exited, or moved out.
    pub threads_exited: u64,
    /// Context switches away from a thread that blocked.
    pub voluntary_switches: u64,
    /// Context switches away from a thread that could have gone on.
    pub involuntary_switches: u64,
    /// Moves of its threads from one CPU to another while they waited for one.
    pub migrations: u64,
    /// The part of its throttled time for which it was a limit on real-time or deadline threads that stopped them, and
    /// not a CPU quota.
    pub limited_ns: u64,
    /// Waits for a CPU, throttled time taken out.
    pub run_queue_latency: Histogram,
    /// How long a thread was stopped by a quota each time.
    pub throttle_duration: Histogram,
    /// Who ran while its threads waited for a CPU. Sums to the container's run-queue time.
    pub delayed_by: Vec<Delay>,
}

/// Time that a container's threads waited while somebody else ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delay {
    /// Who ran.
    pub culprit: Culprit,
    /// How long.
    pub ns: u64,
}

/// Who has a CPU that somebody waits for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Culprit {
    /// Other threads of the container itself.
    Siblings,
    /// The row of the profile at this position (`host` and `kernel` where they have rows).
    Row(usize),
    /// A container that is not recorded, by name.
    Elsewhere(String),
    /// Processes in no container, where they have no row.
    Host,
    /// Kernel threads, where they have no row.
    Kernel,
    /// Nobody: the CPU was on its way out of idle.
    Idle,
    /// More happened than was kept, or the wait began before the recording.
    Unknown,
}

/// How often something took how long. Buckets are log-linear: four to an octave, so that a bucket's middle is
/// within 12.5 % of every value in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Values.
    pub count: u64,
    /// Their sum, exact.
    pub sum_ns: u64,
    /// The largest, exact.
    pub max_ns: u64,
    /// Non-empty buckets, smallest first.
    pub buckets: Vec<Bucket>,
}

/// One bucket of a [`Histogram`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Smallest value that belongs to it.
    pub from_ns: u64,
    /// Smallest value that is beyond it.
    pub to_ns: u64,
    /// Values in it.
    pub count: u64,
}

impl Histogram {
    /// The value below which this share (0 to 1) of all values lies: the middle of its bucket, at most the largest
    /// value. `None` without any value.
    #[must_use]
    pub fn quantile_ns(&self, share: f64) -> Option<u64> {
        let counts = self.buckets.iter().map(|bucket| bucket.count);
        let total = counts.fold(0, u64::saturating_add);
        if total == 0 {
            return None;
        }
        let rank = ((share * total as f64).ceil() as u64).clamp(1, total);
        let mut seen: u64 = 0;
        self.buckets
            .iter()
            .find(|bucket| {
                seen = seen.saturating_add(bucket.count);
                seen >= rank
            })
            .map(|bucket| (bucket.from_ns + (bucket.to_ns - bucket.from_ns) / 2).min(self.max_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::{Bucket, Histogram};

    #[test]
    fn quantiles_are_the_middle_of_their_bucket() {
        let bucket = |from_ns, to_ns, count| Bucket {
            from_ns,
            to_ns,
            count,
        };
        let histogram = Histogram {
            count: 100,
            sum_ns: 0,
            max_ns: 1_100,
            buckets: vec![
                bucket(100, 120, 50),
                bucket(200, 240, 49),
                bucket(1_024, 1_280, 1),
            ],
        };
        assert_eq!(histogram.quantile_ns(0.0), Some(110));
        assert_eq!(histogram.quantile_ns(0.5), Some(110));
        assert_eq!(histogram.quantile_ns(0.51), Some(220));
        assert_eq!(histogram.quantile_ns(0.99), Some(220));
        assert_eq!(
            histogram.quantile_ns(1.0),
            Some(1_100),
            "at most the largest"
        );
        assert_eq!(Histogram::default().quantile_ns(0.5), None);
    }
}
