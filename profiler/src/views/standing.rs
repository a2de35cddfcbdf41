//! Views that an agent measures all the time, unless it is told not to.

use crate::bpf::SamplingEvent;
use crate::collect::{Environment, Hooks};
use crate::model::{Unavailable, ViewId};

/// What is asked of the kernel half of this host, or why there is no such view here.
pub type Asked = Result<Box<dyn Hooks>, Unavailable>;

/// What an agent measures of a view for as long as it runs.
#[derive(Debug)]
pub struct Standing {
    /// The setting that turns it off.
    pub setting: &'static str,
    /// Its help.
    pub help: &'static str,
    /// What it asks for.
    pub hooks: fn(&Environment, SamplingEvent) -> Asked,
}

/// All of them, with the id of their view.
pub fn standing() -> impl Iterator<Item = (ViewId, &'static Standing)> {
    let views = super::ALL.iter();
    views.filter_map(|view| Some(((view.id)(), view.standing?)))
}
