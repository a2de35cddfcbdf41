//! What is measured, as plain data: a [`Window`]. Imports nothing of ours: every other folder may import it.

pub mod comparable;
pub mod container;
pub mod cut;
pub mod group;
pub mod latency;
pub mod ledger;
pub mod loss;
pub mod measured;
mod merge;
pub mod metric;
pub mod problem;
pub mod reading;
pub mod runtime;
pub mod side_band;
pub mod slice;
pub mod stack;
pub mod state;
pub mod sums;
pub mod text;
pub mod units;
pub mod view;
pub mod window;

pub use container::{CfsFigures, Container, ContainerIdentity, Pod, StackQuality};
pub use cut::{Cut, Cuts};
pub use group::{Delayer, Fixed, GroupKey, RESERVED};
pub use latency::{Latency, LatencyBucket};
pub use ledger::{Bucket, Culprit, Delay, Histogram, Ledger};
pub use loss::{Loss, Losses, ViewLoss};
pub use measured::{Figures, Measured};
pub use problem::{Problem, Problems};
pub use reading::{Group, Grouping, ProgramCost, Reading};
pub use runtime::Runtime;
pub use side_band::{CodeFile, Happened, MappedCode, SideBand};
pub use slice::{Item, Slice, SlicePart};
pub use stack::{
    CallerAt, Frame, FrameId, FrameKind, FrameTable, Module, ModuleId, ProcessKey, Resolved, Stack,
    stand_in,
};
pub use state::{State, StateGroup};
pub use sums::{Op, Sums};
pub use view::{Unavailable, ViewId};
pub use window::{RowKey, Stolen, Unnamed, Window};
