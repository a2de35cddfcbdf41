//! What the kernel half tells, one notice at a time.

use super::Session;
use crate::Result;
use crate::bpf::{Events, KernelEvent};
use crate::collect::observer::{Noticed, Observer};
use crate::host::clock;
use crate::model::ProcessKey;

/// Notices that are acted on before the event loop looks at the clock and at signals again.
const EVENTS_PER_TURN: usize = 256;

/// Whether there are more notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    Nothing,
    More,
}

impl Session<'_> {
    /// Acts on the kernel's notices, on so many at once: whoever makes the kernel send them without an end keeps neither
    /// the clock nor signals waiting.
    pub(super) fn take_events(
        &mut self,
        events: &mut Events,
        observer: &mut impl Observer,
    ) -> Result<Left> {
        // Before the notices: whoever is told of a process knows what it had mapped by then.
        self.take_side_band(observer, false);
        let mut moved = false;
        let mut has_more = false;
        let mut left = Left::More;
        for _ in 0..EVENTS_PER_TURN {
            let Some(event) = events.take() else {
                left = Left::Nothing;
                break;
            };
            match event {
                KernelEvent::CgroupBorn { id, slot, path } => {
                    let Some(path) = self.plan.env.hierarchy.path_from_kernel(&path) else {
                        // Out of sight from this cgroup namespace: its samples count as unknown.
                        continue;
                    };
                    let identity = observer.cgroup_born(&path);
                    has_more |= self.watch.born(&mut self.scope, id, slot, path.clone())?;
                    if let Some(takes) = &mut self.takes {
                        takes.born(slot, &path, clock::monotonic_ns())?;
                    }
                    has_more |= self.include(&path, &identity)?;
                }
                KernelEvent::CgroupGone { id } => self.watch.gone(id),
                KernelEvent::Process {
                    pid,
                    exec_id,
                    parent,
                    at_ns,
                } => {
                    let parent = parent.map(|(pid, exec_id)| ProcessKey { pid, exec_id });
                    observer.process_seen(ProcessKey { pid, exec_id }, parent, at_ns);
                }
                KernelEvent::ThreadsMoved => moved = true,
                KernelEvent::OfView(kind, bytes) => {
                    let Some(notice) = self.views.notice(kind, &bytes) else {
                        self.unknown_events += 1;
                        continue;
                    };
                    let user_stack = notice.user_stack();
                    if user_stack != 0 {
                        // Its stack may be newer than the last drain.
                        self.samples.drain(&mut self.maps)?;
                    }
                    let stack = self.samples.call_sites(user_stack).collect();
                    observer.noticed(&Noticed {
                        notice: &*notice,
                        stack,
                        watch: &self.watch,
                    })?;
                }
                KernelEvent::Unknown(_) => self.unknown_events += 1,
            }
        }
        if let (Some(ledger), true) = (&mut self.ledger, moved) {
            ledger.follow(&mut self.kernel)?;
        }
        self.look_again(has_more)?;
        Ok(left)
    }
}
