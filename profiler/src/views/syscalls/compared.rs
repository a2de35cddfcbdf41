//! What rows of two windows are compared by.

use super::{CallPlan, Syscalls};
use crate::host::syscalls::CALL_NAMES;
use crate::model::comparable::{Comparable, Dimension, OWN_TIME, Read, WAITING};
use crate::model::{Container, Figures as _, Measured, Slice};
use crate::views::{Amount, Named, Switch};

pub(super) const COMPARED: &[Comparable] = &[
    Comparable {
        id: "syscalls.total",
        meaning: "system calls",
        between_runs: OWN_TIME,
        read: Read::Sum(Dimension::Number, count),
    },
    Comparable {
        id: "syscalls.time",
        meaning: "time in system calls",
        between_runs: WAITING,
        read: Read::Sum(Dimension::State, ns),
    },
    Comparable {
        id: "syscalls.mean",
        meaning: "length of a system call",
        between_runs: WAITING,
        read: Read::Mean(ns, count),
    },
];

pub(super) const NAMED: Named = Named {
    name: |number| {
        let (number, abi) = ((number >> 32) as u32, number as u32);
        let name = (CALL_NAMES.call)(number, abi);
        (name, (CALL_NAMES.abi)(abi).to_owned())
    },
    bare_on_disk: true,
    per: "syscall",
    unit: "call",
    count: ("calls of it", OWN_TIME),
    mean: ("length of such a call", WAITING),
    all,
};

pub(super) const SWITCH: Switch = Switch {
    name: "syscalls",
    record: "Count system calls, too, with errors and latency, at the cost that `ctprof syscalls` has",
    compare: "Count system calls of what runs, too; --per syscall:NAME and rules about calls imply it",
    agent: "Count system calls, too, at the cost that `ctprof syscalls` has",
    absent: "no system calls: record with --syscalls",
    hooks: |env| Ok(Box::new(CallPlan::timed(env.cgroups()?))),
};

/// What a call is numbered by in slices.
pub(super) fn item(number: u32, abi: u32) -> u64 {
    u64::from(number) << 32 | u64::from(abi)
}

fn count(row: &Container, slice: &Slice) -> f64 {
    let view = Syscalls::VIEW;
    let calls = slice.items_of(row, &view);
    calls.map(|(_, part)| part.count as f64).sum()
}

fn ns(row: &Container, slice: &Slice) -> f64 {
    let view = Syscalls::VIEW;
    let calls = slice.items_of(row, &view);
    calls.map(|(_, part)| part.ns as f64).sum()
}

fn all(measured: &Measured) -> Option<Vec<Amount>> {
    let calls = measured.get::<Syscalls>()?.0.iter();
    let amounts = calls.map(|call| Amount {
        name: call.name.clone(),
        count: call.count,
        ns: call.total_ns,
    });
    Some(amounts.collect())
}
