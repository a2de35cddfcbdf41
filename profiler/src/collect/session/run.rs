//! The loop of a session: what it waits for, and what each turn does.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::Session;
use super::notices::Left;
use crate::Result;
use crate::collect::observer::{Ended, Observer, Snapshot};
use crate::collect::pace::{Pace, Step, cannot_wait};
use crate::collect::slices::Slicer;
use crate::collect::takes::Takes;
use crate::collect::{RawLedger, Samples};
use crate::host::clock;
use crate::unwind::News;

/// Turns after the end: the ring holds about 480 notices.
const LAST_TURNS: usize = 4;

/// Processes that are looked at because they are there when a recording begins; others are when they are first seen.
const FOUND_AT_START: usize = 1_024;

impl Session<'_> {
    /// Records until `stop` resolves, `duration` has passed since the start, or every target is gone.
    ///
    /// # Errors
    /// A map cannot be read any more.
    pub async fn run(
        &mut self,
        duration: Option<Duration>,
        stop: impl Future<Output = Ended>,
        observer: &mut impl Observer,
    ) -> Result<Ended> {
        let mut pace = self.pace()?;
        let now_ns = clock::monotonic_ns();
        for process in self.found.drain(..).take(FOUND_AT_START) {
            observer.process_seen(process, None, now_ns);
        }
        let period = self.plan.interval.unwrap_or(Duration::MAX);
        let mut snapshots = tokio::time::interval_at(far(period), period);
        snapshots.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let slice = self.plan.slices.unwrap_or(Duration::MAX);
        let mut slices =
            tokio::time::interval_at(far(slice.saturating_sub(self.started.elapsed())), slice);
        slices.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let rest = duration.map_or(Duration::MAX, |duration| {
            duration.saturating_sub(self.started.elapsed())
        });
        let deadline = tokio::time::sleep(rest);
        tokio::pin!(deadline, stop);
        let ended = loop {
            tokio::select! {
                biased;
                ended = &mut stop => break ended,
                () = &mut deadline => break Ended::InTime,
                _ = snapshots.tick() => self.snapshot(observer)?,
                _ = slices.tick() => self.slice()?,
                stepped = self.step(&mut pace, observer) => {
                    let stepped = stepped?;
                    observer.turn()?;
                    if stepped == Step::Tick && self.targets_are_gone()? {
                        break Ended::TargetsGone;
                    }
                }
            }
        };
        self.stop()?;
        self.take_side_band(observer, true);
        // What came until now, and no more: others of the host go on.
        let mut events = pace.events.into_inner();
        for _ in 0..LAST_TURNS {
            if self.take_events(&mut events, observer)? == Left::Nothing {
                break;
            }
        }
        Ok(ended)
    }

    /// Waits for the next thing that happens, and acts on it. Cancel-safe.
    ///
    /// # Errors
    /// A map cannot be read any more.
    pub(in crate::collect) async fn step(
        &mut self,
        pace: &mut Pace,
        observer: &mut impl Observer,
    ) -> Result<Step> {
        tokio::select! {
            biased;
            _ = pace.ticks.tick() => {
                self.tick(observer)?;
                Ok(Step::Tick)
            }
            _ = pace.unwind_ticks.tick(), if self.unwinds() => {
                self.tell_unwinding(observer);
                Ok(Step::Other)
            }
            _ = pace.side_ticks.tick() => {
                self.side_bands.follow_cpus();
                self.take_side_band(observer, false);
                Ok(Step::Other)
            }
            ready = pace.events.readable_mut() => {
                let mut ready = ready.map_err(|error| cannot_wait(&error))?;
                if self.take_events(ready.get_inner_mut(), observer)? == Left::Nothing {
                    ready.clear_ready();
                }
                Ok(Step::Other)
            }
        }
    }

    fn tick(&mut self, observer: &mut impl Observer) -> Result<()> {
        self.kernel.flush_log();
        self.drain()?;
        if let Some(sampler) = &mut self.sampler {
            sampler.follow_cpus(&mut self.kernel)?;
        }
        self.views.tick(&mut self.kernel)?;
        let mut has_more = false;
        for identity in observer.drained(self.started.elapsed(), &self.samples) {
            has_more |= self.include(&identity.cgroup, &identity)?;
        }
        self.look_again(has_more)
    }

    /// Takes over what was counted since the last drain, but for where nobody wants it.
    pub(in crate::collect) fn drain(&mut self) -> Result<()> {
        if self.takes.as_ref().is_some_and(Takes::is_empty) {
            return Ok(());
        }
        let mut new = Samples::default();
        let samples = match &self.takes {
            Some(_) => &mut new,
            None => &mut self.samples,
        };
        samples.drain(&mut self.maps)?;
        if let Some(ledger) = &mut self.ledger {
            samples.add_burnt(ledger.burnt_periods()?);
        }
        if let Some(takes) = &mut self.takes {
            takes.give(&new, &self.watch);
        }
        Ok(())
    }

    /// Hands over what happened to processes.
    pub(super) fn take_side_band(&mut self, observer: &mut impl Observer, is_end: bool) {
        let records = self.side_bands.take(is_end);
        if !records.is_empty() {
            observer.happened(records);
        }
    }

    /// Whether there may be something to tell of unwinding, or to take back.
    fn unwinds(&self) -> bool {
        let Some(unwinding) = &self.unwinding else {
            return false;
        };
        let takes = self.takes.as_ref();
        takes.is_none_or(|takes| !takes.is_empty()) || unwinding.has_told()
    }

    /// Has the kernel half unwind the stacks of what has become known since the last time.
    fn tell_unwinding(&mut self, observer: &mut impl Observer) {
        let Some(unwinding) = &mut self.unwinding else {
            return;
        };
        let news = observer.unwind_news();
        let is_more = news.iter().any(News::is_more);
        self.unavailable
            .extend(unwinding.tell(news, &mut self.kernel));
        if let Some(completing) = &mut self.completing {
            if is_more {
                completing.is_due();
            }
            completing.visit(&mut self.kernel);
        }
    }

    /// Another piece of the recording is over.
    fn slice(&mut self) -> Result<()> {
        let elapsed = self.started.elapsed();
        if self.slicer.as_ref().is_none_or(|it| !it.is_due(elapsed)) {
            return Ok(());
        }
        self.drain()?;
        let ledger = match &mut self.ledger {
            Some(ledger) => {
                ledger.settle(&mut self.kernel)?;
                let before = self.slicer.as_ref().map(Slicer::last);
                let none = RawLedger::default();
                let before = before.unwrap_or(&none);
                Some(ledger.read_accounts(self.watch.every_slot(), before)?)
            }
            None => None,
        };
        let raw = self.views.read()?;
        if let Some(slicer) = &mut self.slicer {
            slicer.cut(self.started.elapsed(), ledger, &raw, &mut self.samples);
        }
        Ok(())
    }

    fn snapshot(&mut self, observer: &mut impl Observer) -> Result<()> {
        if self.views.is_empty() {
            return Ok(());
        }
        let thread_time_ns = match &mut self.ledger {
            Some(ledger) => {
                ledger.settle(&mut self.kernel)?;
                let figures = ledger.read(self.watch.every_slot(), &RawLedger::default())?;
                Some(figures.thread_time_ns())
            }
            None => None,
        };
        observer.snapshot(&Snapshot {
            thread_time_ns,
            elapsed: self.started.elapsed(),
            watch: &self.watch,
            raw: self.views.read()?,
        })
    }
}

/// This long from now; a year from now if that is beyond the clock.
fn far(period: Duration) -> tokio::time::Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    let now = tokio::time::Instant::now();
    now.checked_add(period).unwrap_or(now + YEAR)
}
