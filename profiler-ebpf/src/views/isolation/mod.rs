//! What isolation costs, sampled for as long as an agent runs.
//!
//! - `programs`: what is attached
//! - `maps`: its map
//! - `abi`: what crosses the border; a part of the border, like `ctprof_ebpf::abi`

mod maps;
mod programs;

use crate::hooks::Hooks;

/// The view. What others attach says nothing to it.
pub(super) struct View;

impl Hooks for View {}
