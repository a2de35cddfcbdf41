//! One mapped file: everything that can name its addresses, in order of preference.
//!
//! 1. Go's own tables: names, inlined calls and lines, in stripped programs too.
//! 2. The symbol table, for the real function; debug information, for what was inlined into it, and lines.
//! 3. Unwind tables: no name, but the bounds of the function.

use foldhash::{HashMap, HashMapExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::Options;
use super::budget::Budget;
use super::dwarf::{DebugInfo, Flaw, NoDebugInfo};
use super::elf::{
    Header, ReadError, Source, SymbolTables, Symbols, UnwindTable, section_bytes, xz,
};
use super::go::GoTable;
use super::names;
use super::problems::Problem;
use super::process::Neighbour;
use super::roots::is_user_root;
use crate::model::CallerAt;

/// How far behind the entry point of a stripped program its `_start` reaches.
const START_SIZE: u64 = 64;

/// How far before `__libc_start_main` glibc has `__libc_start_call_main`, which calls `main`, and how far before
/// `pthread_create` it has `start_thread`. Both are missing from its dynamic symbols.
const BEFORE_START_MAIN: u64 = 0x100;
const BEFORE_PTHREAD_CREATE: u64 = 0x800;

/// The same for musl, whose thread function is short and has no unwind tables.
const BEFORE_MUSL_PTHREAD_CREATE: u64 = 0x200;

/// One function at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: Arc<str>,
    pub(super) file: Option<Arc<str>>,
    pub(super) line: u32,
}

/// What an address of a file turned into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Innermost inlined function first, the real one last; empty if there is no name.
    pub(super) parts: Vec<Part>,
    /// Start of the function, or the address itself where its function is not known.
    pub(super) start: u64,
    pub(super) is_root: bool,
    pub(super) caller: CallerAt,
}

/// A file with its debug information in another one.
pub(super) type Elf = (Source, Header);

/// The tables of one file.
#[derive(Debug)]
pub(super) struct Binary {
    elf: Elf,
    separate: Option<Elf>,
    pub(super) build_id: Arc<str>,
    symbols: Symbols,
    unwind: UnwindTable,
    go: Option<GoTable>,
    debug: Option<Box<DebugInfo>>,
    debug_is_read: bool,
    names: HashMap<u64, Arc<str>>,
    start_main: Option<u64>,
    pthread_create: Option<u64>,
}

impl Binary {
    /// Reads the headers and the symbols of a file. `separate` finds the file with its debug information, by what
    /// this one says about it.
    pub(super) fn read(
        source: Source,
        options: &Options,
        separate: impl FnOnce((&Source, &Header), &str, &mut dyn FnMut(Problem)) -> Option<Elf>,
        problem: &mut impl FnMut(Problem),
    ) -> Result<Self, ReadError> {
        let header = Header::read(&source)?;
        if let Some(error) = header.sections_lost {
            problem(of_tables(error));
        }
        let build_id = header.build_id(&source);
        let separate = if header.debug_section(".debug_info").is_none() {
            separate((&source, &header), &build_id, problem)
        } else {
            None
        };
        let limit = options.max_table_bytes;
        let elf = (source, header);
        let symbols = read_symbols(&elf, separate.as_ref(), limit, problem);
        Ok(Self {
            unwind: UnwindTable::read(&elf.0, &elf.1, limit),
            go: GoTable::read(&elf.0, &elf.1),
            start_main: symbols.address("__libc_start_main"),
            pthread_create: symbols.address("pthread_create"),
            symbols,
            build_id: Arc::from(build_id),
            elf,
            separate,
            debug: None,
            debug_is_read: !options.inlined,
            names: HashMap::new(),
        })
    }

    /// The address that the linker gave to the byte at `offset` of the file.
    pub(super) fn address_of(&self, offset: u64) -> Option<u64> {
        self.elf.1.address_of(offset)
    }

    /// Offset of the code at `address` of a process, as far as mappings of other parts of the file tell.
    pub(super) fn offset_beside(&self, parts: &[Neighbour], address: u64) -> Option<u64> {
        let parts = parts.iter().map(|it| (it.start, it.offset, it.is_code));
        self.elf.1.offset_beside(parts, address)
    }

