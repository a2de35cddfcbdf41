//! What was charged to one slot: sums that are read, added and subtracted.

use ctprof_ebpf::abi::ledger::{Account, Series};
use ctprof_ebpf::histogram::{BUCKETS, bounds};

/// What was charged to one slot, over all CPUs.
#[derive(Clone, Debug)]
pub struct SlotFigures {
    /// The sums.
    pub account: Account,
    /// Waits for a CPU by bucket.
    pub waits: [u64; BUCKETS],
    /// Stops by a quota by bucket.
    pub stops: [u64; BUCKETS],
}

impl SlotFigures {
    /// Adds those of another slot.
    pub fn add(&mut self, other: &Self) {
        add(&mut self.account, &other.account);
        for (sum, count) in self.waits.iter_mut().zip(other.waits) {
            *sum += count;
        }
        for (sum, count) in self.stops.iter_mut().zip(other.stops) {
            *sum += count;
        }
    }

    /// What was charged between an earlier reading and this one.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let Account {
            waits,
            voluntary,
            involuntary,
            time_ns,
            stops,
            lifetime_ns,
            ticked_user_ns,
            ticked_kernel_ns,
            came,
            left,
            migrations,
            present,
            limited_ns,
            padding,
        } = self.account;
        let then = &before.account;
        let new_waits = differences(&self.waits, &before.waits);
        let new_stops = differences(&self.stops, &before.stops);
        Self {
            account: Account {
                waits: series_since(waits, then.waits, &new_waits),
                voluntary: voluntary.saturating_sub(then.voluntary),
                involuntary: involuntary.saturating_sub(then.involuntary),
                time_ns: differences(&time_ns, &then.time_ns),
                stops: series_since(stops, then.stops, &new_stops),
                lifetime_ns: lifetime_ns.wrapping_sub(then.lifetime_ns),
                ticked_user_ns: ticked_user_ns.saturating_sub(then.ticked_user_ns),
                ticked_kernel_ns: ticked_kernel_ns.saturating_sub(then.ticked_kernel_ns),
                came: came.saturating_sub(then.came),
                left: left.saturating_sub(then.left),
                migrations: migrations.saturating_sub(then.migrations),
                present: present.wrapping_sub(then.present),
                limited_ns: limited_ns.saturating_sub(then.limited_ns),
                padding,
            },
            waits: new_waits,
            stops: new_stops,
        }
    }

    /// The same of threads that have not left: how long they have lived is what their states say.
    #[must_use]
    pub fn of_unended(mut self) -> Self {
        self.account.lifetime_ns = self.account.time_ns.iter().sum();
        self.account.present = 0;
        self
    }
}

fn differences<const N: usize>(now: &[u64; N], before: &[u64; N]) -> [u64; N] {
    std::array::from_fn(|index| now[index].saturating_sub(before[index]))
}

/// The longest is only known if it is new; else it is no longer than its bucket.
fn series_since(now: Series, before: Series, new: &[u64; BUCKETS]) -> Series {
    let last = new.iter().rposition(|count| *count > 0);
    Series {
        count: now.count.saturating_sub(before.count),
        sum_ns: now.sum_ns.saturating_sub(before.sum_ns),
        max_ns: if now.max_ns > before.max_ns {
            now.max_ns
        } else {
            last.map_or(0, |bucket| bounds(bucket).1.min(now.max_ns))
        },
    }
}

fn add_series(sum: &mut Series, of_cpu: Series) {
    sum.count += of_cpu.count;
    sum.sum_ns = sum.sum_ns.saturating_add(of_cpu.sum_ns);
    sum.max_ns = sum.max_ns.max(of_cpu.max_ns);
}

pub(super) fn add(sum: &mut Account, of_cpu: &Account) {
    for (sum, ns) in sum.time_ns.iter_mut().zip(of_cpu.time_ns) {
        *sum = sum.saturating_add(ns);
    }
    sum.lifetime_ns = sum.lifetime_ns.wrapping_add(of_cpu.lifetime_ns);
    sum.ticked_user_ns += of_cpu.ticked_user_ns;
    sum.ticked_kernel_ns += of_cpu.ticked_kernel_ns;
    sum.came += of_cpu.came;
    sum.left += of_cpu.left;
    sum.voluntary += of_cpu.voluntary;
    sum.involuntary += of_cpu.involuntary;
    sum.migrations += of_cpu.migrations;
    sum.limited_ns += of_cpu.limited_ns;
    sum.present = sum.present.wrapping_add(of_cpu.present);
    add_series(&mut sum.waits, of_cpu.waits);
    add_series(&mut sum.stops, of_cpu.stops);
}
