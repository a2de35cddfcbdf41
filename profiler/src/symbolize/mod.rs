//! Addresses to names: kernel, ELF, Go, JIT maps, vDSO.
//!
//! While recording, [`Symbolizer::observe`] looks at each process once and holds its executables, perf map and root
//! folder open, so that frames have names although the process exits or its files are replaced. At the end,
//! [`Symbolizer::user`] and [`Symbolizer::kernel`] turn unique addresses into frames.
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
mod elf;
mod go;
mod jit;
mod kernel;
mod lookup;
#[cfg(test)]
mod mutated_files;
mod names;
mod problems;
mod process;
mod roots;
mod safe_open;
mod separate;
mod vdso;
mod walk;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use self::ahead::Wanted;
use self::cache::Cache;
use self::kernel::KernelSymbols;
use self::lookup::{Lookup, plain};
pub use self::problems::{Problem, Problems};
use self::process::{Absent, Processes};
use crate::model::{CallerAt, Frame, FrameKind, FrameTable, Module, ProcessKey, Resolved};

/// Where distributions install debug information apart from programs.
const DEBUG_FOLDER: &str = "/usr/lib/debug";

/// Processes forgotten between two looks for files that nobody maps any more.
const FORGOTTEN_PER_SWEEP: u64 = 256;

/// Most generations of forks that a name is looked for in.
const MAX_FORKS: usize = 8;

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
        }
    }
}

/// Turns addresses of processes and of the kernel into frames.
#[derive(Debug)]
pub struct Symbolizer {
    options: Options,
    processes: Processes,
    cache: Cache,
    kernel: Option<KernelSymbols>,
    /// What a process was forked from without calling `execve` since.
    parents: HashMap<ProcessKey, ProcessKey>,
    problems: Problems,
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
            kernel: None,
            parents: HashMap::new(),
            problems: Problems::default(),
            forgotten: 0,
        }
    }

    /// A process was seen running: reads its mappings and holds what is needed to name its frames later.
    ///
    /// Takes about a tenth of a millisecond; may be called again to see what was mapped since (`dlopen`, JIT). A process
    /// that is gone already is remembered as such: its frames will read `[exited+0xaddress]`.
    pub fn observe(&mut self, process: ProcessKey) {
        self.processes.observe(process, &mut self.problems);
    }

    /// As [`Symbolizer::observe`], for a process whose parent is known.
    ///
    /// A fork that has not called `execve` maps what its parent maps. A child that is gone before it could be looked
    /// at, such as a subshell, is named through its parent, if that is still the same image.
    pub fn observe_fork(&mut self, process: ProcessKey, parent: ProcessKey) {
        if parent.exec_id == process.exec_id && parent.pid > 1 {
            self.processes.observe(parent, &mut Problems::default());
            if self.nearest_known(parent).is_some() {
                self.parents.insert(process, parent);
                self.processes.observe(process, &mut Problems::default());
                return;
            }
        }
        self.observe(process);
    }

    /// The process itself if it could be looked at, else the nearest such process that it was forked from.
    fn nearest_known(&self, process: ProcessKey) -> Option<ProcessKey> {
        let is_known = |key| {
            let image = self.processes.image(key);
            image.is_some_and(|image| image.identity.is_some())
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

    /// Lets go of a process and of the files that only it maps. Names already given out stay valid.
    pub fn forget(&mut self, process: ProcessKey) {
        self.parents.remove(&process);
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
    pub fn read_ahead(&mut self, addresses: &BTreeMap<ProcessKey, Vec<u64>>) {
        let mut wanted = Wanted::default();
        for (process, addresses) in addresses {
            let known = self.nearest_known(*process);
            if let Some(image) = known.and_then(|key| self.processes.image(key)) {
                wanted.add(image, addresses);
            }
        }
        self.cache
            .read_ahead(wanted, &self.options, &mut self.problems);
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
        if self.processes.image(process).is_none() {
            self.observe(process);
        }
        let known = self.nearest_known(process);
        let Some(image) = known.and_then(|key| self.processes.image(key)) else {
            let what = match self.processes.image(process).map(|image| image.absent) {
                Some(Absent::Exited) => "exited",
                Some(Absent::Unreadable) => "unreadable",
                None => "unknown", // above the limit on processes
            };
            let addresses = addresses.iter();
            return addresses
                .map(|address| plain(table, what, *address, None))
                .collect();
        };
        let lookup = Lookup {
            image,
            cache: &mut self.cache,
            options: &self.options,
            problems: &mut self.problems,
            table,
        };
        lookup.resolve(addresses)
    }

    /// Resolves unique kernel addresses; the result is aligned with `addresses`.
    pub fn kernel(&mut self, addresses: &[u64], table: &mut FrameTable) -> Vec<Resolved> {
        let options = &self.options;
        let problems = &mut self.problems;
        let symbols = self.kernel.get_or_insert_with(|| {
            let (symbols, problem) = KernelSymbols::read(&options.proc_root.join("kallsyms"));
            if let Some(problem) = problem {
                problems.add(problem);
            }
            symbols
        });
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
