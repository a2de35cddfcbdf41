//! A symbol table: which function contains an address.

use super::header::{Header, Section, section_bytes};
use super::source::{Numbers as _, ReadError, Source, c_string};

const STT_NOTYPE: u8 = 0;
const STT_FUNC: u8 = 2;
const STT_GNU_IFUNC: u8 = 10;
const STB_GLOBAL: u8 = 1;
const STB_WEAK: u8 = 2;

/// How many enclosing candidates a lookup goes back through: symbols nest two deep at most in practice.
const MAX_STEPS_BACK: usize = 32;

/// A function: where it is and where its name starts in the string table.
#[derive(Clone, Copy, Debug)]
struct Symbol {
    start: u64,
    end: u64,
    /// Furthest end of this symbol and all before it.
    reach: u64,
    name: u32,
}

/// The functions of one symbol table, by address.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    symbols: Vec<Symbol>,
    names: Vec<u8>,
}

/// What a lookup found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found<'a> {
    pub(crate) start: u64,
    pub(crate) raw_name: &'a [u8],
}

impl Symbols {
    /// The functions of `.symtab`, or of `.dynsym` where there is none.
    pub(crate) fn read(source: &Source, header: &Header, limit: u64) -> Result<Self, ReadError> {
        for name in [".symtab", ".dynsym"] {
            if let Some(section) = header.section(name) {
                let symbols = Self::read_table(source, header, section, limit)?;
                if !symbols.symbols.is_empty() {
                    return Ok(symbols);
                }
            }
        }
        Ok(Self::default())
    }

    fn read_table(
        source: &Source,
        header: &Header,
        section: &Section,
        limit: u64,
    ) -> Result<Self, ReadError> {
        let strings = header
            .sections
            .get(section.link as usize)
            .ok_or(ReadError::Malformed)?;
        let names = section_bytes(source, header, strings, limit)?;
        let raw = section_bytes(source, header, section, limit)?;
        let is_full = section.name == ".symtab";
        let entry_size = if header.is_64 { 24 } else { 16 };
        let mut entries: Vec<Entry> = raw
            .chunks_exact(entry_size)
            .filter_map(|raw| Entry::parse(raw, header, is_full, &names))
            .collect();
        drop(raw);
        entries.sort_unstable_by_key(|entry| (entry.start, entry.rank, entry.name));
        Ok(Self {
            symbols: bounded(&entries),
            names,
        })
    }

    /// The innermost function that contains `address`.
    pub(crate) fn find(&self, address: u64) -> Option<Found<'_>> {
        let after = self.symbols.partition_point(|s| s.start <= address);
        self.symbols[..after]
            .iter()
            .rev()
            .take(MAX_STEPS_BACK)
            .take_while(|s| address < s.reach)
            .find(|s| address < s.end)
            .and_then(|s| self.found(s))
    }

    /// The address of the function called `name`.
    pub(crate) fn address(&self, name: &str) -> Option<u64> {
        self.symbols
            .iter()
            .find(|s| {
                let text = self.names.get(s.name as usize..).unwrap_or_default();
                text.strip_prefix(name.as_bytes())
                    .is_some_and(|rest| rest.first() == Some(&0))
            })
            .map(|s| s.start)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.symbols.is_empty()
    }

    /// Memory that the table occupies.
    pub(crate) fn bytes(&self) -> usize {
        self.names.len() + self.symbols.len() * size_of::<Symbol>()
    }

    fn found(&self, symbol: &Symbol) -> Option<Found<'_>> {
        Some(Found {
            start: symbol.start,
            raw_name: c_string(&self.names, symbol.name as usize)?,
        })
    }
}

/// A symbol while the table is built.
struct Entry {
    start: u64,
    size: u64,
    /// End of its section: how far a symbol without a size may reach.
    limit: u64,
    name: u32,
    /// Of several names for one address the lowest is shown: `write` rather than `__GI___write`.
    rank: (bool, bool, u8, u8, u8),
}

impl Entry {
    fn parse(raw: &[u8], header: &Header, is_full: bool, names: &[u8]) -> Option<Self> {
        let (info, index, start, size) = if header.is_64 {
            (raw.get(4)?, raw.u16_at(6)?, raw.u64_at(8)?, raw.u64_at(16)?)
        } else {
            let (start, size) = (raw.u32_at(4)?, raw.u32_at(8)?);
            (raw.get(12)?, raw.u16_at(14)?, start.into(), size.into())
        };
        let name = raw.u32_at(0)?;
        let kind = info & 0xf;
        // Section 0 is "undefined"; reserved numbers have no section either.
        let section = header
            .sections
            .get(usize::from(index))
            .filter(|_| index != 0)?;
        let is_function = kind == STT_FUNC || kind == STT_GNU_IFUNC;
        if !(is_function || kind == STT_NOTYPE && is_full && section.is_code()) {
            return None;
        }
        // `$x` and `$d` mark code and data on arm64; they are not functions.
        if matches!(names.get(name as usize), None | Some(0 | b'$')) {
            return None;
        }
        // The dynamic table names a fraction of the code: without a size nothing says where a symbol ends.
        let limit = if is_full {
            section.address.saturating_add(section.size)
        } else {
            start.saturating_add(1)
        };
        // Only the first bytes: a string table without NULs must not make this quadratic.
        let text = names.get(name as usize..)?;
        let text = &text[..text.len().min(255)];
        let underscores = text.iter().take_while(|byte| **byte == b'_').count();
        let len = text.iter().take_while(|byte| **byte != 0).count();
        let binding = match info >> 4 {
            STB_GLOBAL => 0,
            STB_WEAK => 1,
            _ => 2,
        };
        Some(Self {
            start,
            size,
            limit,
            name,
            rank: (
                size == 0,
                !is_function,
                underscores as u8,
                binding,
                len as u8,
            ),
        })
    }
}

/// The first of each address, with its end.
fn bounded(entries: &[Entry]) -> Vec<Symbol> {
    let mut symbols: Vec<Symbol> = Vec::with_capacity(entries.len());
    let mut reach = 0;
    for (at, entry) in entries.iter().enumerate() {
        if symbols.last().is_some_and(|last| last.start == entry.start) {
            continue;
        }
        let end = if entry.size > 0 {
            entry.start.saturating_add(entry.size)
        } else {
            let next = entries[at..].iter().find(|next| next.start > entry.start);
            next.map_or(entry.limit, |next| entry.limit.min(next.start))
        };
        reach = reach.max(end);
        symbols.push(Symbol {
            start: entry.start,
            end,
            reach,
            name: entry.name,
        });
    }
    symbols.shrink_to_fit();
    symbols
}
