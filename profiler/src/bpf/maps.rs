//! Typed readers of the maps. One type a purpose; nobody outside sees a map.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use aya::maps::{Array, HashMap, PerCpuArray, RingBuf};
use ctprof_ebpf::abi::{
    count_key::{Count, CountKey},
    event::{self, Event},
    loss::Cause,
    stack::StackRecord,
};

use super::{Kernel, batch, batch::Retries, describe, loader::Owned};
use crate::{Error, Result};

/// Lets aya copy a record of the border in and out of a map.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Plain<T>(pub(crate) T);

// SAFETY: the records of the border are `#[repr(C)]` integers without padding (their sizes are asserted
// where they are defined), so every bit pattern is a value.
unsafe impl aya::Pod for Plain<CountKey> {}
// SAFETY: as above.
unsafe impl aya::Pod for Plain<StackRecord> {}
// SAFETY: as above.
unsafe impl aya::Pod for Plain<Count> {}

/// The record that these bytes begin with; `None` if they are too few.
pub(crate) fn record<T: Copy>(bytes: &[u8]) -> Option<T>
where
    Plain<T>: aya::Pod,
{
    let is_whole = bytes.len() >= size_of::<T>();
    // SAFETY: there are as many bytes as a `T` has, and every bit pattern is one (`Pod`).
    is_whole.then(|| unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// Sample counts and the stacks they refer to.
pub struct SampleMaps {
    counts: [HashMap<Owned, Plain<CountKey>, Plain<Count>>; 2],
    active: Array<Owned, u32>,
    stacks: HashMap<Owned, u64, Plain<StackRecord>>,
    half: u32,
    retries: Retries,
}

impl SampleMaps {
    /// The object's sample maps.
    ///
    /// # Errors
    /// The object lacks one of them.
    pub fn of(kernel: &mut Kernel) -> Result<Self> {
        Ok(Self {
            counts: [kernel.take("COUNTS_A")?, kernel.take("COUNTS_B")?],
            active: kernel.take("ACTIVE")?,
            stacks: kernel.take("STACKS")?,
            half: 0,
            retries: kernel.retries(),
        })
    }

    /// Makes the kernel half count into the other half, and returns the rows of the half that rested since
    /// the last call. It is empty afterwards. A sample that was in flight at the last switch has long ended.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn switch(&mut self) -> Result<Vec<(CountKey, Count)>> {
        let resting = 1 - self.half;
        let rows = self.empty(resting)?;
        self.active
            .set(0, resting, 0)
            .map_err(|error| failed("switch the sample counts", &error))?;
        self.half = resting;
        Ok(rows)
    }

    /// The rows of both halves, after sampling has stopped.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn finish(&mut self) -> Result<Vec<(CountKey, Count)>> {
        let mut rows = self.empty(0)?;
        rows.extend(self.empty(1)?);
        Ok(rows)
    }

    fn empty(&mut self, half: u32) -> Result<Vec<(CountKey, Count)>> {
        let mut rows = Vec::new();
        batch::drain(
            &mut self.counts[half as usize],
            &self.retries,
            |Plain(key), Plain(count)| rows.push((key, count)),
        )
        .map_err(|error| failed("read the sample counts", &error))?;
        Ok(rows)
    }

    /// Hands every stored stack to `take` and removes it. The kernel half stores it again when it is met again.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn drain_stacks(&mut self, mut take: impl FnMut(u64, &StackRecord)) -> Result<()> {
        batch::drain(&mut self.stacks, &self.retries, |key, Plain(record)| {
            take(key, &record);
        })
        .map_err(|error| failed("read the stacks", &error))
    }
}

/// The loss counters.
pub struct Losses(PerCpuArray<Owned, u64>);

impl Losses {
    /// The object's loss counters.
    ///
    /// # Errors
    /// The object has no such map.
    pub fn of(kernel: &mut Kernel) -> Result<Self> {
        kernel.take("LOSSES").map(Self)
    }

    /// Every cause with its count over all CPUs.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn read(&self) -> Result<Vec<(&'static str, u64)>> {
        Cause::all()
            .map(|(cause, name)| {
                let values = self
                    .0
                    .get(&cause.0, 0)
                    .map_err(|error| failed("read the loss counters", &error))?;
                Ok((name, values.iter().sum()))
            })
            .collect()
    }
}

/// A notice from the kernel half.
#[derive(Clone, Debug)]
pub enum KernelEvent {
    /// A cgroup was created below a watched one.
    CgroupBorn {
        /// Kernfs id.
        id: u64,
        /// Its slot.
        slot: u32,
        /// Path from the root of the hierarchy.
        path: String,
    },
    /// A cgroup of the scope was removed.
    CgroupGone {
        /// Kernfs id.
        id: u64,
    },
    /// A process was sampled for the first time, or replaced its image.
    Process {
        /// Process id in the initial PID namespace.
        pid: u32,
        /// Which of its images.
        exec_id: u32,
        /// Process id and image of the process that it was forked from, if both still have the image of then.
        parent: Option<(u32, u32)>,
        /// When it was seen, in ns of `CLOCK_MONOTONIC`.
        at_ns: u64,
    },
    /// Threads were moved to another cgroup.
    ThreadsMoved,
    /// A view's: its kind, and the record, which begins with that.
    OfView(u32, Box<[u8]>),
    /// A kind that this version does not know.
    Unknown(u32),
}

/// The ring of notices.
pub struct Events(RingBuf<Owned>);

impl Events {
    /// The object's ring.
    ///
    /// # Errors
    /// The object has no such map.
    pub fn of(kernel: &mut Kernel) -> Result<Self> {
        kernel.take("EVENTS").map(Self)
    }

    /// The next notice, if one is there.
    pub fn take(&mut self) -> Option<KernelEvent> {
        let item = self.0.next()?;
        let kind = item
            .first_chunk()
            .map_or(0, |kind| u32::from_ne_bytes(*kind));
        if kind >= event::VIEWS {
            return Some(KernelEvent::OfView(kind, Box::from(&*item)));
        }
        if item.len() < size_of::<Event>() {
            return Some(KernelEvent::Unknown(0));
        }
        // SAFETY: the entry is at least as large as an `Event`, whose fields are integers.
        let event: Event = unsafe { item.as_ptr().cast::<Event>().read_unaligned() };
        Some(match event.kind {
            event::CGROUP_BORN => {
                let end = event
                    .path
                    .iter()
                    .position(|byte| *byte == 0)
                    .unwrap_or(event.path.len());
                KernelEvent::CgroupBorn {
                    id: event.id,
                    slot: event.slot,
                    path: String::from_utf8_lossy(&event.path[..end]).into_owned(),
                }
            }
            event::CGROUP_GONE => KernelEvent::CgroupGone { id: event.id },
            event::PROCESS_SEEN | event::PROCESS_EXEC => KernelEvent::Process {
                pid: event.tgid,
                exec_id: event.exec_id,
                parent: (event.parent_tgid != 0)
                    .then_some((event.parent_tgid, event.parent_exec_id)),
                at_ns: event.id,
            },
            event::THREADS_MOVED => KernelEvent::ThreadsMoved,
            other => KernelEvent::Unknown(other),
        })
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Events {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

pub(crate) fn failed(action: &str, error: &(impl std::error::Error + 'static)) -> Error {
    Error::Failed(format!("cannot {action}: {}", describe(error)))
}
