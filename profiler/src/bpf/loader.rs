//! Loads the object: globals from the plan, map sizes, the kernel's BTF.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::Path;
use std::thread;

use aya::programs::tp_btf::BtfTracePointLink;
use aya::{Btf, Ebpf, EbpfLoader, Endianness, maps::MapData};
use aya_log::EbpfLogger;
use ctprof_ebpf::abi::event::Found;
use ctprof_ebpf::abi::layout;
use ctprof_ebpf::abi::unwind::{MAX_IMAGES, MAX_SHOWN, MAX_TABLES, of_image};

use super::{
    attach, batch::Retries, describe, object::OBJECT, probes, probes::Probe, wanted::bits,
};
use crate::host::btf::{Layout, Throttle};
use crate::host::{self, kernel};
use crate::model::{ProcessKey, StateGroup};
use crate::{Error, Result};

/// Everything the kernel half has to know before it is verified.
#[derive(Debug)]
pub struct LoadPlan<'a> {
    /// Offsets of kernel fields.
    pub layout: &'a Layout,
    /// The kernel's type information, if not where the kernel publishes it.
    pub btf: Option<&'a Path>,
    /// Whether the watched hierarchy is a cgroup v1 one.
    pub cgroup_v1: bool,
    /// Number of the watched hierarchy; 0 is cgroup v2.
    pub hierarchy_id: u32,
    /// Record processes outside every known cgroup, and kernel threads.
    pub record_host: bool,
    /// How many processes have a slot of their own.
    pub processes: usize,
    /// How many slots there are, and for whom.
    pub slots: Slots,
    /// Slots of cgroups that are gone are given to others.
    pub reuse_slots: bool,
    /// How throttled time is told.
    pub throttle: Throttle,
    /// Of which states stacks are taken.
    pub stack_states: &'a [StateGroup],
    /// A map says whose, and that changes.
    pub stacks_by_slot: bool,
    /// User stacks are unwound by tables.
    pub unwind: bool,
    /// Intervals shorter than this are counted without their stacks.
    pub min_block_ns: u64,
    /// What views ask for.
    pub views: Settings,
    /// Rows of each half of the sample counts.
    pub count_rows: u32,
    /// Distinct stacks held between two drains.
    pub stacks: u32,
    /// Let the kernel half log what it does.
    pub log: bool,
}

/// Slots of cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// The first one for a cgroup born while recording; those before are for the ones that exist.
    pub first_born: u32,
    /// Slots in all.
    pub all: u32,
    /// Most of those for newborns that one subtree may hold.
    pub share: u32,
}

