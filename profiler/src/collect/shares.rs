//! How many slots there are, and how many of them a subtree may have.

use std::collections::HashMap;

use ctprof_ebpf::abi::scope::SLOT_FIRST;

use super::watch::{Endless, Refused};
use crate::bpf::Slots;
use crate::host::cgroup::Cgroup;
use crate::host::containers::pattern::{self, subtree};

/// Slots for cgroups that appear between counting them and watching them, and for those whose births go unnoticed.
const SPARE: u32 = 64;
/// The same where the host's whole life is still to come: an agent may start while many containers do.
const SPARE_ENDLESS: u32 = 1_024;
/// Least slots for cgroups born while recording.
const LEAST_BORN: u32 = 2_048;
/// Most slots. One takes 2 KiB and 256 bytes a CPU of the kernel's memory.
const MOST: u32 = 32_768;
/// Most slots of a subtree whose cgroups are all one row, such as a container: enough for one that runs containers itself.
const SHARE: u32 = 512;
/// The same where each is a row.
const SHARE_OF_ROWS: u32 = MOST / 4;
/// What part of the slots for newborns a subtree may have; [`SHARE`] if that is more.
const PART_OF_BORN: u32 = 4;

/// Slots for a host with these cgroups, and for so many chosen processes.
pub(super) fn size(cgroups: &[Cgroup], processes: usize, endless: Option<Endless>) -> Slots {
    let mut shares = Shares::default();
    let mut wanted = u32::try_from(processes).unwrap_or(MOST);
    for Cgroup { id, path } in cgroups {
        if wanted < MOST && shares.place(path).is_ok() {
            shares.listed(*id, 0, path);
            wanted += 1;
        }
    }
    let spare = endless.map_or(SPARE, |_| SPARE_ENDLESS);
    let first_born = (SLOT_FIRST + wanted.min(MOST) + spare).min(MOST - LEAST_BORN);
    let fitting = first_born.max(LEAST_BORN).min(MOST - first_born);
    let born = endless
        .and_then(|endless| endless.born_slots)
        .unwrap_or(fitting)
        .min(fitting);
    Slots {
        first_born,
        all: first_born + born,
        share: (born / PART_OF_BORN).max(SHARE),
    }
}

/// How a cgroup came to its slot.
#[derive(Clone, Debug)]
enum Held {
    /// User space found it; of the subtree with this id.
    Listed(u64),
    /// It was born; the kernel half charged it to the subtree with this slot and id.
    Born(u32, u64),
}

/// What the subtrees hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Shares {
    /// Subtrees that have a slot, by path.
    subtrees: HashMap<String, Share>,
    /// Cgroups below them, by id.
    held: HashMap<u64, Held>,
    /// Slots that nobody has.
    pub(super) spare: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Share {
    id: u64,
    slot: u32,
    listed: u32,
}

impl Shares {
    /// The slot of the subtree that a cgroup is below, `None` for one that is in none or is one itself; or why it is to
    /// have no slot.
    pub(super) fn place(&self, path: &str) -> Result<Option<u32>, Refused> {
        let Some(pattern::Subtree {
            path: uppermost,
            has_rows,
        }) = subtree(path)
        else {
            return Ok(None);
        };
        if uppermost == path {
            return Ok(None);
        }
        let most = if has_rows { SHARE_OF_ROWS } else { SHARE };
        match self.subtrees.get(uppermost) {
            Some(share) if share.listed < most => Ok(Some(share.slot)),
            Some(_) => Err(Refused::Share),
            // It found none itself.
            None => Err(Refused::Full),
        }
    }

    /// User space has given it this slot.
    pub(super) fn listed(&mut self, id: u64, slot: u32, path: &str) {
        let Some(uppermost) = subtree(path).map(|it| it.path) else {
            return;
        };
        if uppermost == path {
            self.begin(id, slot, path);
        } else if let Some(share) = self.subtrees.get_mut(uppermost) {
            share.listed += 1;
            self.held.insert(id, Held::Listed(share.id));
        }
    }

    fn begin(&mut self, id: u64, slot: u32, path: &str) {
        let share = Share {
            id,
            slot,
            listed: 0,
        };
        self.subtrees.insert(path.to_owned(), share);
    }

    /// The kernel half has given it this slot, out of the share of the subtree with slot `charged`. True if that is
    /// wrong: it is in no subtree, or one itself.
    pub(super) fn born(
        &mut self,
        id: u64,
        slot: u32,
        path: &str,
        charged: u32,
        charged_id: Option<u64>,
    ) -> bool {
        let uppermost = subtree(path).map(|it| it.path);
        if uppermost == Some(path) {
            self.begin(id, slot, path);
        }
        if charged == slot {
            return false;
        }
        if uppermost.is_none_or(|uppermost| uppermost == path) {
            return true;
        }
        if let Some(charged_id) = charged_id {
            self.charged(id, charged, charged_id);
        }
        false
    }

