//! Naming: the addresses of a process, or of the kernel, as frames.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::ahead::Wanted;
use super::kernel::KernelSymbols;
use super::lookup::{Lookup, plain};
use super::process::{Absent, Image, PerfMap};
use super::safe_open::Held;
use super::{Kernel, PATIENCE, Problem, Symbolizer, names, roots};
use crate::model::{CallerAt, Frame, FrameKind, FrameTable, Module, ProcessKey, Resolved};

/// How long a call of [`Symbolizer::user_until`] waits for a look.
const FOR_LOOK: Duration = Duration::from_millis(20);

/// How long a perf map may take to read where nobody has said when names have to be there.
pub(super) const FOR_PERF_MAP: Duration = Duration::from_secs(10);

/// Most generations of forks that a name is looked for in.
const MAX_FORKS: usize = 8;

/// For how long somebody waits for names.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// When they were asked for: whatever was read since will do.
    pub asked: Instant,
    /// When this attempt is over.
    pub deadline: Instant,
    /// When the last one is: debug information is given up in time for symbols to be there then.
    pub last: Instant,
}

impl Patience {
    /// One attempt, from now until `deadline`.
    fn until(deadline: Instant) -> Self {
        Self {
            asked: Instant::now(),
            deadline,
            last: deadline,
        }
    }
}

/// Frames of addresses, as far as they could be named in time.
#[derive(Debug)]
pub struct InTime {
    /// Aligned with the addresses.
    pub frames: Vec<Resolved>,
    /// Something was not read by the deadline: it may be when they are asked for again.
    pub is_late: bool,
}

impl Symbolizer {
    /// The process itself if it could be looked at, else the nearest such process that it was forked from.
    pub(super) fn nearest_known(&self, process: ProcessKey) -> Option<ProcessKey> {
        let is_known = |key| {
            let image = self.processes.image(key);
            image.is_some_and(Image::is_known)
        };
        let mut key = process;
        for _ in 0..MAX_FORKS {
            if is_known(key) {
                return Some(key);
            }
            key = *self.parents.get(&key)?;
        }
        None
    }

    /// The perf map that describes the code of a process: its own, or, of a fork that has none, that of the process that it
    /// was forked from, which wrote down what both have.
    fn perf_map(&self, process: ProcessKey) -> Option<Arc<Held>> {
        let mut key = process;
        for _ in 0..MAX_FORKS {
            match self.processes.image(key).map(|image| &image.perf_map) {
                Some(PerfMap::Held(map)) => return Some(Arc::clone(map)),
                Some(PerfMap::Refused) => return None,
                Some(PerfMap::None) | None => {}
            }
            key = *self.parents.get(&key)?;
        }
        None
    }

    /// Resolves unique user addresses of one process image; the result is aligned with `addresses`.
    ///
    /// Addresses are looked up as they are: of a return address, pass the byte before.
    pub fn user(
        &mut self,
        process: ProcessKey,
        addresses: &[u64],
        table: &mut FrameTable,
    ) -> Vec<Resolved> {
        if self.processes.image(process).is_none() && self.deadline.is_none() {
            self.observe(process);
        }
        let deadline = self.deadline;
        let deadline = deadline.unwrap_or_else(|| Instant::now() + FOR_PERF_MAP);
        self.resolve(process, addresses, Patience::until(deadline), table)
            .frames
    }

    /// As [`Symbolizer::user`], of a process that goes on, and for whoever asks again and again: looks at it once more, and
    /// waits for that and for its files no longer than until the deadline. What is late then is read on beside, and there when
    /// it is asked for again.
    pub fn user_until(
        &mut self,
        process: ProcessKey,
        addresses: &[u64],
        patience: Patience,
        table: &mut FrameTable,
    ) -> InTime {
        let for_look = Instant::now() + FOR_LOOK;
        self.look_again([process], patience.deadline.min(for_look));
        let known = self.nearest_known(process);
        let image = known.and_then(|key| self.processes.image(key));
        let is_read = image.is_none_or(|image| {
            let mut wanted = Wanted::default();
            wanted.add(image, addresses);
            let (options, pool) = (&self.options, &self.pool);
            self.cache
                .read_until(wanted, options, patience, pool, &mut self.problems)
        });
        let mut in_time = self.resolve(process, addresses, patience, table);
        let is_unknown = known.is_none() && self.processes.image(process).is_none();
        in_time.is_late |= !is_read || is_unknown;
        in_time
    }

