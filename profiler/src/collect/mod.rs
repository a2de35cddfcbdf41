//! Drains maps into raw snapshots.
//!
//! - `samples`: what the kernel half counted, accumulated over the recording
//! - `watch`: which cgroup has which slot
//! - `session`: the recording itself: load, attach, drain on an interval, stop

mod samples;
mod session;
mod watch;

pub use samples::Samples;
pub use session::{Ended, Observer, Recorded, Session, SessionPlan};
pub use watch::WatchList;