    /// Names `addresses`; the result is aligned with them.
    pub(super) fn resolve(
        &mut self,
        addresses: &[u64],
        options: &Options,
        budget: &mut Budget,
        problem: &mut impl FnMut(Problem),
    ) -> Vec<Answer> {
        let mut answers: Vec<Option<Answer>> = Vec::with_capacity(addresses.len());
        budget.resume();
        for address in addresses {
            answers.push(self.by_go(*address, options.inlined));
            let steps = self.go.as_ref().map_or(0, GoTable::take_steps);
            if self.go.is_some() && budget.steps(steps).is_err() {
                problem(Problem::FileTooSlow);
                self.go = None;
            }
        }
        budget.pause();
        let rest: Vec<usize> = (0..addresses.len())
            .filter(|at| answers[*at].is_none())
            .collect();
        let asked: Vec<u64> = rest.iter().map(|at| addresses[*at]).collect();
        let debug = self.by_debug_info(&asked, options, budget, problem);
        for (at, functions) in rest.into_iter().zip(debug) {
            let (source, header) = &self.elf;
            let caller = self.unwind.caller_at(addresses[at], source, header);
            answers[at] = Some(Answer {
                caller,
                ..self.by_symbols(addresses[at], functions)
            });
        }
        answers.into_iter().flatten().collect()
    }

    fn by_go(&self, address: u64, inlined: bool) -> Option<Answer> {
        let functions = self.go.as_ref()?.find(address);
        let real = functions.last()?;
        if functions.iter().any(|function| function.name.is_empty()) {
            return None;
        }
        let is_root = real.is_root || is_user_root(&String::from_utf8_lossy(real.name));
        let skip = if inlined { 0 } else { functions.len() - 1 };
        let parts = functions[skip..].iter().map(|function| Part {
            name: names::go_function(function.name),
            file: function
                .file
                .map(|file| names::clean(&String::from_utf8_lossy(file))),
            line: function.line,
        });
        Some(Answer {
            parts: parts.collect(),
            start: address,
            is_root,
            caller: CallerAt::Unknown,
        })
    }

    fn by_debug_info(
        &mut self,
        addresses: &[u64],
        options: &Options,
        budget: &mut Budget,
        problem: &mut impl FnMut(Problem),
    ) -> Vec<Vec<super::dwarf::Function>> {
        let nothing = vec![Vec::new(); addresses.len()];
        if addresses.is_empty() {
            return nothing;
        }
        if !self.debug_is_read {
            self.debug_is_read = true;
            let (source, header) = self.separate.as_ref().unwrap_or(&self.elf);
            match DebugInfo::read(source, header, options.max_debug_bytes, budget) {
                Ok(debug) => {
                    match debug.as_ref().and_then(|debug| debug.flaw) {
                        Some(Flaw::Damaged) => problem(Problem::DebugInfoMalformed),
                        Some(Flaw::Unsupported) => problem(Problem::DebugInfoUnsupported),
                        None => {}
                    }
                    self.debug = debug.map(Box::new);
                }
                Err(NoDebugInfo::Exhausted) => problem(Problem::FileTooSlow),
                Err(NoDebugInfo::Read(ReadError::TooLarge)) => problem(Problem::DebugInfoTooLarge),
                Err(NoDebugInfo::Read(ReadError::Unsupported)) => {
                    problem(Problem::DebugInfoUnsupported);
                }
                Err(NoDebugInfo::Read(_)) => problem(Problem::DebugInfoMalformed),
            }
        }
        let Some(debug) = &mut self.debug else {
            return nothing;
        };
        match debug.find(addresses, budget) {
            Ok(found) => found,
            Err(_) => {
                problem(Problem::FileTooSlow);
                self.debug = None;
                nothing
            }
        }
    }

