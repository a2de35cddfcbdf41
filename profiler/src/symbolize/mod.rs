//! Addresses to names: kernel, ELF, Go, JIT maps, vDSO.
//!
//! While recording, [`Symbolizer::notice`] has each process looked at, and holds its executables, perf map and root
//! folder open, so that frames have names although the process exits or its files are replaced. At the end,
//! [`Symbolizer::user`] and [`Symbolizer::kernel`] turn unique addresses into frames.
//!
//! A process and its files decide how long looking at them takes, so that happens on threads of a [`Pool`], and whoever
//! waits for it does so up to a deadline. What is not known by then is a [`Problem`].
//!
//! - `noticed`: processes that were seen, and looking at them
//! - `naming`: addresses as frames
//! - `unwinding`: what the kernel half is told about unwinding their stacks
//!
//! Containers control every file read here. What that means is said where it is dealt with: `safe_open` (names,
//! links, FIFOs), `walk` (paths within a container), `elf::source` (sizes, truncation), `elf::packed` (what unpacks to
//! more), `separate` (another build's debug information), `budget` (time), `dwarf` (memory), `jit` (perf maps), `names`
//! (what is shown), `process::mounts` (files that a process serves).

mod ahead;
mod binary;
mod budget;
mod cache;
pub mod debuginfod;
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
#[cfg(test)]
mod mutation;
mod names;
mod naming;
mod noticed;
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

use self::ahead::{FOREVER, Wanted};
use self::cache::Cache;
use self::debuginfod::Servers;
use self::debuginfod::ahead::{Fetching, until};
use self::followed::Following;
pub(crate) use self::kernel::KernelSymbols;
use self::perf_maps::PerfMaps;
pub(crate) use self::pool::Pool;
use self::process::Processes;
use self::unwinding::Unwinding;
use crate::model::ProcessKey;
use crate::model::problem as problems;
pub use crate::model::{Problem, Problems};
use naming::FOR_PERF_MAP;
pub use naming::{InTime, Patience};

/// Where distributions install debug information apart from programs.
const DEBUG_FOLDER: &str = "/usr/lib/debug";

/// Processes forgotten between two looks for files that nobody maps any more.
const FORGOTTEN_PER_SWEEP: u64 = 256;

/// How long [`Symbolizer::observe`] waits for its look. A usual one takes a tenth of a millisecond.
const PATIENCE: Duration = Duration::from_secs(1);

/// How far the symbolizer goes. Each limit has its [`Problem`], counted when it bites.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where procfs is mounted, seen from the initial PID namespace.
    pub proc_root: PathBuf,
    /// Show inlined functions, source files and lines, where debug information is there.
    pub inlined: bool,
    /// Look for debug information that is installed apart from its program, in the container and on the host.
    pub separate_debug_files: bool,
    /// Servers that have debug information of which this host has none; `None` to ask nobody.
    pub debuginfod: Option<Arc<Servers>>,
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
            debuginfod: None,
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
    fetching: Fetching,
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
            fetching: Fetching::default(),
            seen_at: HashMap::new(),
            too_new: Vec::new(),
            paused: HashSet::new(),
            problems: Problems::default(),
            told: HashSet::new(),
            forgotten: 0,
        }
    }

    /// Counts a problem of a process once.
    fn tell(&mut self, process: ProcessKey, problem: Problem) {
        if self.told.insert(process) {
            self.problems.add(problem);
        }
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
        let wanted = self.wanted(addresses);
        self.read_wanted(wanted, deadline);
        self.deadline = deadline;
    }

    fn wanted(&self, addresses: &BTreeMap<ProcessKey, Vec<u64>>) -> Wanted {
        let mut wanted = Wanted::default();
        for (process, addresses) in addresses {
            let known = self.nearest_known(*process);
            if let Some(image) = known.and_then(|key| self.processes.image(key)) {
                wanted.add(image, addresses);
            }
        }
        wanted
    }

    /// Files whose debug information is to come from servers are read last, when it has come or the time for that is up.
    fn read_wanted(&mut self, mut wanted: Wanted, deadline: Option<Instant>) {
        let (options, pool) = (&self.options, &self.pool);
        let coming = options.debuginfod.as_ref().map(|servers| {
            let now = Instant::now();
            let for_looks = deadline.map_or(FOR_PERF_MAP, |deadline| {
                deadline.saturating_duration_since(now) / 4
            });
            self.fetching.ask(&wanted, &Arc::new(options.clone()), pool);
            self.fetching.settle(pool, now + for_looks);
            let (coming, build_ids) = self.fetching.coming(&mut wanted, servers);
            (servers, coming, build_ids)
        });
        let problems = &mut self.problems;
        self.cache
            .read_ahead(wanted, options, deadline, pool, problems);
        if let Some((servers, coming, build_ids)) = coming
            && !build_ids.is_empty()
        {
            let last = deadline.map_or_else(|| Instant::now() + FOREVER, until);
            servers.wait(&build_ids, last);
            self.cache
                .read_ahead(coming, options, deadline, pool, problems);
        }
    }

    /// Whether debug information is fetched from servers.
    #[must_use]
    pub fn fetches(&self) -> bool {
        self.options.debuginfod.is_some()
    }

    /// Has debug information fetched that naming these addresses will take, for [`Symbolizer::read_ahead`] to find. Never
    /// waits.
    pub fn fetch_ahead(&mut self, addresses: &BTreeMap<ProcessKey, Vec<u64>>) {
        let wanted = self.wanted(addresses);
        let options = Arc::new(self.options.clone());
        self.fetching.ask(&wanted, &options, &self.pool);
    }
}
