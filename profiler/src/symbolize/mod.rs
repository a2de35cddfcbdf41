//! Addresses to names: kernel, ELF, Go, JIT maps, vDSO.
//!
//! While recording, [`Symbolizer::notice`] has each process looked at, and holds its executables, perf map and root
//! folder open, so that frames have names although the process exits or its files are replaced. At the end,
//! [`Symbolizer::user`] and [`Symbolizer::kernel`] turn unique addresses into frames.
//!
//! A process and its files decide how long looking at them takes, so that happens on threads of a [`Pool`], and whoever
//! waits for it does so up to a deadline. What is not known by then is a [`Problem`].
//!
//! Containers control every file read here. What that means is said where it is dealt with: `safe_open` (names,
//! links, FIFOs), `walk` (paths within a container), `elf::source` (sizes, truncation), `elf::packed` (what unpacks to
//! more), `separate` (another build's debug information), `budget` (time), `dwarf` (memory), `jit` (perf maps), `names`
//! (what is shown), `process::mounts` (files that a process serves).

mod ahead;
mod binary;
mod budget;
mod cache;
mod dwarf;
pub(crate) mod elf;
mod followed;
pub(crate) mod go;
mod jit;
mod kernel;
mod lent;
mod lookup;
#[cfg(test)]
mod mutated_files;
mod names;
mod perf_maps;
mod pool;
mod process;
mod roots;
mod safe_open;
mod separate;
mod unwinding;
pub(crate) mod vdso;
mod walk;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use self::ahead::Wanted;
use self::cache::Cache;
use self::followed::Following;
use self::kernel::KernelSymbols;
use self::lookup::{Lookup, plain};
use self::perf_maps::PerfMaps;
pub(crate) use self::pool::Pool;
use self::process::{Absent, Image, PerfMap, Processes};
use self::safe_open::Held;
use self::unwinding::Unwinding;
use crate::model::problem as problems;
use crate::model::{
    CallerAt, Frame, FrameKind, FrameTable, Happened, Module, ProcessKey, Resolved, SideBand,
};
pub use crate::model::{Problem, Problems};
use crate::unwind::News;

/// Where distributions install debug information apart from programs.
const DEBUG_FOLDER: &str = "/usr/lib/debug";

/// Processes forgotten between two looks for files that nobody maps any more.
const FORGOTTEN_PER_SWEEP: u64 = 256;

/// How long [`Symbolizer::observe`] waits for its look. A usual one takes a tenth of a millisecond.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a call of [`Symbolizer::user_until`] waits for a look.
const FOR_LOOK: Duration = Duration::from_millis(20);

/// How long a perf map may take to read where nobody has said when names have to be there.
const FOR_PERF_MAP: Duration = Duration::from_secs(10);

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

/// How far the symbolizer goes. Each limit has its [`Problem`], counted when it bites.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where procfs is mounted, seen from the initial PID namespace.
    pub proc_root: PathBuf,
    /// Show inlined functions, source files and lines, where debug information is there.
    pub inlined: bool,
    /// Look for debug information that is installed apart from its program, in the container and on the host.
    pub separate_debug_files: bool,
    /// Mapped files held open; each costs a file descriptor.
    pub max_files: usize,
    /// Process images known.
    pub max_processes: usize,
    /// Executable mappings of one process.
    pub max_mappings: usize,
    /// Size of a perf map.
    pub max_perf_map_bytes: u64,
    /// Size of one symbol table or its names.
    pub max_table_bytes: u64,
    /// Size of the debug information of one file.
    pub max_debug_bytes: u64,
    /// Memory for the tables of files already read; those used longest ago are dropped.
    pub cache_bytes: usize,
    /// [`Symbolizer::unwind_news`] is asked for.
    pub unwind: bool,
}

impl Default for Options {
    /// Limits for a host of 4,096 containers. Half of the process' file descriptors are used at most.
    fn default() -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let descriptors = limit.map_or(usize::MAX, |limit| {
            usize::try_from(limit).unwrap_or(usize::MAX)
        });
        Self {
            proc_root: PathBuf::from("/proc"),
            inlined: true,
            separate_debug_files: true,
            max_files: (descriptors / 2).min(16_384),
            max_processes: 65_536,
            max_mappings: 16_384,
            max_perf_map_bytes: 64 << 20,
            max_table_bytes: 128 << 20,
            max_debug_bytes: 256 << 20,
            cache_bytes: 256 << 20,
            unwind: false,
        }
    }
}

/// The kernel's symbols.
#[derive(Debug, Default)]
enum Kernel {
    #[default]
    Unread,
    Reading(mpsc::Receiver<(KernelSymbols, Option<Problem>)>),
    Read(KernelSymbols),
}