    fn by_symbols(&mut self, address: u64, functions: Vec<super::dwarf::Function>) -> Answer {
        let (source, header) = &self.elf;
        // Without a size, a symbol seems to reach as far as the next one, over functions that were stripped of theirs.
        let lies_within = |start| {
            let bounds = self.unwind.find(address, source, header);
            bounds.is_none_or(|bounds| bounds.start <= start)
        };
        let found = self.symbols.find(address);
        let found = found.filter(|found| found.has_size || lies_within(found.start));
        let has_size = found.is_some_and(|found| found.has_size);
        let symbol = found.map(|found| {
            let known = self.names.entry(found.start);
            let name = known.or_insert_with(|| names::function(found.raw_name));
            (Arc::clone(name), found.start)
        });
        let count = functions.len();
        let mut parts: Vec<Part> = functions
            .into_iter()
            .enumerate()
            .filter_map(|(at, function)| {
                // The symbol's name tells clones apart (`.cold`), which debug information does not.
                let own = symbol
                    .as_ref()
                    .filter(|_| at + 1 == count && (has_size || function.name.is_none()))
                    .map(|(name, _)| Arc::clone(name));
                Some(Part {
                    name: own.or(function.name)?,
                    file: function.file,
                    line: function.line,
                })
            })
            .collect();
        if let (true, Some((name, _))) = (parts.is_empty(), &symbol) {
            parts.push(Part {
                name: Arc::clone(name),
                file: None,
                line: 0,
            });
        }
        if let Some(real) = parts.last() {
            let is_root = is_user_root(&real.name);
            let start = symbol.map_or(address, |(_, start)| start);
            return Answer {
                parts,
                start,
                is_root,
                caller: CallerAt::Unknown,
            };
        }
        self.without_name(address)
    }

    fn without_name(&self, address: u64) -> Answer {
        let (source, header) = &self.elf;
        let bounds = self.unwind.find(address, source, header);
        let start = bounds.map_or(address, |bounds| bounds.start);
        let is_before = |function: Option<u64>, distance| {
            function.is_some_and(|function| start < function && function - start <= distance)
        };
        let before_pthread_create = match bounds {
            Some(_) => BEFORE_PTHREAD_CREATE,
            None => BEFORE_MUSL_PTHREAD_CREATE,
        };
        let is_root = bounds.is_some_and(|bounds| bounds.is_outermost)
            || header.entry != 0 && address.wrapping_sub(header.entry) < START_SIZE
            || is_before(self.start_main, BEFORE_START_MAIN)
            || is_before(self.pthread_create, before_pthread_create);
        Answer {
            parts: Vec::new(),
            start,
            is_root,
            caller: CallerAt::Unknown,
        }
    }

    /// Memory that the tables occupy.
    pub(super) fn bytes(&self) -> usize {
        self.symbols.bytes()
            + self.unwind.bytes()
            + self.go.as_ref().map_or(0, GoTable::bytes)
            + self.debug.as_ref().map_or(0, |debug| debug.bytes())
    }
}

/// The symbols of a file: its own and those of the file with its debug information. Where neither has a full
/// table, that of MiniDebugInfo; the dynamic one names at least what is exported.
fn read_symbols(
    elf: &Elf,
    separate: Option<&Elf>,
    limit: u64,
    problem: &mut impl FnMut(Problem),
) -> Symbols {
    let (source, header) = elf;
    let mut tables = SymbolTables::default();
    for (source, header) in [Some(elf), separate].into_iter().flatten() {
        if let Err(error) = tables.add((source, header), ".symtab", limit) {
            problem(of_tables(error));
        }
    }
    if tables.is_empty()
        && let Some(section) = header.section(".gnu_debugdata")
    {
        let added = section_bytes(source, header, section, limit)
            .and_then(|packed| xz(&packed, limit))
            .and_then(|bytes| {
                let source = Source::Bytes(bytes);
                let header = Header::read(&source)?;
                tables.add((&source, &header), ".symtab", limit)
            });
        if added.is_err() {
            problem(Problem::MiniDebugInfoUnreadable);
        }
    }
    if let Err(error) = tables.add((source, header), ".dynsym", limit) {
        problem(of_tables(error));
    }
    tables.finish((source, header))
}

/// What is wrong with a file whose headers or symbol table could not be read.
const fn of_tables(error: ReadError) -> Problem {
    match error {
        ReadError::TooLarge => Problem::FileTooLarge,
        ReadError::Io => Problem::FileUnreadable,
        ReadError::Foreign | ReadError::Malformed | ReadError::Unsupported => {
            Problem::FileMalformed
        }
    }
}

/// Runs `work` on a file that may be hostile. Nothing is known to panic; if a decoder does, that file has no names
/// and the recording is not lost.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}
