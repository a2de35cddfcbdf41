//! Cgroups that found no slot, counted over the listing at the start and the births since.

use std::collections::BTreeMap;

use super::WatchList;
use super::watch::Refused;
use crate::Result;
use crate::bpf::Losses;

/// Cgroups without a slot when the recording began, for want of slots and of a share. From then on the kernel half counts
/// those that are born and get none; what it counted during the listing may have got one there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusals([(&'static str, u64, u64); 2]);

impl Refusals {
    pub(super) fn at_start(losses: &Losses, watch: &WatchList) -> Result<Self> {
        let counted = losses.read()?;
        let of = |name: &'static str, reason| {
            let counted = counted.iter().find(|(cause, _)| *cause == name);
            (
                name,
                counted.map_or(0, |(_, count)| *count),
                watch.refused(reason),
            )
        };
        let this = Self([
            of("scope_full", Refused::Full),
            of("subtree_full", Refused::Share),
        ]);
        for (cause, _, refused) in this.0.iter().filter(|(_, _, refused)| *refused > 0) {
            tracing::warn!(
                "{refused} cgroups have no figures of their own ({cause}): they count as the cgroup above them"
            );
        }
        Ok(this)
    }

    /// Puts them into what was lost.
    pub(super) fn correct(&self, lost: &mut BTreeMap<String, u64>) {
        for (cause, before, refused) in self.0 {
            let count = lost.entry(cause.to_owned()).or_default();
            *count = count.saturating_sub(before) + refused;
        }
    }
}
