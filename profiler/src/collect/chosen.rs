//! What was chosen, while a recording goes on: what turns out to be meant, and whether anything of it is left.

use std::time::{Duration, Instant};

use super::Session;
use crate::Result;
use crate::host::clock;
use crate::model::ContainerIdentity;

/// How long a container, or what else was chosen by a name, may be gone before the recording ends: kubelet waits for 10 s before
/// it starts a container that crashed twice.
const RESTART: Duration = Duration::from_secs(15);

impl Session<'_> {
    /// Records a cgroup from now on if a rule means it. True if something was not recorded before.
    pub(super) fn include(&mut self, path: &str, identity: &ContainerIdentity) -> Result<bool> {
        let mut is_new = false;
        for rule in &self.plan.targets.rules {
            if let Some(root) = rule.root(path, identity) {
                is_new |= self.watch.record(&mut self.scope, root)?;
            }
        }
        if let Some(takes) = &mut self.takes
            && takes.include(path, identity, &self.watch, clock::monotonic_ns())?
            && let Some(ledger) = &mut self.ledger
        {
            ledger.stacks(&mut self.kernel)?;
        }
        Ok(is_new)
    }

    /// Has the threads of cgroups that are recorded only from now on know it.
    pub(super) fn look_again(&mut self, has_more: bool) -> Result<()> {
        match &mut self.ledger {
            Some(ledger) if has_more => ledger.look_again(&mut self.kernel),
            _ => Ok(()),
        }
    }

    /// Whether nothing of what was chosen is left, and nothing is expected to come.
    pub(super) fn targets_are_gone(&mut self) -> Result<bool> {
        if self.any_target_exists()? {
            self.gone_since = None;
            return Ok(false);
        }
        let since = self.gone_since.get_or_insert_with(Instant::now);
        Ok(self.plan.targets.rules.is_empty() || since.elapsed() >= RESTART)
    }

    fn any_target_exists(&self) -> Result<bool> {
        let Some(roots) = self.watch.roots() else {
            return Ok(true);
        };
        for root in roots {
            if self.plan.env.hierarchy.lookup(root)?.is_some() {
                return Ok(true);
            }
        }
        if let Some(ledger) = &self.ledger {
            for slot in self.watch.processes() {
                if ledger.has_threads(slot)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}
