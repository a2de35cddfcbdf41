//! The beginning and the end of a window with stacks, in a session that goes on.

use super::ledger::grace_period;
use super::session::side_bands;
use super::side_band::SideBands;
use super::takes::{TakeId, Takes};
use super::{Live, RawLedger, RawViews, Recorded, Samples};
use crate::bpf::Sampler;
use crate::host::clock;
use crate::model::StateGroup;
use crate::target::Resolved;
use crate::{Error, Result};

impl Live<'_> {
    /// Begins a window of these targets, with stacks of these states.
    ///
    /// # Errors
    /// The session takes no stacks, or the kernel refuses to sample.
    pub fn begin(&mut self, targets: Resolved, states: &[StateGroup]) -> Result<TakeId> {
        // Of others that run already, everything until now is counted before this one begins.
        self.count_open()?;
        let before = (self.reading()?, self.session.lost()?);
        let session = &mut self.session;
        let Some(takes) = &mut session.takes else {
            return Err(Error::Failed(
                "this session takes no stacks: nobody said that they would be asked for".to_owned(),
            ));
        };
        if takes.is_empty() {
            session.side_bands = side_bands(&mut Vec::new());
        }
        let since_ns = clock::monotonic_ns();
        let id = takes.begin(targets, states, before, &session.watch, since_ns)?;
        let begun = self.follow_takes();
        if begun.is_err() {
            // Nobody would end it.
            self.end(id)?;
        }
        begun.map(|()| id)
    }

    /// Ends a window; `None` if there is none of this name.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn end(&mut self, id: TakeId) -> Result<Option<Recorded>> {
        self.count_open()?;
        let after = self.reading()?;
        let lost = self.session.lost()?;
        let session = &mut self.session;
        let Some(takes) = &mut session.takes else {
            return Ok(None);
        };
        let Some(take) = takes.end(id, &session.watch, clock::monotonic_ns())? else {
            return Ok(None);
        };
        let cpus = session.sampler.as_ref().map_or(0, Sampler::cpus);
        self.follow_takes()?;
        let session = &self.session;
        let lost = lost.into_iter().map(|(cause, count)| {
            let before = take.lost_before.get(&cause).copied().unwrap_or(0);
            (cause, count.saturating_sub(before))
        });
        Ok(Some(Recorded {
            ledger: Some(after.since(&take.before)),
            raw: RawViews::default(),
            slices: None,
            watch: session.watch.of_roots(take.roots),
            lost: lost.collect(),
            unavailable: session.unavailable.clone(),
            window: take.began.elapsed(),
            cpus,
            samples: take.samples,
        }))
    }

    /// Counts for the windows in the making what has been going on until now.
    fn count_open(&mut self) -> Result<()> {
        let session = &mut self.session;
        if session.takes.as_ref().is_none_or(Takes::is_empty) {
            return Ok(());
        }
        if let Some(ledger) = &mut session.ledger {
            ledger.stacks(&mut session.kernel)?;
        }
        // What is being counted at this moment, in the half that counts now, and then in the other.
        session.drain()?;
        grace_period();
        session.drain()
    }

    /// Samples, follows processes and has threads carry stacks as the windows in the making need it.
    fn follow_takes(&mut self) -> Result<()> {
        let session = &mut self.session;
        let Some(takes) = &session.takes else {
            return Ok(());
        };
        let (is_empty, samples) = (takes.is_empty(), takes.samples());
        if let Some(completing) = &mut session.completing {
            completing.is_due();
        }
        if let Some(ledger) = &mut session.ledger {
            ledger.stacks(&mut session.kernel)?;
        }
        match (&mut session.sampler, samples) {
            (None, true) => session.sample()?,
            (Some(sampler), false) => {
                sampler.stop(&mut session.kernel);
                session.sampler = None;
            }
            _ => {}
        }
        if is_empty {
            session.side_bands = SideBands::default();
            // Rows of hooks that were at work when stacks were still wanted are nobody's.
            grace_period();
            Samples::default().finish(&mut session.maps)?;
        }
        Ok(())
    }

    /// The ledger of now, once more.
    fn reading(&mut self) -> Result<RawLedger> {
        self.settle()?;
        Ok(self.last.clone())
    }
}