/// What views have the kernel half know.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Globals with their bytes.
    pub globals: Vec<(&'static str, Vec<u8>)>,
    /// Entries of maps; of a map that is there more than once, the last.
    pub map_sizes: Vec<(&'static str, u32)>,
}

/// Chosen processes and their descendants that there may be when a recording begins.
const CHOSEN: u32 = 65_536;

/// The loaded object. Dropping it detaches and unloads everything: nothing is pinned.
pub struct Kernel {
    pub(super) ebpf: Ebpf,
    /// The kernel's types, until every program is loaded.
    btf: Option<Btf>,
    /// What became of each program that was loaded.
    loaded: HashMap<&'static str, attach::ProbeState>,
    logger: Option<EbpfLogger<&'static dyn log::Log>>,
    retries: Retries,
}

impl Kernel {
    /// Creates the maps and prepares the programs; nothing is attached yet.
    ///
    /// # Errors
    /// The kernel refuses a map, or its BTF cannot be read.
    pub fn load(plan: &LoadPlan<'_>) -> Result<Self> {
        // A loader of aya's reads the kernel's types, too, which takes as long.
        let (ebpf, btf) = thread::scope(|scope| {
            let btf = scope.spawn(|| types(plan.btf));
            (create(plan), btf.join())
        });
        let btf =
            btf.map_err(|_| Error::Failed("reading the kernel's BTF panicked".to_owned()))??;
        let mut ebpf = ebpf?;
        let logger = if plan.log {
            EbpfLogger::init(&mut ebpf).ok()
        } else {
            None
        };
        Ok(Self {
            ebpf,
            btf: Some(btf),
            loaded: HashMap::new(),
            logger,
            retries: Retries::default(),
        })
    }

    /// Has the kernel verify these probes' programs at once, those that take longest first.
    /// [`load_probe`](Self::load_probe) tells what became of each.
    pub fn load_probes(&mut self, probes: &[&Probe]) {
        let Some(btf) = &self.btf else {
            return;
        };
        let states = attach::load_all(&mut self.ebpf, btf, probes);
        let states = states.into_iter();
        self.loaded
            .extend(states.map(|(probe, state)| (probe.program, state)));
    }

    /// Has the kernel verify a probe's program: takes milliseconds, so it comes before anything is attached.
    pub fn load_probe(&mut self, probe: &Probe) -> attach::ProbeState {
        if !self.loaded.contains_key(probe.program) {
            self.load_probes(&[probe]);
        }
        let state = self.loaded.get(probe.program).cloned();
        state.unwrap_or_else(|| attach::ProbeState::Failed("it was not loaded in time".to_owned()))
    }

    /// Every program is loaded: what was kept for that, 9 MB, is not needed any more.
    pub fn all_loaded(&mut self) {
        self.btf = None;
    }

    /// Attaches a probe that is loaded.
    pub fn attach(&mut self, probe: &Probe) -> attach::ProbeState {
        attach::attach(&mut self.ebpf, probe)
    }

    /// Attaches a tracepoint that is loaded, until the link is dropped.
    ///
    /// # Errors
    /// The kernel refuses; the cause.
    pub fn attach_link(&mut self, probe: &Probe) -> Result<BtfTracePointLink, String> {
        attach::attach_link(&mut self.ebpf, probe)
    }

    /// Runs a probe that visits threads. Returns the process images that it tells of, those first of which a thread wants a CPU.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn visit(&mut self, probe: &Probe) -> Result<Vec<ProcessKey>> {
        let written = attach::visit(&mut self.ebpf, probe).map_err(|cause| {
            Error::Failed(format!("cannot visit the threads of this host: {cause}"))
        })?;
        let mut found: Vec<Found> = written
            .as_chunks()
            .0
            .iter()
            .copied()
            .map(Found::from_bytes)
            .collect();
        found.sort_by_key(|it| it.wants_cpu == 0);
        let mut seen = HashSet::new();
        found.retain(|it| seen.insert(it.image));
        let images = found.into_iter().map(|it| of_image(it.image));
        Ok(images
            .map(|(pid, exec_id)| ProcessKey { pid, exec_id })
            .collect())
    }

    /// Runs a probe that is called by hand, with this as its first argument.
    ///
    /// # Errors
    /// The kernel refuses; the cause.
    pub(super) fn call(&mut self, probe: &Probe, argument: u64) -> Result<(), String> {
        attach::call(&mut self.ebpf, probe, argument)
    }

    /// A file whose reading runs a probe that visits threads, for a thread that may wait for it.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn visitor(&mut self, probe: &Probe) -> Result<File> {
        attach::visitor(&mut self.ebpf, probe).map_err(|cause| {
            Error::Failed(format!("cannot visit the threads of this host: {cause}"))
        })
    }

    /// Passes what the kernel half logged on to this process' log.
    pub fn flush_log(&mut self) {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }

    /// Counts for a reader of maps how often it had to try again.
    pub(crate) fn retries(&self) -> Retries {
        self.retries.clone()
    }

    /// How often a map had to be read again, because another CPU held a part of it: a delay, nothing is lost.
    #[must_use]
    pub fn batch_retries(&self) -> u64 {
        self.retries.count()
    }

    /// Takes an array out of the object, for a reader of its own.
    pub(super) fn take_raw(&mut self, name: &str) -> Result<MapData> {
        match self.ebpf.take_map(name) {
            Some(aya::maps::Map::Array(map)) => Ok(map),
            _ => Err(Error::Failed(format!("the BPF object has no array {name}"))),
        }
    }

    /// Takes a map out of the object, as the type its reader expects.
    pub(crate) fn take<T>(&mut self, name: &str) -> Result<T>
    where
        T: TryFrom<aya::maps::Map, Error = aya::maps::MapError>,
    {
        let map = self
            .ebpf
            .take_map(name)
            .ok_or_else(|| Error::Failed(format!("the BPF object has no map {name}")))?;
        T::try_from(map).map_err(|error| {
            Error::Failed(format!(
                "the BPF map {name} is not what it should be: {}",
                describe(&error)
            ))
        })
    }
}

