//! Drains maps into raw snapshots.
//!
//! - `ledger`: the time ledger: start, end, its figures
//! - `counters`: what perf counts for some cgroups
//! - `samples`: what the kernel half counted, accumulated over the recording
//! - `watch`: which cgroup has which slot
//! - `syscalls`: the view of system calls: start, end, its rows
//! - `session`: the recording itself: load, attach, drain on an interval, stop

mod counters;
mod ledger;
mod samples;
mod session;
mod syscalls;
mod watch;

pub use counters::{Counted, Counters};
pub use ledger::RawLedger;
pub use samples::Samples;
pub use session::{Ended, Observer, Recorded, Session, SessionPlan, SlowCallSeen, Snapshot};
pub use syscalls::RawCalls;
pub use watch::WatchList;
