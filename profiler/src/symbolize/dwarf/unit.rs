//! One compilation unit: which functions it has, and what was inlined into them.
//!
//! The tree of entries is walked in a loop, not by recursion: a file decides how deep it is.

use foldhash::{HashMap, HashMapExt as _};
use std::collections::hash_map::Entry;

use gimli::{AttributeValue, Dwarf, EntriesRaw, Range, RngListIter, Unit, constants};

use super::lines::Lines;
use super::sections::Bytes;
use crate::symbolize::budget::{Budget, Exhausted};

/// More than any real unit has; each entry costs 24 bytes.
const MAX_ENTRIES: usize = 4 << 20;

/// A piece of a function.
#[derive(Clone, Copy, Debug)]
struct Function {
    begin: u64,
    end: u64,
    /// Furthest end of this piece and all before it.
    reach: u64,
    /// Where its entry is in the unit.
    entry: usize,
}

/// A piece of an inlined call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inlined {
    begin: u64,
    end: u64,
    depth: u32,
    /// Offset in `.debug_info` of the entry that names the function.
    pub(super) origin: Option<usize>,
    pub(super) call_file: u64,
    pub(super) call_line: u32,
}

/// Owned tables of a unit, kept between calls.
#[derive(Debug, Default)]
pub(super) struct UnitTables {
    functions: Vec<Function>,
    inlined: HashMap<usize, Vec<Inlined>>,
    pub(super) lines: Lines,
}

impl UnitTables {
    /// Finds the functions and lines of a unit.
    pub(super) fn read(
        dwarf: &Dwarf<Bytes<'_>>,
        unit: &Unit<Bytes<'_>>,
        budget: &mut Budget,
    ) -> Result<Self, Exhausted> {
        let mut functions = Vec::new();
        let mut ranges = Vec::new();
        let mut entries = unit.entries_raw(None).ok();
        while let Some(raw) = entries.as_mut().filter(|raw| !raw.is_empty()) {
            budget.step()?;
            let entry = raw.next_offset().0;
            let Ok(abbreviation) = raw.read_abbreviation() else {
                break; // what was found so far is still right
            };
            let Some(abbreviation) = abbreviation else {
                continue;
            };
            budget.steps(abbreviation.attributes().len())?;
            if abbreviation.tag() != constants::DW_TAG_subprogram {
                if raw.skip_attributes(abbreviation.attributes()).is_err() {
                    break;
                }
                continue;
            }
            let Ok(facts) = Facts::read(raw, abbreviation.attributes(), unit) else {
                break;
            };
            ranges.clear();
            facts.ranges(dwarf, unit, &mut ranges, budget)?;
            let room = MAX_ENTRIES.saturating_sub(functions.len());
            functions.extend(ranges.iter().take(room).map(|range| Function {
                begin: range.begin,
                end: range.end,
                reach: 0,
                entry,
            }));
        }
        functions.sort_unstable_by_key(|f| (f.begin, std::cmp::Reverse(f.end)));
        let mut reach = 0;
        for function in &mut functions {
            reach = reach.max(function.end);
            function.reach = reach;
        }
        functions.shrink_to_fit();
        Ok(Self {
            functions,
            inlined: HashMap::new(),
            lines: Lines::read(unit, budget)?,
        })
    }

    /// The entry of the innermost function that contains `address`.
    pub(super) fn function(&self, address: u64) -> Option<usize> {
        let after = self.functions.partition_point(|f| f.begin <= address);
        self.functions[..after]
            .iter()
            .rev()
            .take(32)
            .take_while(|f| address < f.reach)
            .find(|f| address < f.end)
            .map(|f| f.entry)
    }

    /// What was inlined at `address` into the function at `entry`, outermost call first.
    pub(super) fn inlined(
        &mut self,
        dwarf: &Dwarf<Bytes<'_>>,
        unit: &Unit<Bytes<'_>>,
        (entry, address): (usize, u64),
        budget: &mut Budget,
    ) -> Result<Vec<Inlined>, Exhausted> {
        let calls = match self.inlined.entry(entry) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(read_inlined(dwarf, unit, entry, budget)?),
        };
        let before = calls.partition_point(|call| call.begin <= address);
        let mut found: Vec<Inlined> = Vec::new();
        for call in &calls[..before] {
            budget.step()?;
            if address < call.end && found.len() < super::MAX_INLINED {
                found.push(*call);
            }
        }
        found.sort_by_key(|call| call.depth);
        found.dedup_by_key(|call| call.depth);
        Ok(found)
    }

    /// Memory that the tables occupy.
    pub(super) fn bytes(&self) -> usize {
        let inlined: usize = self.inlined.values().map(Vec::len).sum();
        self.functions.len() * size_of::<Function>()
            + inlined * size_of::<Inlined>()
            + self.lines.bytes()
    }
}

