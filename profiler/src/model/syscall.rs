//! What a container asked of the kernel.

/// One system call, as a container used it inside the window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Syscall {
    /// Its name; `syscall_999` where its number has none.
    pub name: String,
    /// Whose number it was made by: `i386`, `arm` or `x32`; empty for the machine's own.
    pub abi: String,
    /// Calls that ended inside the window.
    pub count: u64,
    /// Those that returned an error, by its name, each once and in the names' order: most calls have at most one.
    pub errors: Vec<(String, u64)>,
    /// Time that threads spent in it inside the window, that of calls in progress at its start or end included;
    /// `None` where no times were taken.
    pub total_ns: Option<u64>,
    /// The part of it in which the thread was not on a CPU.
    pub off_cpu_ns: u64,
    /// The longest that one call took inside the window, calls in progress at its start or end included: of those it
    /// is a lower bound.
    pub max_ns: u64,
    /// How long calls took that both began and returned inside the window.
    pub latency: Latency,
    /// Calls, of `count`, that were in progress when the window began.
    pub began_before: u64,
    /// Calls, of `count`, in which the thread ended.
    pub never_returned: u64,
    /// Calls, of `count`, that were not executed: seccomp, or a tracer, gave the result instead.
    pub refused: u64,
    /// Calls, beside `count`, that were in progress when the window ended.
    pub in_progress: u64,
}

/// How often a call took how long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// Calls.
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

impl Syscall {
    /// Calls that returned an error.
    #[must_use]
    pub fn failed(&self) -> u64 {
        let counts = self.errors.iter().map(|(_, count)| *count);
        counts.fold(0, u64::saturating_add)
    }

    /// Time on a CPU; `None` where no times were taken.
    #[must_use]
    pub fn on_cpu_ns(&self) -> Option<u64> {
        self.total_ns
            .map(|total| total.saturating_sub(self.off_cpu_ns))
    }

    /// Mean time of a call that both began and returned inside the window.
    #[must_use]
    pub fn mean_ns(&self) -> Option<u64> {
        self.latency.sum_ns.checked_div(self.latency.count)
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
