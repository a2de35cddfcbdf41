//! Addresses to names: kernel, ELF, Go, JIT maps, vDSO.
//!
//! While recording, [`Symbolizer::observe`] looks at each process once and holds its executables, perf map and root
//! folder open, so that frames have names although the process exits or its files are replaced. At the end,
//! [`Symbolizer::user`] and [`Symbolizer::kernel`] turn unique addresses into frames.
//!
//! Containers control every file read here. What that means is said where it is dealt with: [`safe_open`] (names,
//! links, FIFOs), [`elf::source`] (sizes, truncation), [`dwarf`] (time and memory), [`jit`] (perf maps),
//! [`names`] (what is shown), `process::mounts` (files that a process serves).

mod binary;
mod cache;
mod dwarf;
mod elf;
mod go;
mod jit;
mod kernel;
#[cfg(test)]
mod mutated_files;
mod names;
mod problems;
mod process;
mod roots;
mod safe_open;
mod vdso;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use self::binary::Answer;
use self::cache::{Cache, Origin};
use self::kernel::KernelSymbols;
pub use self::problems::{Problem, Problems};
use self::process::{Absent, Content, HeldFile, Image, PerfMap, Processes};
use crate::model::{Frame, FrameKind, FrameTable, Module, ModuleId, ProcessKey, Resolved};

/// Where distributions install debug information apart from programs.
const DEBUG_FOLDER: &str = "/usr/lib/debug";

/// Processes forgotten between two looks for files that nobody maps any more.
const FORGOTTEN_PER_SWEEP: u64 = 256;

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

    /// Lets go of a process and of the files that only it maps. Names already given out stay valid.
    pub fn forget(&mut self, process: ProcessKey) {
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
        let image = match self.processes.image(process) {
            Some(image) if image.identity.is_some() => image,
            other => {
                let what = match other.map(|image| image.absent) {
                    Some(Absent::Exited) => "exited",
                    Some(Absent::Unreadable) => "unreadable",
                    None => "unknown", // above the limit on processes
                };
                let addresses = addresses.iter();
                return addresses
                    .map(|address| plain(table, what, *address, None))
                    .collect();
            }
        };
        let mut lookup = Lookup {
            image,
            cache: &mut self.cache,
            options: &self.options,
            problems: &mut self.problems,
            table,
            resolved: vec![None; addresses.len()],
            perf: Vec::new(),
        };
        lookup.by_mapping(addresses);
        lookup.by_perf_map(addresses);
        let resolved = lookup.resolved;
        addresses
            .iter()
            .zip(resolved)
            .map(|(address, found)| {
                found.unwrap_or_else(|| Resolved {
                    is_code: false,
                    ..plain(table, "unmapped", *address, None)
                })
            })
            .collect()
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
                }
            })
            .collect()
    }
}

/// The lookup of the addresses of one process.
struct Lookup<'a> {
    image: &'a Image,
    cache: &'a mut Cache,
    options: &'a Options,
    problems: &'a mut Problems,
    table: &'a mut FrameTable,
    resolved: Vec<Option<Resolved>>,
    /// Addresses that may be JIT-compiled, with what they read otherwise.
    perf: Vec<(usize, Resolved)>,
}

/// Addresses of one file: place in the result, and offset in the file.
type Batch<'a> = (Origin<'a>, &'a str, Vec<(usize, u64)>);