/// The inlined calls below the entry of a function, by address.
fn read_inlined(
    dwarf: &Dwarf<Bytes<'_>>,
    unit: &Unit<Bytes<'_>>,
    entry: usize,
    budget: &mut Budget,
) -> Result<Vec<Inlined>, Exhausted> {
    let mut calls = Vec::new();
    let mut ranges = Vec::new();
    let Ok(mut raw) = unit.entries_raw(Some(gimli::UnitOffset(entry))) else {
        return Ok(calls);
    };
    // A function within the function has inlined calls of its own: its depth, to pass it over.
    let mut nested: Option<isize> = None;
    let mut is_first = true;
    while !raw.is_empty() && (is_first || raw.next_depth() > 0) {
        budget.step()?;
        let depth = raw.next_depth();
        let Ok(abbreviation) = raw.read_abbreviation() else {
            break;
        };
        let Some(abbreviation) = abbreviation else {
            continue;
        };
        budget.steps(abbreviation.attributes().len())?;
        if nested.is_some_and(|limit| depth <= limit) {
            nested = None;
        }
        let tag = abbreviation.tag();
        if tag == constants::DW_TAG_subprogram && !is_first && nested.is_none() {
            nested = Some(depth);
        }
        is_first = false;
        if tag != constants::DW_TAG_inlined_subroutine || nested.is_some() {
            if raw.skip_attributes(abbreviation.attributes()).is_err() {
                break;
            }
            continue;
        }
        let Ok(facts) = Facts::read(&mut raw, abbreviation.attributes(), unit) else {
            break;
        };
        ranges.clear();
        facts.ranges(dwarf, unit, &mut ranges, budget)?;
        let room = MAX_ENTRIES.saturating_sub(calls.len());
        calls.extend(ranges.iter().take(room).map(|range| Inlined {
            begin: range.begin,
            end: range.end,
            depth: u32::try_from(depth).unwrap_or(u32::MAX),
            origin: facts.origin,
            call_file: facts.call_file,
            call_line: facts.call_line,
        }));
    }
    calls.sort_unstable_by_key(|call| (call.begin, call.depth));
    calls.shrink_to_fit();
    Ok(calls)
}

/// The attributes of an entry that matter here.
#[derive(Default)]
pub(super) struct Facts<'a> {
    low: Option<AttributeValue<Bytes<'a>>>,
    high: Option<AttributeValue<Bytes<'a>>>,
    list: Option<AttributeValue<Bytes<'a>>>,
    /// Offset in `.debug_info` of the entry that this one completes.
    pub(super) origin: Option<usize>,
    pub(super) name: Option<AttributeValue<Bytes<'a>>>,
    pub(super) linkage_name: Option<AttributeValue<Bytes<'a>>>,
    call_file: u64,
    call_line: u32,
}

impl<'a> Facts<'a> {
    pub(super) fn read(
        raw: &mut EntriesRaw<'_, Bytes<'a>>,
        attributes: &[gimli::AttributeSpecification],
        unit: &Unit<Bytes<'a>>,
    ) -> gimli::Result<Self> {
        let mut facts = Self::default();
        for specification in attributes {
            let attribute = raw.read_attribute(*specification)?;
            let value = attribute.value();
            match attribute.name() {
                constants::DW_AT_low_pc => facts.low = Some(value),
                constants::DW_AT_high_pc => facts.high = Some(value),
                constants::DW_AT_ranges => facts.list = Some(value),
                constants::DW_AT_name => facts.name = Some(value),
                constants::DW_AT_linkage_name | constants::DW_AT_MIPS_linkage_name => {
                    facts.linkage_name = Some(value);
                }
                constants::DW_AT_abstract_origin | constants::DW_AT_specification => {
                    facts.origin = reference(&value, unit);
                }
                constants::DW_AT_call_file => {
                    if let AttributeValue::FileIndex(number) = value {
                        facts.call_file = number;
                    }
                }
                constants::DW_AT_call_line => {
                    let line = value.udata_value().unwrap_or(0);
                    facts.call_line = u32::try_from(line).unwrap_or(0);
                }
                _ => {}
            }
        }
        Ok(facts)
    }

    /// Adds the addresses that the entry covers; what starts at 0 was removed by the linker.
    pub(super) fn ranges(
        &self,
        dwarf: &Dwarf<Bytes<'a>>,
        unit: &Unit<Bytes<'a>>,
        out: &mut Vec<Range>,
        budget: &mut Budget,
    ) -> Result<(), Exhausted> {
        let mut add = |range: Range| {
            if range.begin != 0 && range.begin < range.end && out.len() < MAX_ENTRIES {
                out.push(range);
            }
        };
        if let Some(list) = self.list {
            let Ok(Some(mut list)) = list_of(list, dwarf, unit, budget)? else {
                return Ok(());
            };
            while let Ok(Some(range)) = list.next() {
                budget.step()?;
                add(range);
            }
            return Ok(());
        }
        let low = self.low.and_then(|low| dwarf.attr_address(unit, low).ok()?);
        let (Some(begin), Some(high)) = (low, self.high) else {
            return Ok(());
        };
        let end = match high.udata_value() {
            Some(size) => begin.checked_add(size),
            None => dwarf.attr_address(unit, high).ok().flatten(),
        };
        if let Some(end) = end {
            add(Range { begin, end });
        }
        Ok(())
    }
}

/// The ranges of a list. Its entries are counted first: many in a row may hold no range.
fn list_of<'a>(
    value: AttributeValue<Bytes<'a>>,
    dwarf: &Dwarf<Bytes<'a>>,
    unit: &Unit<Bytes<'a>>,
    budget: &mut Budget,
) -> Result<gimli::Result<Option<RngListIter<Bytes<'a>>>>, Exhausted> {
    if let Ok(Some(offset)) = dwarf.attr_ranges_offset(unit, value)
        && let Ok(mut entries) = dwarf.raw_ranges(unit, offset)
    {
        while let Ok(Some(_)) = entries.next() {
            budget.step()?;
        }
    }
    Ok(dwarf.attr_ranges(unit, value))
}

fn reference(value: &AttributeValue<Bytes<'_>>, unit: &Unit<Bytes<'_>>) -> Option<usize> {
    match value {
        AttributeValue::UnitRef(offset) => offset
            .to_debug_info_offset(&unit.header)
            .map(|offset| offset.0),
        AttributeValue::DebugInfoRef(offset) => Some(offset.0),
        _ => None,
    }
}
