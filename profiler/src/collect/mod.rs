//! Drains maps into raw snapshots.
//!
//! - `ledger`: the time ledger: start, end, its figures
//! - `samples`: what the kernel half counted, accumulated over the recording
//! - `slices`: the same second by second
//! - `watch`: which cgroup has which slot
//! - `shares`: how many slots there are, and how many of them a container may have
//! - `hooked`: views that the kernel half counts for
//! - `environment`: what a session finds on this host before anything is loaded
//! - `start`: the plan of a recording, and loading the kernel half
//! - `observer`: who is told what happens while recording
//! - `event_loop`: what a session runs on
//! - `side_band`: what happens to processes, as the kernel writes it down
//! - `session`: the recording itself: attach, drain on an interval
//! - `pace`: what it waits for
//! - `chosen`: what turns out to be meant while it goes on, and whether anything of it is left
//! - `end`: its end, and what it brought home
//! - `live`: a recording without an end
//! - `takes`: windows with stacks that are taken out of it
//! - `on_demand`: their beginning and end
//! - `unwinding`: tells the kernel half how to unwind user stacks; `completing`: has it walk those of threads that sleep

mod chosen;
mod completing;
mod end;
mod environment;
mod event_loop;
mod hooked;
mod ledger;
mod live;
mod observer;
mod on_demand;
mod pace;
mod refusals;
pub(crate) mod samples;
mod session;
mod shares;
mod side_band;
mod slices;
mod start;
mod takes;
mod unwinding;
mod watch;

pub use end::Recorded;
pub use environment::Environment;
pub use event_loop::block_on;
pub(crate) use hooked::settings as view_settings;
pub use hooked::{Hooked, Hooks, Notice, Raw, RawViews};
pub use ledger::RawLedger;
pub use live::{Live, Retired, Retirement, Settled};
pub use observer::{Ended, Noticed, Observer, Snapshot};
pub use samples::Samples;
pub use session::Session;
pub use slices::{ItemOf, RawPart, RawSlice, RawSlices, SlotSlice};
pub use start::{SessionPlan, Unwind};
pub use takes::TakeId;
pub use watch::{Endless, WatchList};
