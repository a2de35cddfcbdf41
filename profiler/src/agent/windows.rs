//! Windows in the making: what the core's session brings home for profiles on demand, and who is told what happens meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::groups::Groups;
use super::handle::Begin;
use crate::bpf::SamplingEvent;
use crate::collect::{Live, Observer, Samples, TakeId};
use crate::model::{ContainerIdentity, ProcessKey, SideBand};
use crate::recording::{Finished, OnDemand};
use crate::unwind::News;
use crate::{Error, Result};

/// One of them.
struct InTheMaking {
    recording: OnDemand,
    waited_for: oneshot::Receiver<()>,
}

/// All of them.
pub(super) struct Windows {
    frequency_hz: u64,
    event: SamplingEvent,
    all: BTreeMap<TakeId, InTheMaking>,
    /// The one that says how stacks are unwound, for all of them: the kernel half has one table for each file.
    unwinds: Option<TakeId>,
}

impl Windows {
    /// None yet. `frequency_hz` and `event` are the session's.
    pub(super) const fn new(frequency_hz: u64, event: SamplingEvent) -> Self {
        Self {
            frequency_hz,
            event,
            all: BTreeMap::new(),
            unwinds: None,
        }
    }

    /// Begins one, and tells who asked.
    pub(super) fn begin(&mut self, live: &mut Live<'_>, begin: Begin) {
        let Begin {
            targets,
            states,
            opening,
            waited_for,
            answer,
        } = begin;
        let recording = OnDemand::new(opening, self.frequency_hz, self.event);
        let begun = live.begin(targets, states);
        if let Ok(id) = begun {
            let one = InTheMaking {
                recording,
                waited_for,
            };
            self.all.insert(id, one);
        }
        // Whoever asked may have gone: then nobody waits, and it ends with the next tick.
        let _ = answer.send(begun);
    }

    /// Ends one: what it brought home.
    pub(super) fn end(&mut self, live: &mut Live<'_>, id: TakeId) -> Result<Finished> {
        let one = self.all.remove(&id);
        match (one, live.end(id)?) {
            (Some(one), Some(recorded)) => Ok(one.recording.end(recorded)),
            _ => Err(Error::Failed("the recording has ended already".to_owned())),
        }
    }

    /// Ends those that nobody waits for any more.
    pub(super) fn end_forgotten(&mut self, live: &mut Live<'_>) -> Result<()> {
        let forgotten: Vec<TakeId> = self
            .all
            .iter_mut()
            .filter_map(|(id, one)| {
                let is_closed = one.waited_for.try_recv() == Err(TryRecvError::Closed);
                is_closed.then_some(*id)
            })
            .collect();
        for id in forgotten {
            tracing::info!("a client is gone: its recording ended");
            self.all.remove(&id);
            live.end(id)?;
        }
        Ok(())
    }
}

/// Names newborn cgroups while their runtime's files are there, and tells windows in the making what happens.
pub(super) struct Witness<'w, 'a> {
    pub(super) groups: &'w mut Groups<'a>,
    pub(super) windows: &'w mut Windows,
}

impl Witness<'_, '_> {
    fn each(&mut self) -> impl Iterator<Item = &mut impl Observer> {
        let all = self.windows.all.values_mut();
        all.map(|one| one.recording.observer())
    }
}

impl Observer for Witness<'_, '_> {
    fn process_seen(&mut self, process: ProcessKey, parent: Option<ProcessKey>, at_ns: u64) {
        self.each()
            .for_each(|it| it.process_seen(process, parent, at_ns));
    }

    fn happened(&mut self, records: Vec<SideBand>) {
        self.each().for_each(|it| it.happened(records.clone()));
    }

    fn unwind_news(&mut self) -> Vec<News> {
        let first = self.windows.all.keys().next().copied();
        let mut news = Vec::new();
        let is_another = self.windows.unwinds != first;
        if is_another {
            self.windows.unwinds = first;
            news.push(News::Anew);
        }
        if let Some(one) = self.each().next() {
            if is_another {
                one.unwind_anew();
            }
            news.append(&mut one.unwind_news());
        }
        news
    }

    fn cgroup_born(&mut self, path: &str) -> ContainerIdentity {
        self.groups.born(path);
        let identities = self.each().map(|it| it.cgroup_born(path));
        // All of them know the same names.
        identities.last().unwrap_or_default()
    }

    fn drained(&mut self, elapsed: Duration, samples: &Samples) -> Vec<ContainerIdentity> {
        self.each()
            .flat_map(|it| it.drained(elapsed, samples))
            .collect()
    }
}
