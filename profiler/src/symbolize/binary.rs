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
use super::dwarf::{DebugInfo, NoDebugInfo};
use super::elf::{Header, ReadError, Source, Symbols, UnwindTable};
use super::go::GoTable;
use super::names;
use super::problems::Problem;
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
    /// Reads the headers and the symbols of a file. `separate` finds the file with its debug information, by
    /// build id.
    pub(super) fn read(
        source: Source,
        options: &Options,
        separate: impl FnOnce(&str) -> Option<Elf>,
        problem: &mut impl FnMut(Problem),
    ) -> Result<Self, ReadError> {
        let header = Header::read(&source)?;
        let build_id = header.build_id(&source);
        let separate = if header.section(".debug_info").is_none() && build_id.len() >= 4 {
            separate(&build_id)
        } else {
            None
        };
        let limit = options.max_table_bytes;
        let read = |(source, header): (&Source, &Header)| Symbols::read(source, header, limit);
        let mut symbols = Ok(Symbols::default());
        if let (Some((source, header)), None) = (&separate, header.section(".symtab")) {
            symbols = read((source, header));
        }
        if !symbols.as_ref().is_ok_and(|symbols| !symbols.is_empty()) {
            symbols = read((&source, &header));
        }
        let symbols = symbols.unwrap_or_else(|error| {
            problem(match error {
                ReadError::TooLarge => Problem::FileTooLarge,
                ReadError::Io => Problem::FileUnreadable,
                ReadError::Foreign | ReadError::Malformed => Problem::FileMalformed,
            });
            Symbols::default()
        });
        Ok(Self {
            unwind: UnwindTable::read(&source, &header, limit),
            go: GoTable::read(&source, &header),
            start_main: symbols.address("__libc_start_main"),
            pthread_create: symbols.address("pthread_create"),
            symbols,
            build_id: Arc::from(build_id),
            elf: (source, header),
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
                Ok(debug) => self.debug = debug.map(Box::new),
                Err(NoDebugInfo::Exhausted) => problem(Problem::FileTooSlow),
                Err(NoDebugInfo::Read(ReadError::TooLarge)) => problem(Problem::DebugInfoTooLarge),
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
        let symbol = self.symbols.find(address).map(|found| {
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
                    .filter(|_| at + 1 == count)
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

/// Runs `work` on a file that may be hostile. Nothing is known to panic; if a decoder does, that file has no names
/// and the recording is not lost.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}
