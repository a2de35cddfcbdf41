//! What of the host is recorded: cgroups that were chosen, or processes.

use std::collections::HashSet;

use ctprof_ebpf::abi::scope::SLOT_FIRST;

use super::WatchList;
use crate::bpf::ScopeMap;
use crate::host::Host;
use crate::host::cgroup::is_at_or_below;
use crate::host::containers::ProcessPath;
use crate::target::TargetProcess;
use crate::{Error, Result};

impl WatchList {
    /// Cgroups that are recorded with all below them: those that were chosen, and those that turned out to be meant;
    /// `None` for everything.
    #[must_use]
    pub fn roots(&self) -> Option<&[String]> {
        self.roots.as_deref()
    }

    /// Records a cgroup with all below it from now on. True if something was not recorded before.
    ///
    /// # Errors
    /// The scope map cannot be used.
    pub fn record(&mut self, scope: &mut ScopeMap, root: &str) -> Result<bool> {
        if self.is_recorded(root) {
            return Ok(false);
        }
        if let Some(roots) = &mut self.roots {
            roots.push(root.to_owned());
        }
        let below = self.cgroups.values();
        let below = below.filter(|(_, path)| is_at_or_below(path, root));
        let mut is_new = false;
        for (id, _) in below {
            is_new |= scope.record(*id)?;
        }
        Ok(is_new)
    }

    /// Gives each chosen process a slot, once the cgroups have theirs.
    ///
    /// # Errors
    /// The scope map cannot be used, or there are too many processes.
    pub fn choose(&mut self, scope: &mut ScopeMap, processes: &[TargetProcess]) -> Result<()> {
        for process in processes {
            let slot = SLOT_FIRST + self.given;
            if slot >= self.slots.first_born {
                return Err(Error::Failed(format!(
                    "cannot record process {}: this host has too many cgroups to leave room for it; choose its container",
                    process.pid
                )));
            }
            scope.choose(process.pid, slot)?;
            self.given += 1;
            let path = ProcessPath::new(process.pid).into_path();
            self.processes.insert(slot, (process.pid, path));
        }
        Ok(())
    }

    /// Gives the processes that descend from chosen ones the same slots, just before threads are entered.
    ///
    /// # Errors
    /// The scope map cannot be used.
    pub fn choose_descendants(&self, scope: &mut ScopeMap, host: &Host) -> Result<()> {
        // One that was chosen itself keeps its own.
        let mut seen: HashSet<u32> = self.processes.values().map(|(pid, _)| *pid).collect();
        for (slot, (pid, _)) in &self.processes {
            let mut left = vec![*pid];
            while let Some(parent) = left.pop() {
                for child in host.children(parent) {
                    if seen.insert(child) {
                        scope.choose(child, *slot)?;
                        left.push(child);
                    }
                }
            }
        }
        Ok(())
    }

    /// Slots of chosen processes.
    pub fn processes(&self) -> impl Iterator<Item = u32> {
        self.processes.keys().copied()
    }

    /// Whether what happens in this cgroup is recorded.
    #[must_use]
    pub fn is_recorded(&self, path: &str) -> bool {
        self.roots
            .as_ref()
            .is_none_or(|roots| roots.iter().any(|root| is_at_or_below(path, root)))
    }
}
