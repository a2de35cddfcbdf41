//! Every figure of a window, and how it adds up. Fields are named one by one, so that a new one that nobody has thought
//! of does not compile.

use std::cmp::Reverse;

use super::{Op, Sums, combine_lists};
use crate::model::{
    Bucket, CfsFigures, Container, Cuts, Delay, Histogram, Latency, LatencyBucket, Ledger, Stack,
    StackQuality, Stolen, Unnamed,
};

/// Sums only: who the row is and its gauges are the caller's.
impl Sums for Container {
    fn combine(&mut self, other: &Self, op: Op) {
        let Self {
            time_ns,
            ledger,
            measured,
            cfs,
            samples,
            quality,
            wait_quality,
            stacks,
            identity: _,
            // Not sums: whoever combines windows puts them one after the other.
            slices: _,
            items: _,
            cpu_quota_cores: _,
            threads: _,
        } = other;
        op.on_parts(&mut self.time_ns, time_ns);
        self.ledger.combine(ledger, op);
        self.measured.combine(measured, op);
        self.cfs.combine(cfs, op);
        op.on(&mut self.samples, *samples);
        self.quality.combine(quality, op);
        self.wait_quality.combine(wait_quality, op);
        combine_lists(&mut self.stacks, stacks, op, Stack::order);
    }
}

impl Sums for Ledger {
    fn combine(&mut self, other: &Self, op: Op) {
        let Self {
            thread_time_ns,
            threads_born,
            threads_exited,
            voluntary_switches,
            involuntary_switches,
            migrations,
            limited_ns,
            run_queue_latency,
            throttle_duration,
            delayed_by,
        } = other;
        op.on(&mut self.thread_time_ns, *thread_time_ns);
        op.on(&mut self.threads_born, *threads_born);
        op.on(&mut self.threads_exited, *threads_exited);
        op.on(&mut self.voluntary_switches, *voluntary_switches);
        op.on(&mut self.involuntary_switches, *involuntary_switches);
        op.on(&mut self.migrations, *migrations);
        op.on(&mut self.limited_ns, *limited_ns);
        self.run_queue_latency.combine(run_queue_latency, op);
        self.throttle_duration.combine(throttle_duration, op);
        let by_culprit = |a: &Delay, b: &Delay| a.culprit.cmp(&b.culprit);
        combine_lists(&mut self.delayed_by, delayed_by, op, by_culprit);
        self.delayed_by.sort_by_key(|delay| Reverse(delay.ns));
    }
}

impl Sums for Delay {
    fn combine(&mut self, other: &Self, op: Op) {
        let Self { ns, culprit: _ } = other;
        op.on(&mut self.ns, *ns);
    }

    fn is_nothing(&self) -> bool {
        self.ns == 0
    }
}

impl Sums for Histogram {
    fn combine(&mut self, other: &Self, op: Op) {
        let Self {
            count,
            sum_ns,
            buckets,
            max_ns,
        } = other;
        op.on(&mut self.count, *count);
        op.on(&mut self.sum_ns, *sum_ns);
        let by_bounds = |a: &Bucket, b: &Bucket| (a.from_ns, a.to_ns).cmp(&(b.from_ns, b.to_ns));
        combine_lists(&mut self.buckets, buckets, op, by_bounds);
        let end_ns = self.buckets.last().map(|bucket| bucket.to_ns);
        op.on_max(&mut self.max_ns, *max_ns, end_ns);
    }
}

impl Sums for Bucket {
    fn combine(&mut self, other: &Self, op: Op) {
        let Self {
            count,
            from_ns: _,
            to_ns: _,
        } = other;
        op.on(&mut self.count, *count);
    }

    fn is_nothing(&self) -> bool {
        self.count == 0
    }
}

impl Sums for Latency {
    fn combine(&mut self, other: &Self, op: Op) {
        let Self {
            count,
            sum_ns,
            buckets,
        } = other;
        op.on(&mut self.count, *count);
        op.on(&mut self.sum_ns, *sum_ns);
        let by_bounds =
            |a: &LatencyBucket, b: &LatencyBucket| (a.from_ns, a.to_ns).cmp(&(b.from_ns, b.to_ns));
        combine_lists(&mut self.buckets, buckets, op, by_bounds);
    }
}

impl Sums for LatencyBucket {
    fn combine(&mut self, other: &Self, op: Op) {
        let Self {
            count,
            sum_ns,
            from_ns: _,
            to_ns: _,
        } = other;
        op.on(&mut self.count, *count);
        op.on(&mut self.sum_ns, *sum_ns);
    }

    fn is_nothing(&self) -> bool {
        self.count == 0
    }
}

impl Sums for CfsFigures {
    fn combine(&mut self, other: &Self, op: Op) {
        let Self {
            usage_ns,
            periods,
            throttled_periods,
            throttled_ns,
            throttled_local_ns,
            bursts,
            burst_ns,
        } = other;
        op.on_optional(&mut self.usage_ns, *usage_ns);
        op.on(&mut self.periods, *periods);
        op.on(&mut self.throttled_periods, *throttled_periods);
        op.on(&mut self.throttled_ns, *throttled_ns);
        op.on_optional(&mut self.throttled_local_ns, *throttled_local_ns);
        op.on(&mut self.bursts, *bursts);
        op.on(&mut self.burst_ns, *burst_ns);
    }
}

impl Sums for StackQuality {
    fn combine(&mut self, other: &Self, op: Op) {
        let Self {
            complete,
            truncated,
            unreadable,
            cut: Cuts(cut),
        } = other;
        op.on(&mut self.complete, *complete);
        op.on(&mut self.truncated, *truncated);
        op.on(&mut self.unreadable, *unreadable);
        for (mine, other) in self.cut.0.iter_mut().zip(cut) {
            op.on(mine, *other);
        }
    }
}

impl Sums for Stack {
    fn combine(&mut self, other: &Self, op: Op) {
        let Self {
            count,
            time_ns,
            state: _,
            pid: _,
            thread: _,
            frames: _,
            syscall: _,
            burnt_quota: _,
        } = other;
        op.on(&mut self.count, *count);
        op.on(&mut self.time_ns, *time_ns);
    }

    fn is_nothing(&self) -> bool {
        self.count == 0 && self.time_ns == 0
    }
}

impl Sums for Stolen {
    fn combine(&mut self, other: &Self, op: Op) {
        let Self {
            hypervisor_ns,
            interrupts_ns,
        } = other;
        op.on(&mut self.hypervisor_ns, *hypervisor_ns);
        op.on(&mut self.interrupts_ns, *interrupts_ns);
    }
}

impl Sums for Unnamed {
    fn combine(&mut self, other: &Self, op: Op) {
        let Self { count, cause: _ } = other;
        op.on(&mut self.count, *count);
    }

    fn is_nothing(&self) -> bool {
        self.count == 0
    }
}
