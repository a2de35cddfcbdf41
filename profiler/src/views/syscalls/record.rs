//! System calls as a recording on disk has them.

use serde::{Deserialize, Serialize};

use super::{Clean, Syscall};
use crate::model::{Latency, LatencyBucket};

/// One call.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    name: String,
    abi: String,
    count: u64,
    errors: Vec<(String, u64)>,
    total_ns: Option<u64>,
    off_cpu_ns: u64,
    max_ns: u64,
    latency_count: u64,
    latency_sum_ns: u64,
    latency: Vec<BucketRecord>,
    began_before: u64,
    never_returned: u64,
    refused: u64,
    in_progress: u64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct BucketRecord {
    from_ns: u64,
    width_ns: u64,
    count: u64,
    sum_ns: u64,
}

impl From<&Syscall> for Record {
    fn from(call: &Syscall) -> Self {
        let buckets = call.latency.buckets.iter().map(|bucket| BucketRecord {
            from_ns: bucket.from_ns,
            width_ns: bucket.to_ns.saturating_sub(bucket.from_ns),
            count: bucket.count,
            sum_ns: bucket.sum_ns,
        });
        Self {
            name: call.name.clone(),
            abi: call.abi.clone(),
            count: call.count,
            errors: call.errors.clone(),
            total_ns: call.total_ns,
            off_cpu_ns: call.off_cpu_ns,
            max_ns: call.max_ns,
            latency_count: call.latency.count,
            latency_sum_ns: call.latency.sum_ns,
            latency: buckets.collect(),
            began_before: call.began_before,
            never_returned: call.never_returned,
            refused: call.refused,
            in_progress: call.in_progress,
        }
    }
}

impl Record {
    /// The call; `None` where a bucket ends beyond what a number can say.
    pub(super) fn restore(self, clean: Clean) -> Option<Syscall> {
        let buckets = self.latency.iter().map(|bucket| {
            Some(LatencyBucket {
                from_ns: bucket.from_ns,
                to_ns: bucket.from_ns.checked_add(bucket.width_ns)?,
                count: bucket.count,
                sum_ns: bucket.sum_ns,
            })
        });
        let buckets = buckets.collect::<Option<_>>()?;
        let errors = self.errors.iter();
        Some(Syscall {
            name: clean(&self.name),
            abi: clean(&self.abi),
            count: self.count,
            errors: errors.map(|(name, count)| (clean(name), *count)).collect(),
            total_ns: self.total_ns,
            off_cpu_ns: self.off_cpu_ns,
            max_ns: self.max_ns,
            latency: Latency {
                count: self.latency_count,
                sum_ns: self.latency_sum_ns,
                buckets,
            },
            began_before: self.began_before,
            never_returned: self.never_returned,
            refused: self.refused,
            in_progress: self.in_progress,
        })
    }
}