impl Lookup<'_> {
    fn by_mapping(&mut self, addresses: &[u64]) {
        let image = self.image;
        // A file may be mapped under several paths: each is a module of its own.
        let mut batches: BTreeMap<(Option<u32>, &str), Batch<'_>> = BTreeMap::new();
        for (at, address) in addresses.iter().enumerate() {
            let Some(mapping) = image.mapping(*address) else {
                continue;
            };
            let offset = (address - mapping.start).wrapping_add(mapping.offset);
            match &mapping.content {
                Content::File { file, path } => {
                    let file: &HeldFile = file;
                    let batch = batches
                        .entry((Some(file.id), path))
                        .or_insert_with(|| (Origin::Held(file), path, Vec::new()));
                    batch.2.push((at, offset));
                }
                Content::Vdso => {
                    let batch = batches
                        .entry((None, "[vdso]"))
                        .or_insert_with(|| (Origin::Vdso, "[vdso]", Vec::new()));
                    batch.2.push((at, offset));
                }
                Content::Unheld { path } => {
                    let module = self.module(path, "");
                    let found = plain(self.table, names::base_name(path), offset, Some(module));
                    self.perf.push((at, found));
                }
                Content::Special(name) => {
                    let module = self.module(name, "");
                    let name = name.trim_matches(['[', ']']);
                    self.resolved[at] = Some(plain(self.table, name, *address, Some(module)));
                }
                Content::Anonymous => {
                    let name = match image.perf_map {
                        PerfMap::Held(_) => "jit",
                        PerfMap::None | PerfMap::Refused => "anon",
                    };
                    let module = self.module(&format!("[{name}]"), "");
                    let found = plain(self.table, name, *address, Some(module));
                    self.perf.push((at, found));
                }
            }
        }
        for (origin, path, places) in batches.into_values() {
            self.by_file(origin, path, &places);
        }
    }

    fn by_file(&mut self, origin: Origin<'_>, path: &str, places: &[(usize, u64)]) {
        let offsets: Vec<u64> = places.iter().map(|(_, offset)| *offset).collect();
        let (located, build_id) = self
            .cache
            .resolve(origin, &offsets, self.options, self.problems);
        let module = self.module(path, &build_id);
        let base = match origin {
            Origin::Held(_) => names::clean(names::base_name(path)),
            Origin::Vdso => Arc::from("vdso"),
        };
        for ((at, _), located) in places.iter().zip(located) {
            match &located.answer {
                Some(answer) => {
                    let found = self.frames(located.address, answer, module, &base);
                    self.resolved[*at] = Some(found);
                }
                None => {
                    let found = plain(self.table, &base, located.address, Some(module));
                    self.perf.push((*at, found));
                }
            }
        }
    }

    fn frames(&mut self, address: u64, answer: &Answer, module: ModuleId, base: &str) -> Resolved {
        let mut frame = |name: Arc<str>, inlined, file, line| {
            self.table.intern(Frame {
                function: name,
                kind: FrameKind::User,
                module: Some(module),
                address,
                inlined,
                file,
                line,
            })
        };
        let count = answer.parts.len();
        let mut frames: Vec<_> = answer
            .parts
            .iter()
            .enumerate()
            .map(|(at, part)| {
                frame(
                    Arc::clone(&part.name),
                    at + 1 < count,
                    part.file.clone(),
                    part.line,
                )
            })
            .collect();
        if frames.is_empty() {
            frames.push(frame(names::unnamed(base, answer.start), false, None, 0));
        }
        Resolved {
            frames,
            is_root: answer.is_root,
            is_code: true,
        }
    }

    fn by_perf_map(&mut self, addresses: &[u64]) {
        let mut places = std::mem::take(&mut self.perf);
        places.sort_unstable_by_key(|(at, _)| addresses[*at]);
        let mut names = vec![None; places.len()];
        if let (PerfMap::Held(map), false) = (&self.image.perf_map, places.is_empty()) {
            let wanted: Vec<u64> = places.iter().map(|(at, _)| addresses[*at]).collect();
            match jit::resolve(map, &wanted, self.options.max_perf_map_bytes) {
                Ok(found) => names = found,
                Err(problem) => self.problems.add(problem),
            }
        }
        for ((at, otherwise), name) in places.into_iter().zip(names) {
            let found = name.map(|name| {
                let module = self.module("[jit]", "");
                let frame = Frame {
                    function: name,
                    kind: FrameKind::User,
                    module: Some(module),
                    address: addresses[at],
                    inlined: false,
                    file: None,
                    line: 0,
                };
                Resolved {
                    frames: vec![self.table.intern(frame)],
                    is_root: false,
                    is_code: true,
                }
            });
            self.resolved[at] = Some(found.unwrap_or(otherwise));
        }
    }

    fn module(&mut self, path: &str, build_id: &str) -> ModuleId {
        self.table.intern_module(Module {
            path: names::clean(path),
            build_id: Arc::from(build_id),
        })
    }
}

/// A frame without a name: `[what+0xoffset]`.
fn plain(table: &mut FrameTable, what: &str, offset: u64, module: Option<ModuleId>) -> Resolved {
    let frame = Frame {
        function: names::unnamed(&names::clean(what), offset),
        kind: FrameKind::User,
        module,
        address: offset,
        inlined: false,
        file: None,
        line: 0,
    };
    Resolved {
        frames: vec![table.intern(frame)],
        is_root: false,
        is_code: true,
    }
}
