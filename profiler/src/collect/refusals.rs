//! Cgroups that found no slot, counted over the listing at the start and the births since.

use super::WatchList;
use super::watch::Refused;
use crate::Result;
use crate::bpf;
use crate::model::{Loss, Losses};

/// Cgroups without a slot when the recording began, for want of slots and of a share. From then on the kernel half counts
/// those that are born and get none; what it counted during the listing may have got one there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusals([(Loss, u64, u64); 2]);

impl Refusals {
    pub(super) fn at_start(losses: &bpf::Losses, watch: &WatchList) -> Result<Self> {
        let counted = losses.read()?;
        let of = |loss: Loss, reason| {
            let counted = counted.iter().find(|(cause, _)| *cause == loss.name());
            (
                loss,
                counted.map_or(0, |(_, count)| *count),
                watch.refused(reason),
            )
        };
        let this = Self([
            of(Loss::ScopeFull, Refused::Full),
            of(Loss::SubtreeFull, Refused::Share),
        ]);
        for (loss, _, refused) in this.0.iter().filter(|(_, _, refused)| *refused > 0) {
            tracing::warn!(
                "{refused} cgroups have no figures of their own ({}): they count as the cgroup above them",
                loss.name()
            );
        }
        Ok(this)
    }

    /// Puts them into what was lost.
    pub(super) fn correct(&self, lost: &mut Losses) {
        for (loss, before, refused) in self.0 {
            let count = lost.entry(loss).or_default();
            *count = count.saturating_sub(before) + refused;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::views;

    #[test]
    fn every_loss_of_the_kernel_half_is_known_here() {
        for (_, name) in ctprof_ebpf::abi::loss::Cause::all() {
            assert!(views::loss(name).is_some(), "{name}");
        }
    }
}