    fn resolve(
        &mut self,
        process: ProcessKey,
        addresses: &[u64],
        patience: Patience,
        table: &mut FrameTable,
    ) -> InTime {
        let known = self.nearest_known(process);
        let Some(image) = known.and_then(|key| self.processes.image(key)) else {
            let absent = self.processes.image(process).map(|image| image.absent);
            let what = match absent {
                Some(Absent::Exited) => {
                    self.tell(process, Problem::ProcessGone);
                    "exited"
                }
                Some(Absent::Unreadable(problem)) => {
                    self.tell(process, problem);
                    "unreadable"
                }
                None => "unknown", // above a limit, or not looked at in time
            };
            let addresses = addresses.iter();
            return InTime {
                frames: addresses
                    .map(|address| plain(table, what, *address, None))
                    .collect(),
                is_late: false,
            };
        };
        let lookup = Lookup {
            image,
            perf_map: self.perf_map(process),
            cache: &mut self.cache,
            options: &self.options,
            perf_maps: &mut self.perf_maps,
            pool: &self.pool,
            patience,
            problems: &mut self.problems,
            table,
            is_late: false,
        };
        lookup.resolve(addresses)
    }

    /// Has the kernel's symbols read beside what else is done, for [`Symbolizer::kernel`].
    pub fn begin_kernel(&mut self) {
        if !matches!(self.kernel, Kernel::Unread) {
            return;
        }
        let path = self.options.proc_root.join("kallsyms");
        let (sender, receiver) = mpsc::channel();
        self.pool.submit(move || {
            let _ = sender.send(KernelSymbols::read(&path));
        });
        self.kernel = Kernel::Reading(receiver);
    }

    /// Resolves unique kernel addresses; the result is aligned with `addresses`.
    pub fn kernel(&mut self, addresses: &[u64], table: &mut FrameTable) -> Vec<Resolved> {
        self.begin_kernel();
        if let Kernel::Reading(symbols) = &self.kernel {
            let until = self.deadline.unwrap_or_else(|| Instant::now() + PATIENCE);
            // Where all threads hang, they are read here: for these, nobody waits.
            let read = || KernelSymbols::read(&self.options.proc_root.join("kallsyms"));
            let received = self.pool.receive(symbols, until);
            let (symbols, problem) = received.unwrap_or_else(read);
            if let Some(problem) = problem {
                self.problems.add(problem);
            }
            self.kernel = Kernel::Read(symbols);
        }
        let none = KernelSymbols::default();
        let symbols = match &self.kernel {
            Kernel::Read(symbols) => symbols,
            Kernel::Unread | Kernel::Reading(_) => &none,
        };
        addresses
            .iter()
            .map(|address| {
                let found = symbols.find(*address);
                let (name, module) = match found {
                    Some(found) => (names::clean(found.name), names::clean(found.module)),
                    None => (names::unnamed("kernel", *address), Arc::from("[kernel]")),
                };
                let is_root = roots::is_kernel_root(&name);
                let module = table.intern_module(Module {
                    path: module,
                    build_id: Arc::from(""),
                });
                let frame = Frame {
                    function: name,
                    kind: FrameKind::Kernel,
                    module: Some(module),
                    address: *address,
                    inlined: false,
                    file: None,
                    line: 0,
                };
                Resolved {
                    frames: vec![table.intern(frame)],
                    is_root,
                    is_code: true,
                    caller: CallerAt::Unknown,
                }
            })
            .collect()
    }
}
