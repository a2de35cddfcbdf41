//! Maps of this view.

use aya_ebpf::{bindings::BPF_F_NO_PREALLOC, macros::map, maps::HashMap};
use ctprof_ebpf::views::moments::abi::{Longest, LongestKey};

/// The longest that threads ran and waited. Set at load.
#[map]
pub(super) static LONGEST: HashMap<LongestKey, Longest> =
    HashMap::with_max_entries(1, BPF_F_NO_PREALLOC);

/// Processes that were killed because memory was short, by slot. Set at load.
#[map]
pub(super) static OOM_KILLS: HashMap<u32, u64> = HashMap::with_max_entries(1, BPF_F_NO_PREALLOC);