/// Of the kernel's types those that programs are loaded by. aya builds objects of all that it is given, which would
/// take as long as everything else that happens here, and 20 MB.
fn types(path: Option<&Path>) -> Result<Btf> {
    let unreadable = |cause: &dyn std::fmt::Display| {
        Error::Unsupported(format!("cannot read the kernel's BTF: {cause}"))
    };
    let path = path.unwrap_or(Path::new(kernel::BTF_PATH));
    let all = host::btf::Btf::from_file(path).map_err(|error| unreadable(&error))?;
    let needed = all.only(&probes::types());
    Btf::parse(&needed, Endianness::default()).map_err(|error| unreadable(&describe(&error)))
}

/// Creates the maps and prepares the programs.
fn create(plan: &LoadPlan<'_>) -> Result<Ebpf> {
    let (cgroup_v1, record_host) = (u32::from(plan.cgroup_v1), u32::from(plan.record_host));
    let throttle = plan.throttle.value();
    let stack_states = bits(plan.stack_states);
    let by_process = u32::from(plan.processes > 0);
    let processes = if plan.processes > 0 { CHOSEN } else { 1 };
    let stacks_by_slot = u32::from(plan.stacks_by_slot);
    let wanted = if plan.stacks_by_slot {
        plan.slots.all
    } else {
        1
    };
    let unwind = u32::from(plan.unwind);
    let (tables, images, shown) = if plan.unwind {
        (MAX_TABLES, MAX_IMAGES + 1, MAX_SHOWN)
    } else {
        (1, 1, 1)
    };
    let reused = if plan.reuse_slots { plan.slots.all } else { 1 };
    // aya-log's levels count from 1, error, to 5, trace; 0 is off.
    let log_level: u8 = if plan.log { 4 } else { 0 };
    let mut loader = EbpfLoader::new();
    loader
        // The object has nothing that would be looked up there.
        .btf(None)
        .override_global(layout::CGROUP_V1, &cgroup_v1, true)
        .override_global(layout::HIERARCHY_ID, &plan.hierarchy_id, true)
        .override_global(layout::RECORD_HOST, &record_host, true)
        .override_global(aya_log::LEVEL, &log_level, false)
        .override_global(layout::THROTTLE, &throttle, true)
        .override_global(layout::STACK_STATES, &stack_states, true)
        .override_global(layout::STACKS_BY_SLOT, &stacks_by_slot, true)
        .override_global(layout::UNWIND, &unwind, true)
        .override_global(layout::MIN_BLOCK_NS, &plan.min_block_ns, true)
        .override_global(layout::BY_PROCESS, &by_process, true)
        .override_global(layout::FIRST_BORN, &plan.slots.first_born, true)
        .override_global(layout::SLOTS, &plan.slots.all, true)
        .override_global(layout::SHARE, &plan.slots.share, true)
        // aya has no type for task storage; the kernel half alone uses it.
        .allow_unsupported_maps()
        .map_max_entries("CHOSEN", processes)
        .map_max_entries("SCOPE", plan.slots.all)
        .map_max_entries("SUBTREES", plan.slots.all)
        .map_max_entries("TAKEN", plan.slots.all)
        .map_max_entries("RETURNED", plan.slots.all)
        .map_max_entries("ACCOUNTS", plan.slots.all)
        .map_max_entries("WAITS", plan.slots.all)
        .map_max_entries("STOPS", plan.slots.all)
        .map_max_entries("FREED", reused)
        .map_max_entries("WANTED", wanted)
        .map_max_entries("TABLES", tables)
        .map_max_entries("MAPPINGS", images)
        .map_max_entries("SHOWN", shown)
        .map_max_entries("POPULATION", reused)
        .map_max_entries("COUNTS_A", plan.count_rows)
        .map_max_entries("COUNTS_B", plan.count_rows)
        .map_max_entries("STACKS", plan.stacks);
    for (global, value) in &plan.views.globals {
        loader.override_global(global, &value[..], true);
    }
    for (map, entries) in &plan.views.map_sizes {
        loader.map_max_entries(map, *entries);
    }
    let restarts = host::syscalls::restarts();
    for (global, value) in plan.layout.offsets.iter().chain(&restarts) {
        loader.override_global(global, value, true);
    }
    loader.load(OBJECT).map_err(|error| {
        Error::Unsupported(format!(
            "cannot create the BPF maps: {}; run `ctprof check` for what is missing",
            describe(&error)
        ))
    })
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel").finish_non_exhaustive()
    }
}

/// Shorthand for a map that this process owns.
pub(crate) type Owned = MapData;
