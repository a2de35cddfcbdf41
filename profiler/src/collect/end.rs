//! The end of a recording, and what it brought home.

use std::time::Duration;

use super::{RawLedger, RawSlices, RawViews, Samples, Session, WatchList};
use crate::Result;
use crate::bpf::Sampler;
use crate::host::clock;
use crate::model::{Loss, Losses, Unavailable};
use crate::views;

/// What a recording brought home.
#[derive(Debug)]
pub struct Recorded {
    /// Samples and stacks.
    pub samples: Samples,
    /// The ledger's figures; `None` where there is no ledger.
    pub ledger: Option<RawLedger>,
    /// What was counted for views.
    pub raw: RawViews,
    /// The figures piece by piece; `None` where nobody asked for them.
    pub slices: Option<RawSlices>,
    /// Slots and cgroups.
    pub watch: WatchList,
    /// Cause -> count; every cause is there.
    pub lost: Losses,
    /// What this kernel could not give.
    pub unavailable: Vec<Unavailable>,
    /// Time from the first sample to the last.
    pub window: Duration,
    /// CPUs sampled.
    pub cpus: usize,
}

impl Session<'_> {
    /// Nothing is sampled or charged after this.
    pub(super) fn stop(&mut self) -> Result<()> {
        if self.ended.is_some() {
            return Ok(());
        }
        self.views.detach();
        if let Some(ledger) = &mut self.ledger {
            ledger.end(&mut self.kernel)?;
        }
        self.ended = Some(self.started.elapsed());
        self.ended_ns = clock::monotonic_ns();
        if let Some(sampler) = &mut self.sampler {
            sampler.stop(&mut self.kernel);
        }
        match &mut self.ledger {
            Some(ledger) => {
                ledger.close(&mut self.kernel)?;
                ledger.wait_for_ends(&mut self.kernel)
            }
            None => Ok(()),
        }
    }

    /// What was lost so far; every cause that the session knows is there.
    pub(super) fn lost(&self) -> Result<Losses> {
        let in_kernel = self.losses.read()?.into_iter();
        let mut lost: Losses = in_kernel
            .filter_map(|(cause, count)| Some((views::loss(cause)?, count)))
            .collect();
        lost.insert(Loss::UnknownEvent, self.unknown_events);
        lost.insert(Loss::ProgramMissed, self.kernel.missed_runs());
        lost.insert(Loss::MapReadAgain, self.kernel.batch_retries());
        lost.insert(Loss::MappingDropped, self.side_bands.lost());
        self.refused.correct(&mut lost);
        Ok(lost)
    }

    /// Brings in what is left and unloads everything.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn finish(mut self) -> Result<Recorded> {
        self.stop()?;
        self.samples.finish(&mut self.maps)?;
        let ledger = match self.ledger.take() {
            Some(mut ledger) => {
                self.samples.add_burnt(ledger.burnt_periods()?);
                Some(ledger.read(self.watch.every_slot(), &RawLedger::default())?)
            }
            None => None,
        };
        let raw = std::mem::take(&mut self.views).finish(self.ended_ns)?;
        self.kernel.flush_log();
        let window = self.ended.unwrap_or_else(|| self.started.elapsed());
        let slices = self
            .slicer
            .take()
            .map(|slicer| slicer.finish(window, ledger.as_ref(), &raw, &mut self.samples));
        let lost = self.lost()?;
        drop(self.scope);
        Ok(Recorded {
            samples: self.samples,
            ledger,
            raw,
            slices,
            watch: self.watch,
            lost,
            unavailable: self.unavailable,
            window,
            cpus: self.sampler.as_ref().map_or(0, Sampler::cpus),
        })
    }
}
