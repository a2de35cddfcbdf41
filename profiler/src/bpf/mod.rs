//! Load the object, attach its programs, read its maps: with the `maps` of views, the only folder that imports aya.

mod attach;
mod batch;
mod cost;
mod error;
mod ledger;
mod links;
mod loader;
mod maps;
mod object;
pub mod probes;
mod sampler;
mod scope;
mod slot_figures;
mod unwind;
mod wanted;

pub use attach::ProbeState;
pub use cost::{ProgramFigures, Statistics};
pub use error::describe;
pub use ledger::LedgerMaps;
pub use links::Links;
pub use loader::{Kernel, LoadPlan, Settings, Slots};
pub use maps::{Events, KernelEvent, Losses, SampleMaps};
pub use sampler::{Sampler, SamplingEvent, online_cpus, possible_cpus};
pub use scope::ScopeMap;
pub use slot_figures::SlotFigures;
pub use unwind::UnwindMaps;
pub use wanted::{WantedMap, bits as state_bits};

/// What the maps of views are read by.
pub(crate) mod view_maps {
    pub(crate) use super::batch::{Retries, read as read_batch};
    pub(crate) use super::loader::Owned;
    pub(crate) use super::maps::{Plain, failed, record};
}
