//! Drains maps into raw snapshots.
//!
//! - `ledger`: the time ledger: start, end, its figures
//! - `counters`: what perf counts for some cgroups
//! - `samples`: what the kernel half counted, accumulated over the recording
//! - `watch`: which cgroup has which slot
//! - `shares`: how many slots there are, and how many of them a container may have
//! - `syscalls`: the view of system calls: start, end, its rows
//! - `start`: the plan of a recording, and loading the kernel half
//! - `observer`: who is told what happens while recording
//! - `event_loop`: what a session runs on
//! - `side_band`: what happens to processes, as the kernel writes it down
//! - `session`: the recording itself: attach, drain on an interval, stop
//! - `live`: a recording without an end

mod counters;
mod event_loop;
mod ledger;
mod live;
mod observer;
mod refusals;
mod samples;
mod session;
mod shares;
mod side_band;
mod start;
mod syscalls;
mod watch;

pub use counters::{Counted, Counters};
pub use event_loop::block_on;
pub use ledger::RawLedger;
pub use live::{Live, Retired, Retirement, Settled};
pub use observer::{Ended, Observer, SlowCallSeen, Snapshot};
pub use samples::Samples;
pub use session::{Recorded, Session};
pub use start::SessionPlan;
pub use syscalls::{RawCalls, add_row};
pub use watch::{Endless, WatchList};
