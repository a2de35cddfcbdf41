//! Sums of the ledger: what a slot had when it was read last, and what a row has.

use ctprof_ebpf::abi::ledger::{Account, Series};
use ctprof_ebpf::histogram::BUCKETS;

use crate::bpf::SlotFigures;
use crate::model::sums::new_of;

/// A histogram; absent as long as nothing was counted, as it is for most rows' stops by a quota.
type Buckets = Option<Box<[u64; BUCKETS]>>;

/// Sums by state and by bucket. Lifetimes are not kept: threads of a running ledger have not left.
#[derive(Clone, Debug, Default)]
pub(in crate::agent) struct Figures {
    pub(super) account: Account,
    pub(super) waits: Buckets,
    pub(super) stops: Buckets,
}

impl Figures {
    /// Adds to `sum` what a slot has beyond these, its last figures, and remembers it. A figure that is smaller than it was
    /// adds nothing and counts as it was.
    pub(super) fn advance(&mut self, now: &SlotFigures, sum: &mut Self) {
        let (seen, now_account) = (&mut self.account, &now.account);
        let total = &mut sum.account;
        let times = seen.time_ns.iter_mut().zip(now_account.time_ns);
        for ((seen, now), total) in times.zip(&mut total.time_ns) {
            add_new(seen, now, total);
        }
        let Account {
            voluntary,
            involuntary,
            ticked_user_ns,
            ticked_kernel_ns,
            came,
            left,
            migrations,
            ..
        } = *now_account;
        add_new(&mut seen.voluntary, voluntary, &mut total.voluntary);
        add_new(&mut seen.involuntary, involuntary, &mut total.involuntary);
        add_new(
            &mut seen.ticked_user_ns,
            ticked_user_ns,
            &mut total.ticked_user_ns,
        );
        add_new(
            &mut seen.ticked_kernel_ns,
            ticked_kernel_ns,
            &mut total.ticked_kernel_ns,
        );
        add_new(&mut seen.came, came, &mut total.came);
        add_new(&mut seen.left, left, &mut total.left);
        add_new(&mut seen.migrations, migrations, &mut total.migrations);
        add_series(&mut seen.waits, now_account.waits, &mut total.waits);
        add_series(&mut seen.stops, now_account.stops, &mut total.stops);
        add_buckets(&mut self.waits, &now.waits, &mut sum.waits);
        add_buckets(&mut self.stops, &now.stops, &mut sum.stops);
    }

    /// Adds those of another row.
    pub(super) fn absorb(&mut self, other: &Self) {
        let nothing = [0; BUCKETS];
        let other = SlotFigures {
            account: other.account,
            waits: other.waits.as_deref().copied().unwrap_or(nothing),
            stops: other.stops.as_deref().copied().unwrap_or(nothing),
        };
        Self::default().advance(&other, self);
    }
}

const fn add_new(seen: &mut u64, now: u64, total: &mut u64) {
    *total = total.saturating_add(new_of(seen, now));
}

fn add_series(seen: &mut Series, now: Series, total: &mut Series) {
    add_new(&mut seen.count, now.count, &mut total.count);
    add_new(&mut seen.sum_ns, now.sum_ns, &mut total.sum_ns);
    total.max_ns = total.max_ns.max(now.max_ns);
}

fn add_buckets(seen: &mut Buckets, now: &[u64; BUCKETS], total: &mut Buckets) {
    match seen {
        Some(seen) if **seen == *now => {}
        None if now.iter().all(|count| *count == 0) => {}
        _ => {
            let seen = seen.get_or_insert_with(|| Box::new([0; BUCKETS]));
            let total = total.get_or_insert_with(|| Box::new([0; BUCKETS]));
            for ((seen, now), total) in seen.iter_mut().zip(now).zip(total.iter_mut()) {
                add_new(seen, *now, total);
            }
        }
    }
}
