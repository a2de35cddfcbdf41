//! The only folder that imports aya: load the object, attach its programs, read its maps.

mod attach;
mod batch;
mod cost;
mod error;
mod ledger;
mod loader;
mod maps;
mod object;
pub mod probes;
mod sampler;
mod scope;
mod slot_figures;
mod syscalls;
mod unwind;
mod wanted;

pub use attach::ProbeState;
pub use cost::{ProgramFigures, Statistics};
pub use error::describe;
pub use ledger::LedgerMaps;
pub use loader::{CallPlan, Kernel, LoadPlan, Slots};
pub use maps::{Events, KernelEvent, Losses, SampleMaps};
pub use sampler::{Sampler, SamplingEvent, online_cpus, possible_cpus};
pub use scope::ScopeMap;
pub use slot_figures::SlotFigures;
pub use syscalls::{CallLinks, CallMaps};
pub use unwind::UnwindMaps;
pub use wanted::{WantedMap, bits as state_bits};
