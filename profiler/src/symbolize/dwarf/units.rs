//! All compilation units of a file: which one an address belongs to, and reading one.

use foldhash::HashMap;
use std::sync::Arc;

use gimli::{
    Abbreviations, AttributeValue, DebugAbbrev, DebugAbbrevOffset, DebugInfoOffset, Dwarf,
    LittleEndian, SectionId, Unit, UnitHeader, UnitType, constants,
};

use super::sections::{Bytes, Sections};
use super::unit::Facts;
use crate::symbolize::budget::{Budget, Exhausted};
use crate::symbolize::elf::Numbers as _;

/// Limits far above what compilers write for one unit: what they bound is memory, since the parsed
/// form is up to a hundred times larger.
const MAX_UNITS: usize = 1 << 20;
const MAX_RANGES: usize = 8 << 20;
const MAX_ABBREVIATIONS: usize = 2 << 20;
const MAX_LINE_HEADER: u64 = 2 << 20;

/// Where a unit is.
#[derive(Clone, Copy, Debug)]
struct Place {
    offset: usize,
    end: usize,
    abbreviations: (usize, usize),
}

/// A piece of code and its unit.
#[derive(Clone, Copy, Debug)]
struct Piece {
    begin: u64,
    end: u64,
    reach: u64,
    unit: u32,
}

/// The units of a file.
#[derive(Debug, Default)]
pub(super) struct Units {
    places: Vec<Place>,
    pieces: Vec<Piece>,
    pub(super) flaw: Option<Flaw>,
}

/// Why the debug information of a file is not all there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Flaw {
    /// A version from after DWARF 5, or what is in another file (`-gsplit-dwarf`).
    Unsupported,
    /// Not what the format demands.
    Damaged,
}

/// Units parsed during one call.
pub(super) type Parsed<'a> = HashMap<usize, Option<Unit<Bytes<'a>>>>;

impl Units {
    pub(super) fn read(sections: &Sections, budget: &mut Budget) -> Result<Self, Exhausted> {
        let dwarf = sections.dwarf();
        let (places, flaw) = places(&dwarf, sections, budget)?;
        let mut units = Self {
            places,
            pieces: Vec::new(),
            flaw,
        };
        let mut ranges = Vec::new();
        for number in 0..units.places.len() {
            budget.step()?;
            let Some(unit) = units.parse(&dwarf, sections, number, budget)? else {
                units.flaw = units.flaw.max(Some(Flaw::Damaged));
                continue;
            };
            if unit.dwo_id.is_some() {
                units.flaw = units.flaw.max(Some(Flaw::Unsupported));
            }
            ranges.clear();
            if let Ok(mut entries) = unit.entries_raw(None)
                && let Ok(Some(root)) = entries.read_abbreviation()
                && let Ok(facts) = Facts::read(&mut entries, root.attributes(), &unit)
            {
                facts.ranges(&dwarf, &unit, &mut ranges, budget)?;
            }
            let room = MAX_RANGES.saturating_sub(units.pieces.len());
            units
                .pieces
                .extend(ranges.iter().take(room).map(|range| Piece {
                    begin: range.begin,
                    end: range.end,
                    reach: 0,
                    unit: u32::try_from(number).unwrap_or(u32::MAX),
                }));
        }
        units.pieces.sort_unstable_by_key(|piece| piece.begin);
        let mut reach = 0;
        for piece in &mut units.pieces {
            reach = reach.max(piece.end);
            piece.reach = reach;
        }
        units.pieces.shrink_to_fit();
        Ok(units)
    }

    /// Number of the unit that `address` belongs to.
    pub(super) fn find(&self, address: u64) -> Option<usize> {
        let after = self.pieces.partition_point(|piece| piece.begin <= address);
        self.pieces[..after]
            .iter()
            .rev()
            .take(64)
            .take_while(|piece| address < piece.reach)
            .find(|piece| address < piece.end)
            .map(|piece| piece.unit as usize)
    }

    /// Number of the unit that holds the entry at `offset` of `.debug_info`.
    pub(super) fn containing(&self, offset: usize) -> Option<usize> {
        let after = self.places.partition_point(|place| place.offset <= offset);
        let number = after.checked_sub(1)?;
        (offset < self.places.get(number)?.end).then_some(number)
    }

