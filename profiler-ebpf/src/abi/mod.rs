//! Everything that crosses the border, one file per kind of record.

pub mod count_key;
pub mod event;
pub mod layout;
pub mod ledger;
pub mod loss;
pub mod scope;
pub mod stack;
pub mod syscall;
pub mod unwind;
pub mod wanted;

/// Length of a thread name, terminator included (`TASK_COMM_LEN` in the kernel's `sched.h`).
pub const COMM_BYTES: usize = 16;
