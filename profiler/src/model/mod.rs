//! What a recording is, as plain data. Imports nothing of ours: every other folder may import it.

pub mod container;
pub mod ledger;
pub mod pressure;
pub mod profile;
pub mod reading;
pub mod side_band;
pub mod stack;
pub mod state;
pub mod syscall;
pub mod text;

pub use container::{CfsFigures, Container, ContainerIdentity, Pod, StackQuality};
pub use ledger::{Bucket, Culprit, Delay, Histogram, Ledger};
pub use pressure::{Counters, Psi, Stall};
pub use profile::{Profile, Stolen, Unavailable, Unnamed};
pub use reading::{Group, GroupKey, Grouping, ProgramCost, Reading};
pub use side_band::{CodeFile, Happened, MappedCode, SideBand};
pub use stack::{
    CallerAt, Frame, FrameId, FrameKind, FrameTable, Module, ModuleId, ProcessKey, Resolved, Stack,
    stand_in,
};
pub use state::{State, StateGroup};
pub use syscall::{Latency, LatencyBucket, Syscall};