    /// The kernel half has charged it to the subtree with this slot and id.
    pub(super) fn charged(&mut self, id: u64, subtree: u32, subtree_id: u64) {
        self.held.insert(id, Held::Born(subtree, subtree_id));
    }

    /// It is gone: slot and id of the subtree that has one slot for newborns less.
    pub(super) fn forget(&mut self, id: u64, path: &str) -> Option<(u32, u64)> {
        if let Some(uppermost) = subtree(path).map(|it| it.path)
            && let Some(share) = self.subtrees.get_mut(uppermost)
        {
            if share.id == id {
                self.subtrees.remove(uppermost);
            } else if matches!(self.held.get(&id), Some(Held::Listed(of)) if *of == share.id) {
                share.listed -= 1;
            }
        }
        match self.held.remove(&id)? {
            Held::Listed(_) => None,
            Held::Born(slot, id) => Some((slot, id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LEAST_BORN, MOST, SHARE, SHARE_OF_ROWS, Shares, size};
    use crate::collect::watch::{Endless, Refused};
    use crate::host::cgroup::Cgroup;

    const ID: &str = "fe5215765b75d118956d04673775e556590714c3bdaa76c21f888cb4a2cc4182";

    fn tree(paths: impl Iterator<Item = String>) -> Vec<Cgroup> {
        let paths = std::iter::once("/".to_owned()).chain(paths);
        (1..)
            .zip(paths)
            .map(|(id, path)| Cgroup { id, path })
            .collect()
    }

    fn flat(count: usize) -> Vec<Cgroup> {
        tree((0..count).map(|number| format!("/c{number}")))
    }

    #[test]
    fn slots_for_what_is_there() {
        for (cgroups, first_born, all) in [
            (0, 3 + 1 + 64, 68 + LEAST_BORN),
            (1_000, 3 + 1_001 + 64, 1_068 + LEAST_BORN),
            // As many again.
            (4_096, 3 + 4_097 + 64, 2 * (3 + 4_097 + 64)),
            (14_337, 3 + 14_338 + 64, 2 * (3 + 14_338 + 64)),
            (20_000, 3 + 20_001 + 64, MOST),
            (30_000, 3 + 30_001 + 64, MOST),
            (31_000, MOST - LEAST_BORN, MOST),
            (262_144, MOST - LEAST_BORN, MOST),
        ] {
            let slots = size(&flat(cgroups), 0, None);
            assert_eq!(
                (slots.first_born, slots.all),
                (first_born, all),
                "{cgroups}"
            );
            assert_eq!(slots.share, ((all - first_born) / 4).max(SHARE));
        }
        let born_slots = Some(8);
        let few = size(&flat(10), 0, Some(Endless { born_slots }));
        assert_eq!((few.first_born, few.all), (3 + 11 + 1_024, 1_038 + 8));
    }

    #[test]
    fn what_one_container_creates_needs_no_more_than_its_share() {
        let below = (0..20_000).map(|number| format!("/docker/{ID}/{number}"));
        let all = ["/docker".to_owned(), format!("/docker/{ID}")];
        let slots = size(&tree(all.into_iter().chain(below)), 0, None);
        assert_eq!(slots.first_born, 3 + 3 + SHARE + 64);
        let below = (0..20_000).map(|number| format!("/team/{number}"));
        let slots = size(
            &tree(std::iter::once("/team".to_owned()).chain(below)),
            0,
            None,
        );
        assert_eq!(slots.first_born, 3 + 2 + SHARE_OF_ROWS + 64);
    }

    #[test]
    fn a_share_that_is_given_back_can_be_had_again() {
        let mut shares = Shares::default();
        let (top, child) = (format!("/docker/{ID}"), format!("/docker/{ID}/a"));
        // Below one that has no slot itself.
        assert_eq!(shares.place(&child), Err(Refused::Full));
        assert_eq!(shares.place(&top), Ok(None));
        shares.listed(1, 10, &top);
        for id in 0..u64::from(SHARE) {
            assert_eq!(shares.place(&child), Ok(Some(10)));
            shares.listed(100 + id, 11, &child);
        }
        assert_eq!(shares.place(&child), Err(Refused::Share));
        assert_eq!(shares.forget(100, &child), None);
        assert_eq!(shares.place(&child), Ok(Some(10)));
        // One that was born is the kernel half's to count.
        assert!(!shares.born(7, 50, &child, 10, Some(1)));
        assert_eq!(shares.forget(7, &child), Some((10, 1)));
        // A container that the kernel half took for a part of the cgroup above.
        assert!(shares.born(8, 51, &format!("/team/{ID}"), 10, Some(1)));
        assert!(shares.born(9, 52, "/kubepods.slice", 10, Some(1)));
        // The container ends before its last cgroup was put away, and another has its path.
        assert_eq!(shares.forget(1, &top), None);
        shares.listed(2, 12, &top);
        assert_eq!(shares.forget(101, &child), None);
        assert_eq!(shares.place(&child), Ok(Some(12)));
    }
}