    /// Parses the head of a unit; `None` if it cannot be read.
    pub(super) fn parse<'a>(
        &self,
        dwarf: &Dwarf<Bytes<'a>>,
        sections: &'a Sections,
        number: usize,
        budget: &mut Budget,
    ) -> Result<Option<Unit<Bytes<'a>>>, Exhausted> {
        let Some(place) = self.places.get(number) else {
            return Ok(None);
        };
        let (from, to) = place.abbreviations;
        budget.bytes(to.saturating_sub(from))?;
        let parsed = || {
            let header = dwarf
                .debug_info
                .header_from_offset(DebugInfoOffset(place.offset))
                .ok()?;
            let bytes = sections.get(SectionId::DebugAbbrev).get(from..to)?;
            let abbreviations = DebugAbbrev::new(bytes, LittleEndian);
            let abbreviations = abbreviations.abbreviations(DebugAbbrevOffset(0)).ok()?;
            let lines = line_header_size(&header, &abbreviations, sections);
            Some((header, abbreviations, lines))
        };
        let Some((header, abbreviations, lines)) = parsed() else {
            return Ok(None);
        };
        if lines > MAX_LINE_HEADER {
            return Ok(None);
        }
        budget.bytes(usize::try_from(lines).unwrap_or(usize::MAX))?;
        let unit = Unit::new_with_abbreviations(dwarf, header, Arc::new(abbreviations)).ok();
        if let Some(unit) = &unit {
            let text = |text: Option<Bytes<'_>>| text.map_or(0, |text| text.len());
            budget.bytes(text(unit.name).saturating_add(text(unit.comp_dir)))?;
        }
        Ok(unit)
    }

    pub(super) fn bytes(&self) -> usize {
        self.places.len() * size_of::<Place>() + self.pieces.len() * size_of::<Piece>()
    }
}

fn places(
    dwarf: &Dwarf<Bytes<'_>>,
    sections: &Sections,
    budget: &mut Budget,
) -> Result<(Vec<Place>, Option<Flaw>), Exhausted> {
    let mut found = Vec::new();
    let mut headers = dwarf.units();
    let mut flaw = None;
    loop {
        budget.step()?;
        let header = match headers.next() {
            Ok(Some(header)) => header,
            Ok(None) => break,
            // What was found so far is still right.
            Err(error) => {
                flaw = Some(match error {
                    gimli::Error::UnknownVersion(_) => Flaw::Unsupported,
                    _ => Flaw::Damaged,
                });
                break;
            }
        };
        let offset = header.debug_info_offset().map(|offset| offset.0);
        let is_code = matches!(
            header.type_(),
            UnitType::Compilation | UnitType::Partial | UnitType::Skeleton(_)
        );
        if let (Some(offset), true) = (offset, is_code && found.len() < MAX_UNITS) {
            found.push(Place {
                offset,
                end: offset.saturating_add(header.length_including_self()),
                abbreviations: (header.debug_abbrev_offset().0, 0),
            });
        }
    }
    // A table of abbreviations ends where the next one begins. Parsing no further keeps the whole linear:
    // otherwise, a million units could each start one byte later in the same large table.
    let mut starts: Vec<usize> = found.iter().map(|place| place.abbreviations.0).collect();
    starts.sort_unstable();
    starts.dedup();
    let len = sections.get(SectionId::DebugAbbrev).len();
    for place in &mut found {
        let start = place.abbreviations.0;
        let next = starts.get(starts.partition_point(|other| *other <= start));
        let end = next.copied().unwrap_or(len).min(len);
        place.abbreviations.1 = end.min(start.saturating_add(MAX_ABBREVIATIONS));
    }
    Ok((found, flaw))
}

/// Size of the table of files that the unit's line program starts with.
fn line_header_size(
    header: &UnitHeader<Bytes<'_>>,
    abbreviations: &Abbreviations,
    sections: &Sections,
) -> u64 {
    let at = || {
        let mut raw = header.entries_raw(abbreviations, None).ok()?;
        let root = raw.read_abbreviation().ok()??;
        for specification in root.attributes() {
            let attribute = raw.read_attribute(*specification).ok()?;
            if attribute.name() == constants::DW_AT_stmt_list {
                return match attribute.value() {
                    AttributeValue::DebugLineRef(offset) => Some(offset.0),
                    AttributeValue::SecOffset(offset) => Some(offset),
                    _ => None,
                };
            }
        }
        None
    };
    let size = || {
        let bytes = sections.get(SectionId::DebugLine);
        let at = at()?;
        // The length is 4 bytes, or 12 after an escape; then the version, and in 5 two sizes of one byte.
        let is_64 = bytes.u32_at(at)? == u32::MAX;
        let version_at = at.checked_add(if is_64 { 12 } else { 4 })?;
        let size_at = version_at + if bytes.u16_at(version_at)? >= 5 { 4 } else { 2 };
        if is_64 {
            bytes.u64_at(size_at)
        } else {
            bytes.u32_at(size_at).map(u64::from)
        }
    };
    size().unwrap_or(0)
}
