//! Charging time to slots.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use aya_ebpf::maps::Array;
use ctprof_ebpf::{
    abi::{
        ledger::{Account, Series, state},
        loss::Loss,
    },
    histogram::{self, BUCKETS},
    ledger::{Charge, Clock},
};

use crate::{
    loss,
    maps::{ACCOUNTS, STOPS, WAITS},
};

/// Who charges.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// A hook that runs with interrupts off: nothing else writes to this CPU's accounts meanwhile.
    Scheduler,
    /// A hook that a scheduler's hook may interrupt.
    Process,
}

/// This CPU's account of a slot.
#[derive(Clone, Copy)]
pub(crate) struct Slot {
    account: *mut Account,
    number: u32,
    from: From,
}

impl Slot {
    #[inline(always)]
    pub(crate) fn of(number: u32, from: From) -> Option<Self> {
        let Some(account) = ACCOUNTS.get_ptr_mut(number) else {
            loss::count(Loss::AccountMissing);
            return None;
        };
        Some(Self {
            account,
            number,
            from,
        })
    }

    /// Books a closed interval.
    #[inline(always)]
    pub(crate) fn charge(self, charge: Charge) {
        // SAFETY: the pointer is to this CPU's value, and the index is below the array's length.
        unsafe {
            let times = &raw mut (*self.account).time_ns;
            if charge.state < state::COUNT {
                self.add((&raw mut (*times)[charge.state]).cast(), charge.ns);
            }
            if charge.throttled_ns > 0 {
                self.add(
                    (&raw mut (*times)[state::THROTTLED]).cast(),
                    charge.throttled_ns,
                );
            }
        }
    }

    /// The part of a charge for which a limit on its class stopped the thread.
    #[inline(always)]
    pub(crate) fn limited(self, ns: u64) {
        // SAFETY: the pointer is to this CPU's value.
        unsafe { self.add(&raw mut (*self.account).limited_ns, ns) };
    }

    /// A wait ended: how long it was, in all its parts.
    #[inline(always)]
    pub(crate) fn waited(self, clock: &Clock) {
        let waited_ns = clock.waited_ns.get();
        let stopped_ns = clock.stopped_ns.get();
        // SAFETY: the pointer is to this CPU's value.
        unsafe {
            self.series(&raw mut (*self.account).waits, waited_ns);
            if stopped_ns > 0 {
                self.series(&raw mut (*self.account).stops, stopped_ns);
            }
        }
        count(&WAITS, self.number, waited_ns);
        if stopped_ns > 0 {
            count(&STOPS, self.number, stopped_ns);
        }
    }

    /// What ticks found a thread doing since its time in this slot began.
    #[inline(always)]
    pub(crate) fn ticked(self, user_ns: u64, kernel_ns: u64) {
        // SAFETY: the pointer is to this CPU's value.
        unsafe {
            self.add(&raw mut (*self.account).ticked_user_ns, user_ns);
            self.add(&raw mut (*self.account).ticked_kernel_ns, kernel_ns);
        }
    }

    /// The time of a thread in this slot begins.
    #[inline(always)]
    pub(crate) fn begins(self, at_ns: u64) {
        // SAFETY: the pointer is to this CPU's value.
        unsafe {
            self.add(&raw mut (*self.account).lifetime_ns, at_ns.wrapping_neg());
            self.add(&raw mut (*self.account).present, 1);
        }
    }

    /// The time of a thread in this slot ends.
    #[inline(always)]
    pub(crate) fn ends(self, at_ns: u64) {
        // SAFETY: the pointer is to this CPU's value.
        unsafe {
            self.add(&raw mut (*self.account).lifetime_ns, at_ns);
            self.add(&raw mut (*self.account).present, 1_u64.wrapping_neg());
        }
    }

    /// A thread comes at this moment: it is born, or moved in.
    #[inline(always)]
    pub(crate) fn comes(self, at_ns: u64) {
        self.begins(at_ns);
        // SAFETY: the pointer is to this CPU's value.
        unsafe { self.add(&raw mut (*self.account).came, 1) };
    }

    /// A thread leaves at this moment: it exits, or is moved out.
    #[inline(always)]
    pub(crate) fn leaves(self, at_ns: u64) {
        self.ends(at_ns);
        // SAFETY: the pointer is to this CPU's value.
        unsafe { self.add(&raw mut (*self.account).left, 1) };
    }

    /// A switch away from one of its threads.
    #[inline(always)]
    pub(crate) fn switched(self, voluntarily: bool) {
        // SAFETY: the pointer is to this CPU's value.
        unsafe {
            if voluntarily {
                self.add(&raw mut (*self.account).voluntary, 1);
            } else {
                self.add(&raw mut (*self.account).involuntary, 1);
            }
        }
    }

    /// One of its threads was moved to another CPU while it waited.
    #[inline(always)]
    pub(crate) fn migrated(self) {
        // SAFETY: the pointer is to this CPU's value.
        unsafe { self.add(&raw mut (*self.account).migrations, 1) };
    }

    #[inline(always)]
    unsafe fn series(self, series: *mut Series, ns: u64) {
        // SAFETY: the caller's pointer is to this CPU's value.
        unsafe {
            self.add(&raw mut (*series).count, 1);
            self.add(&raw mut (*series).sum_ns, ns);
            if ns > (*series).max_ns {
                (*series).max_ns = ns;
            }
        }
    }

    #[inline(always)]
    unsafe fn add(self, to: *mut u64, value: u64) {
        // SAFETY: the caller's pointer is to this CPU's value.
        unsafe {
            match self.from {
                From::Scheduler => *to = (*to).wrapping_add(value),
                From::Process => {
                    atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(to, value);
                }
            }
        }
    }
}

#[inline(always)]
fn count(histograms: &Array<[u64; BUCKETS]>, slot: u32, ns: u64) {
    if let Some(buckets) = histograms.get_ptr_mut(slot) {
        let index = histogram::bucket(ns) & (BUCKETS - 1);
        // SAFETY: the index is below the array's length; other CPUs add atomically, too.
        unsafe {
            atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(
                (&raw mut (*buckets)[index]).cast(),
                1,
            );
        }
    }
}
