//! Inlined functions, source files and lines from DWARF debug information.
//!
//! `gimli` decodes; how far to follow what a file says is decided here, because the file may be hostile:
//! all tables are bounded, all loops count against a budget of CPU time, nothing recurses.

mod lines;
mod sections;
mod unit;
mod units;

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};
use gimli::{Dwarf, Unit};

use self::sections::{Bytes, Sections};
use self::unit::{Facts, UnitTables};
pub(super) use self::units::Flaw;
use self::units::{Parsed, Units};
use super::budget::{Budget, Exhausted};
use super::elf::{Header, ReadError, Source};
use super::names;

/// Deepest inlining shown.
const MAX_INLINED: usize = 64;

/// Most memory for tables of the units of one file: entries may refer to the same ranges over and over.
const MAX_TABLE_BYTES: usize = 512 << 20;

/// Most references that a name is followed through.
const MAX_HOPS: usize = 8;

/// One function at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Function {
    /// `None` if the debug information does not say.
    pub(super) name: Option<Arc<str>>,
    pub(super) file: Option<Arc<str>>,
    pub(super) line: u32,
}

/// The debug information of one file.
#[derive(Debug)]
pub(super) struct DebugInfo {
    sections: Sections,
    units: Units,
    tables: HashMap<usize, UnitTables>,
    table_bytes: usize,
    names: HashMap<usize, Option<Arc<str>>>,
    /// Why something is missing in it.
    pub(super) flaw: Option<Flaw>,
}

/// Why there is no debug information to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoDebugInfo {
    Read(ReadError),
    Exhausted,
}

impl DebugInfo {
    /// Reads the debug information of a file, `None` if it has none.
    pub(super) fn read(
        source: &Source,
        header: &Header,
        limit: u64,
        budget: &mut Budget,
    ) -> Result<Option<Self>, NoDebugInfo> {
        if header.debug_section(".debug_info").is_none() {
            return Ok(None);
        }
        let sections = Sections::read(source, header, limit).map_err(NoDebugInfo::Read)?;
        budget.resume();
        let units = Units::read(&sections, budget);
        budget.pause();
        let units = units.map_err(|Exhausted| NoDebugInfo::Exhausted)?;
        // `dwz` moves what several files have in common into one more file.
        let is_shared = header.section(".gnu_debugaltlink").is_some();
        let flaw = units.flaw.max(is_shared.then_some(Flaw::Unsupported));
        Ok(Some(Self {
            flaw,
            sections,
            units,
            tables: HashMap::new(),
            table_bytes: 0,
            names: HashMap::new(),
        }))
    }

    /// The functions at each address, innermost inlined one first, the real one last; empty where unknown.
    pub(super) fn find(
        &mut self,
        addresses: &[u64],
        budget: &mut Budget,
    ) -> Result<Vec<Vec<Function>>, Exhausted> {
        let mut by_unit: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, address) in addresses.iter().enumerate() {
            if let Some(unit) = self.units.find(*address) {
                by_unit.entry(unit).or_default().push(at);
            }
        }
        let mut found = vec![Vec::new(); addresses.len()];
        budget.resume();
        let dwarf = self.sections.dwarf();
        for (number, places) in by_unit {
            let Some(unit) = self.units.parse(&dwarf, &self.sections, number, budget)? else {
                continue;
            };
            let (mut tables, known) = match self.tables.remove(&number) {
                Some(tables) => {
                    let bytes = tables.bytes();
                    (tables, bytes)
                }
                None => (UnitTables::read(&dwarf, &unit, budget)?, 0),
            };
            let mut reader = Reader {
                dwarf: &dwarf,
                sections: &self.sections,
                units: &self.units,
                unit: &unit,
                number,
                others: HashMap::new(),
                names: &mut self.names,
            };
            for at in places {
                found[at] = reader.functions(&mut tables, addresses[at], budget)?;
            }
            self.table_bytes = (self.table_bytes + tables.bytes()).saturating_sub(known);
            self.tables.insert(number, tables);
            if self.table_bytes > MAX_TABLE_BYTES {
                return Err(Exhausted);
            }
        }
        budget.pause();
        Ok(found)
    }

    /// Memory that this occupies.
    pub(super) fn bytes(&self) -> usize {
        self.sections.bytes() + self.units.bytes() + self.table_bytes + self.names.len() * 64
    }
}

/// Reads one unit, and what it refers to.
struct Reader<'a, 'n> {
    dwarf: &'n Dwarf<Bytes<'a>>,
    sections: &'a Sections,
    units: &'n Units,
    unit: &'n Unit<Bytes<'a>>,
    number: usize,
    others: Parsed<'a>,
    names: &'n mut HashMap<usize, Option<Arc<str>>>,
}

