//! Rare notices to user space, through the `EVENTS` ring buffer. Samples never travel this way.

use crate::views::View;

/// Longest cgroup path that a birth carries; a longer one is cut (user space then looks it up by id).
pub const PATH_BYTES: usize = 512;

/// A cgroup was created inside the scope: `id`, `slot` and `path` are set.
pub const CGROUP_BORN: u32 = 1;
/// A process image was sampled for the first time: `tgid`, `exec_id`, `id` and, if it has the memory that it was forked
/// with, `parent_tgid` and `parent_exec_id` are set.
pub const PROCESS_SEEN: u32 = 2;
/// A watched process called `execve`: `tgid`, the new `exec_id` and `id` are set.
pub const PROCESS_EXEC: u32 = 3;

/// Threads were moved to another cgroup: those that sleep have to be visited. Nothing else is set.
pub const THREADS_MOVED: u32 = 4;

/// A cgroup of the scope was removed: `id` is set.
pub const CGROUP_GONE: u32 = 5;

/// Kinds from this one on are [notices of views](of_view).
pub const VIEWS: u32 = 1 << 16;

/// The kind of a view's notice with this number, which is below 256. It is a record of the view's own, which begins with its
/// kind as an [`Event`] does.
#[must_use]
pub const fn of_view(view: View, number: u32) -> u32 {
    VIEWS | (view as u32) << 8 | number & 0xff
}

/// One notice.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Event {
    /// [`CGROUP_BORN`], [`CGROUP_GONE`], [`PROCESS_SEEN`], [`PROCESS_EXEC`] or [`THREADS_MOVED`]; a reader counts and
    /// skips others.
    pub kind: u32,
    /// Slot of the cgroup or process.
    pub slot: u32,
    /// Thread group id in the initial PID namespace.
    pub tgid: u32,
    /// See [`super::count_key::CountKey::exec_id`].
    pub exec_id: u32,
    /// Thread group id of the process that forked this one and still has the same image; 0 where there is none.
    pub parent_tgid: u32,
    /// Image of that process; see [`super::count_key::CountKey::exec_id`].
    pub parent_exec_id: u32,
    /// Kernfs id of the cgroup. Of processes: when this was, in ns of `CLOCK_MONOTONIC`.
    pub id: u64,
    /// Path from the root of the hierarchy, NUL-terminated.
    pub path: [u8; PATH_BYTES],
}

const _: () = assert!(size_of::<Event>() == 32 + PATH_BYTES);

/// A process that is there when a recording begins: written by the visit that enters its threads.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// See [`super::unwind::image`].
    pub image: u64,
    /// 1 if a thread of it has or wants a CPU.
    pub wants_cpu: u64,
}

impl Found {
    /// Decodes one from the iterator's output.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let word = |at| u64::from_ne_bytes(core::array::from_fn(|byte| bytes[at + byte]));
        Self {
            image: word(0),
            wants_cpu: word(8),
        }
    }
}