/// Turns addresses of processes and of the kernel into frames.
#[derive(Debug)]
pub struct Symbolizer {
    options: Options,
    processes: Processes,
    cache: Cache,
    perf_maps: PerfMaps,
    pool: Pool,
    /// When everything has to be named.
    deadline: Option<Instant>,
    kernel: Kernel,
    /// What a process was forked from without calling `execve` since.
    parents: HashMap<ProcessKey, ProcessKey>,
    following: Following,
    unwinding: Unwinding,
    /// When a process image was first seen running, in ns of `CLOCK_MONOTONIC`.
    seen_at: HashMap<ProcessKey, u64>,
    /// Process ids that were noticed at a moment until which not all records are there.
    too_new: Vec<(u32, u64)>,
    /// Processes that were noticed within the pause after a look at them.
    paused: HashSet<ProcessKey>,
    problems: Problems,
    /// Processes of which a problem is counted.
    told: HashSet<ProcessKey>,
    forgotten: u64,
}

impl Symbolizer {
    /// A symbolizer that knows no process yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            processes: Processes::new(&options),
            options,
            cache: Cache::default(),
            perf_maps: PerfMaps::default(),
            pool: Pool::new(ahead::width()),
            deadline: None,
            kernel: Kernel::default(),
            parents: HashMap::new(),
            following: Following::default(),
            unwinding: Unwinding::default(),
            seen_at: HashMap::new(),
            too_new: Vec::new(),
            paused: HashSet::new(),
            problems: Problems::default(),
            told: HashSet::new(),
            forgotten: 0,
        }
    }

    /// A process was seen running: has its mappings read, and what is needed to name its frames later held. Never waits.
    ///
    /// May be called again and again, to see what was mapped since (`dlopen`, JIT): a process is looked at when its last
    /// look is over, and the less often the longer that took. One that is gone already is remembered as such: its
    /// frames will read `[exited+0xaddress]`.
    ///
    /// `parent` is the process that it was forked from, if both still have the image of then. Such a fork maps what its
    /// parent maps: one that is gone before it could be looked at, such as a subshell, is named through its parent.
    pub fn notice(&mut self, process: ProcessKey, parent: Option<ProcessKey>) {
        self.receive();
        if let Some(parent) = parent.filter(|parent| *parent != process) {
            if self.parents.len() < self.options.max_processes {
                self.parents.insert(process, parent);
            }
            // What a parent has compiled may be younger than the look at it, and is the child's as well.
            let may_lack_map = |image: &Image| matches!(image.perf_map, PerfMap::None);
            if self.processes.image(parent).is_none_or(may_lack_map) {
                self.want_soon(parent);
            }
        }
        self.want_soon(process);
    }

    /// Wants a look now, or as soon as the pause after the last one is over.
    fn want_soon(&mut self, process: ProcessKey) {
        if !self.want(process, None) && self.paused.len() < self.options.max_processes {
            self.paused.insert(process);
        }
    }

    /// As [`Symbolizer::notice`], of an image that ran at a moment of `CLOCK_MONOTONIC`: what
    /// [`Symbolizer::happened`] says of the process at that moment is kept.
    pub fn notice_at(&mut self, process: ProcessKey, parent: Option<ProcessKey>, at_ns: u64) {
        self.notice(process, parent);
        if self.seen_at.len() < self.options.max_processes {
            self.seen_at.entry(process).or_insert(at_ns);
        }
        if at_ns <= self.following.newest_ns() {
            self.want_followed(process.pid, at_ns);
        } else if self.too_new.len() < self.options.max_processes {
            self.too_new.push((process.pid, at_ns));
        }
    }

    fn want_followed(&mut self, pid: u32, at_ns: u64) {
        if let Some((files, relatives)) = self.following.want(pid, at_ns) {
            self.processes.search(files, &relatives, &self.pool);
        }
    }

    /// Keeps what is followed of the processes that were noticed, as far as it is known until `ns`.
    fn want_until(&mut self, ns: u64) {
        let known = |(_, at_ns): &mut (u32, u64)| *at_ns <= ns;
        let known: Vec<(u32, u64)> = self.too_new.extract_if(.., known).collect();
        for (pid, at_ns) in known {
            self.want_followed(pid, at_ns);
        }
    }

    /// Takes over what the kernel has written down, all until a moment, in order. Processes that were noticed are known
    /// from it, although no look at them came in time. Never waits.
    pub fn happened(&mut self, records: impl IntoIterator<Item = SideBand>) {
        for record in records {
            let pid = record.pid;
            // A library that was loaded now is to be unwound now.
            if self.options.unwind
                && matches!(record.what, Happened::Mapped(_))
                && let Some(process) = self.processes.latest(pid)
            {
                self.want_soon(process);
            }
            if let Some(file) = self.following.add(record) {
                let relatives = self.following.relatives(pid);
                self.processes.search(vec![file], &relatives, &self.pool);
            }
        }
        self.want_until(self.following.newest_ns());
    }

    fn want(&mut self, process: ProcessKey, patience: Option<Duration>) -> bool {
        let (pool, problems) = (&self.pool, &mut self.problems);
        self.processes.want(process, patience, pool, problems)
    }

    fn receive(&mut self) {
        self.processes.take_in(&self.pool, &mut self.problems);
    }

    /// Takes over what was found since the last call, and has those looked at again that were to be within a pause. To be
    /// called now and then. Never waits.
    pub fn take_in(&mut self) {
        self.receive();
        for process in std::mem::take(&mut self.paused) {
            self.want_soon(process);
        }
    }

    /// [`Symbolizer::unwind_news`] begins anew: whoever was told has forgotten it.
    pub fn unwind_anew(&mut self) {
        self.unwinding = Unwinding::default();
        self.processes.all_changed();
    }

    /// What the kernel half has to be told since the last call, so that it unwinds the stacks of the processes that were
    /// noticed. Never waits.
    pub fn unwind_news(&mut self) -> Vec<News> {
        self.take_in();
        let changed = self.processes.take_changed();
        let (pool, problems) = (&self.pool, &mut self.problems);
        self.unwinding
            .news(changed, &self.processes, pool, problems)
    }

    /// As [`Symbolizer::notice`], and waits until the process was looked at, but no longer than a second.
    pub fn observe(&mut self, process: ProcessKey) {
        self.observe_within(process, PATIENCE);
    }

    /// The same with another patience. Where the last look took more than half as long, there is none: what is known has
    /// to do.
    pub fn observe_within(&mut self, process: ProcessKey, patience: Duration) {
        self.look_again([process], Instant::now() + patience);
    }

    /// Looks at these processes once more, as many as there is time for until `deadline`: they may have mapped libraries
    /// and compiled code since.
    pub fn look_again(
        &mut self,
        processes: impl IntoIterator<Item = ProcessKey>,
        deadline: Instant,
    ) {
        self.receive();
        let patience = deadline.saturating_duration_since(Instant::now());
        let (mut wanted, mut late) = (HashSet::new(), Vec::new());
        for process in processes {
            if self.want(process, Some(patience)) {
                wanted.insert(process);
            } else {
                late.push(process);
            }
        }
        let (pool, problems) = (&self.pool, &mut self.problems);
        late.extend(self.processes.wait_for(&wanted, deadline, pool, problems));
        for process in late {
            self.tell(process, Problem::ProcessLate);
        }
    }

    /// No process that has not been looked at will be: samples are at their end, and who has any is known.
    pub fn drop_waiting(&mut self) {
        self.processes.drop_waiting();
        self.unwinding.end();
    }

    /// Counts a problem of a process once.
    fn tell(&mut self, process: ProcessKey, problem: Problem) {
        if self.told.insert(process) {
            self.problems.add(problem);
        }
    }

    /// The process itself if it could be looked at, else the nearest such process that it was forked from.
    fn nearest_known(&self, process: ProcessKey) -> Option<ProcessKey> {
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

    /// Lets go of a process and of the files that only it maps. Names already given out stay valid.
    pub fn forget(&mut self, process: ProcessKey) {
        self.parents.remove(&process);
        self.told.remove(&process);
        self.seen_at.remove(&process);
        self.paused.remove(&process);
        self.processes.forget(process);
        self.forgotten += 1;
        if self.forgotten.is_multiple_of(FORGOTTEN_PER_SWEEP) {
            self.cache.retain(&self.processes.holds());
        }
    }

    /// Number of mapped files held open, and of process images known.
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        self.processes.counts()
    }

    /// What could not be symbolized so far, and why.
    #[must_use]
    pub fn problems(&self) -> &Problems {
        &self.problems
    }

    /// Reads what naming these addresses takes, several files at a time on several CPUs. [`Symbolizer::user`] names them
    /// without it as well, and reads one file after the other.
    ///
    /// With a `deadline`, what is not read by then is left without names, here and in what is named afterwards.
    pub fn read_ahead(
        &mut self,
        addresses: &BTreeMap<ProcessKey, Vec<u64>>,
        deadline: Option<Instant>,
    ) {
        self.receive();
        self.want_until(u64::MAX);
        let now = Instant::now();
        let for_files = deadline.map_or(PATIENCE, |deadline| {
            deadline.saturating_duration_since(now) / 4
        });
        self.processes.wait_for_files(now + for_files, &self.pool);
        for process in addresses.keys() {
            let seen_at = self.seen_at.get(process);
            let followed = seen_at.and_then(|at_ns| self.following.at(process.pid, *at_ns));
            if let Some(followed) = followed {
                self.processes.follow(*process, followed);
            }
        }
        let mut wanted = Wanted::default();
        for (process, addresses) in addresses {
            let known = self.nearest_known(*process);
            if let Some(image) = known.and_then(|key| self.processes.image(key)) {
                wanted.add(image, addresses);
            }
        }
        let (options, pool) = (&self.options, &self.pool);
        self.cache
            .read_ahead(wanted, options, deadline, pool, &mut self.problems);
        self.deadline = deadline;
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