impl<'a> Reader<'a, '_> {
    fn functions(
        &mut self,
        tables: &mut UnitTables,
        address: u64,
        budget: &mut Budget,
    ) -> Result<Vec<Function>, Exhausted> {
        let Some(entry) = tables.function(address) else {
            return Ok(Vec::new());
        };
        let calls = tables.inlined(self.dwarf, self.unit, (entry, address), budget)?;
        let (mut file, mut line) = tables.lines.find(address).unwrap_or((0, 0));
        let mut found = Vec::with_capacity(calls.len() + 1);
        for call in calls.iter().rev() {
            budget.step()?;
            let name = match call.origin {
                Some(origin) => self.name(origin, budget)?,
                None => None,
            };
            // A call that nothing names (its unit may be in another file) stays out of the stack.
            if name.is_some() {
                let file = self.file(tables, (file, line), budget)?;
                found.push(Function { name, file, line });
            }
            (file, line) = (call.call_file, call.call_line);
        }
        let offset = gimli::UnitOffset(entry).to_debug_info_offset(&self.unit.header);
        let name = match offset {
            Some(offset) => self.name(offset.0, budget)?,
            None => None,
        };
        let file = self.file(tables, (file, line), budget)?;
        found.push(Function { name, file, line });
        Ok(found)
    }

    /// The path of a file; none without a line, since the number means nothing then.
    fn file(
        &self,
        tables: &mut UnitTables,
        (file, line): (u64, u32),
        budget: &mut Budget,
    ) -> Result<Option<Arc<str>>, Exhausted> {
        if line == 0 {
            return Ok(None);
        }
        tables.lines.file(file, self.dwarf, self.unit, budget)
    }

    /// The name of the function whose entry is at `offset` of `.debug_info`.
    fn name(&mut self, offset: usize, budget: &mut Budget) -> Result<Option<Arc<str>>, Exhausted> {
        if let Some(name) = self.names.get(&offset) {
            return Ok(name.clone());
        }
        let name = self.read_name(offset, budget)?;
        self.names.insert(offset, name.clone());
        Ok(name)
    }

    /// Follows an entry to the one that it completes, until one has the name that the linker sees; a plain name
    /// found on the way serves if there is none.
    fn read_name(
        &mut self,
        offset: usize,
        budget: &mut Budget,
    ) -> Result<Option<Arc<str>>, Exhausted> {
        let mut plain = None;
        let mut next = Some(offset);
        for _ in 0..MAX_HOPS {
            let Some(offset) = next else { break };
            let Some(number) = self.units.containing(offset) else {
                break;
            };
            if number != self.number && !self.others.contains_key(&number) {
                let unit = self
                    .units
                    .parse(self.dwarf, self.sections, number, budget)?;
                self.others.insert(number, unit);
            }
            let unit = match self.others.get(&number) {
                Some(other) => other.as_ref(),
                None => Some(self.unit),
            };
            let Some(names) = unit.and_then(|unit| self.names_at(unit, offset)) else {
                break;
            };
            budget.steps(names.attributes)?;
            for text in names.linkage.iter().chain(&names.plain) {
                budget.bytes(text.len())?;
            }
            if let Some(name) = names.linkage {
                return Ok(Some(names::function(name.slice())));
            }
            plain = plain.or(names.plain);
            next = names.origin;
        }
        Ok(plain.map(|name| names::function(name.slice())))
    }

    fn names_at(&self, unit: &Unit<Bytes<'a>>, offset: usize) -> Option<Names<'a>> {
        let start = gimli::DebugInfoOffset(offset).to_unit_offset(&unit.header)?;
        let mut raw = unit.entries_raw(Some(start)).ok()?;
        let abbreviation = raw.read_abbreviation().ok()??;
        let facts = Facts::read(&mut raw, abbreviation.attributes(), unit).ok()?;
        let text = |value| {
            let text = self.dwarf.attr_string(unit, value).ok();
            text.filter(|text| !text.is_empty())
        };
        Some(Names {
            linkage: facts.linkage_name.and_then(text),
            plain: facts.name.and_then(text),
            origin: facts.origin,
            attributes: abbreviation.attributes().len(),
        })
    }
}

/// What an entry says about the name of its function.
struct Names<'a> {
    linkage: Option<Bytes<'a>>,
    plain: Option<Bytes<'a>>,
    origin: Option<usize>,
    attributes: usize,
}
