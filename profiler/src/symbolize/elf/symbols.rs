//! Symbol tables: which function contains an address.

use foldhash::{HashSet, HashSetExt as _};

use super::header::Header;
use super::packed::section_bytes;
use super::source::{Numbers as _, ReadError, Source, c_string};

const STT_NOTYPE: u8 = 0;
const STT_FUNC: u8 = 2;
const STT_GNU_IFUNC: u8 = 10;
const STB_GLOBAL: u8 = 1;
const STB_WEAK: u8 = 2;

const EM_ARM: u16 = 40;
const EM_AARCH64: u16 = 183;
const EM_RISCV: u16 = 243;

/// glibc defines about forty versions, with names of a dozen letters.
const MAX_VERSIONS: usize = 1024;
const MAX_VERSION_BYTES: u64 = 256 << 10;
const MAX_VERSION_NAME: u64 = 256;

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
    has_size: bool,
}

/// The functions of a file's symbol tables, by address.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    symbols: Vec<Symbol>,
    names: Vec<u8>,
    /// Versions that this file defines for its symbols, as `GLIBC_2.17`.
    versions: HashSet<Vec<u8>>,
}

/// What a lookup found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found<'a> {
    pub(crate) start: u64,
    /// The symbol says how long its function is. Without, it is only known where the next symbol begins.
    pub(crate) has_size: bool,
    pub(crate) raw_name: &'a [u8],
}

/// Symbols of several tables while they are put together.
#[derive(Debug, Default)]
pub(crate) struct SymbolTables {
    entries: Vec<Entry>,
    names: Vec<u8>,
}

impl SymbolTables {
    /// Adds the functions of the table called `name`, if the file has it. Where it cannot be read, or is larger than
    /// `limit`, nothing is added.
    pub(crate) fn add(
        &mut self,
        (source, header): (&Source, &Header),
        name: &str,
        limit: u64,
    ) -> Result<(), ReadError> {
        let Some(section) = header.section(name) else {
            return Ok(());
        };
        let strings = header
            .sections
            .get(section.link as usize)
            .ok_or(ReadError::Malformed)?;
        let names = section_bytes(source, header, strings, limit)?;
        let raw = section_bytes(source, header, section, limit)?;
        let base = u32::try_from(self.names.len()).map_err(|_| ReadError::TooLarge)?;
        if u32::try_from(self.names.len() + names.len()).is_err() {
            return Err(ReadError::TooLarge);
        }
        let kind = TableKind {
            is_full: name == ".symtab",
            is_alone: self.entries.is_empty(),
        };
        let entry_size = if header.is_64 { 24 } else { 16 };
        let new = raw.chunks_exact(entry_size).filter_map(|raw| {
            let mut entry = Entry::parse(raw, header, kind, &names)?;
            entry.name += base;
            Some(entry)
        });
        self.entries.extend(new);
        if self.names.is_empty() {
            self.names = names;
        } else {
            self.names.extend(names);
        }
        Ok(())
    }

    /// No table had a function so far.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All of them, by address. `header` is that of the file that runs.
    pub(crate) fn finish(mut self, (source, header): (&Source, &Header)) -> Symbols {
        self.entries
            .sort_unstable_by_key(|entry| (entry.start, entry.rank, entry.name));
        Symbols {
            symbols: bounded(&self.entries),
            names: self.names,
            versions: defined_versions(source, header).unwrap_or_default(),
        }
    }
}

impl Symbols {
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

    /// Memory that the table occupies.
    pub(crate) fn bytes(&self) -> usize {
        self.names.len() + self.symbols.len() * size_of::<Symbol>()
    }

    fn found(&self, symbol: &Symbol) -> Option<Found<'_>> {
        let name = c_string(&self.names, symbol.name as usize)?;
        Some(Found {
            start: symbol.start,
            has_size: symbol.has_size,
            raw_name: self.without_version(name),
        })
    }

    /// `clock_gettime` of `clock_gettime@@GLIBC_2.17`: linkers write the version that a library defines into its full
    /// symbol table. Another `@` belongs to the name.
    fn without_version<'a>(&self, name: &'a [u8]) -> &'a [u8] {
        let Some(at) = name.iter().rposition(|byte| *byte == b'@') else {
            return name;
        };
        let (symbol, version) = (&name[..at], &name[at + 1..]);
        let symbol = symbol.strip_suffix(b"@").unwrap_or(symbol);
        if !symbol.is_empty() && self.versions.contains(version) {
            symbol
        } else {
            name
        }
    }
}

/// What is known about a table while it is read.
#[derive(Clone, Copy, Debug)]
struct TableKind {
    /// It names all functions, not only those that other files may use.
    is_full: bool,
    /// There are no symbols from another table.
    is_alone: bool,
}

/// A symbol while the table is built.
#[derive(Debug)]
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
    fn parse(raw: &[u8], header: &Header, table: TableKind, names: &[u8]) -> Option<Self> {
        let (info, index, mut start, size) = if header.is_64 {
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
        if !(is_function || kind == STT_NOTYPE && table.is_full && section.is_code()) {
            return None;
        }
        let text = names.get(name as usize..)?;
        if matches!(text.first(), None | Some(0))
            || kind == STT_NOTYPE && is_mapping_symbol(text, header.machine)
        {
            return None;
        }
        if header.machine == EM_ARM && is_function {
            start &= !1; // that bit says that the code is Thumb
        }
        // The dynamic table names a fraction of the code: without a size nothing says where a symbol ends.
        let limit = if table.is_full {
            section.address.saturating_add(section.size)
        } else if table.is_alone || size > 0 {
            start.saturating_add(1)
        } else {
            return None; // the full table says more about it
        };
        // Only the first bytes: a string table without NULs must not make this quadratic.
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

/// A symbol that marks where code or data begins, on processors whose code contains data: `$x`, `$d.12`. It names no
/// function. (ELF for the Arm Architecture, ELF for the Arm 64-bit Architecture, RISC-V ELF psABI.)
fn is_mapping_symbol(name: &[u8], machine: u16) -> bool {
    let kinds: &[u8] = match machine {
        EM_ARM => b"adt",
        EM_AARCH64 | EM_RISCV => b"dx",
        _ => return false,
    };
    let [b'$', kind, rest @ ..] = name else {
        return false;
    };
    // RISC-V adds the instruction set: `$xrv64i2p1`.
    let is_end = matches!(rest.first(), None | Some(0 | b'.'))
        || machine == EM_RISCV && rest.starts_with(b"rv");
    is_end && kinds.contains(kind)
}

/// The first of each address, with its end.
fn bounded(entries: &[Entry]) -> Vec<Symbol> {
    let mut symbols: Vec<Symbol> = Vec::with_capacity(entries.len());
    let mut reach = 0;
    // How far functions that say their size reach: a label within one of them is none itself.
    let mut known = 0;
    for (at, entry) in entries.iter().enumerate() {
        let has_size = entry.size > 0;
        let is_double = symbols.last().is_some_and(|last| last.start == entry.start);
        if is_double || !has_size && entry.start < known {
            continue;
        }
        let end = if has_size {
            entry.start.saturating_add(entry.size)
        } else {
            let next = entries[at..].iter().find(|next| next.start > entry.start);
            next.map_or(entry.limit, |next| entry.limit.min(next.start))
        };
        if has_size {
            known = known.max(end);
        }
        reach = reach.max(end);
        symbols.push(Symbol {
            start: entry.start,
            end,
            reach,
            name: entry.name,
            has_size,
        });
    }
    symbols.shrink_to_fit();
    symbols
}

/// The versions in `.gnu.version_d`: a list in which each part says how far on the next is. (Linux Standard Base,
/// "Symbol Versioning".)
fn defined_versions(source: &Source, header: &Header) -> Option<HashSet<Vec<u8>>> {
    let section = header.section(".gnu.version_d")?;
    let strings = header.sections.get(section.link as usize)?;
    let list = section_bytes(source, header, section, MAX_VERSION_BYTES).ok()?;
    let mut versions = HashSet::new();
    let mut at = 0usize;
    for _ in 0..MAX_VERSIONS {
        let first = at.checked_add(list.u32_at(at.checked_add(12)?)? as usize)?;
        if let Some(name) = list.u32_at(first) {
            let rest = strings.size.checked_sub(name.into())?;
            let place = strings.offset.checked_add(name.into())?;
            let text = source.read(place, rest.min(MAX_VERSION_NAME), MAX_VERSION_NAME);
            if let Some(text) = text.ok().as_deref().and_then(|text| c_string(text, 0)) {
                versions.insert(text.to_vec());
            }
        }
        let next = list.u32_at(at + 16).unwrap_or(0) as usize;
        if next == 0 {
            break;
        }
        at = at.checked_add(next)?;
    }
    Some(versions)
}

#[cfg(test)]
mod tests {
    use super::{EM_AARCH64, EM_ARM, EM_RISCV, is_mapping_symbol};

    /// By the three architectures' ELF documents; Swift's names begin with the same character.
    #[test]
    fn marks_of_code_and_data_are_no_names() {
        const EM_X86_64: u16 = 62;
        for (name, machines) in [
            (&b"$x\0"[..], &[EM_AARCH64, EM_RISCV][..]),
            (b"$x", &[EM_AARCH64, EM_RISCV]),
            (b"$x.12\0", &[EM_AARCH64, EM_RISCV]),
            (b"$d\0next", &[EM_ARM, EM_AARCH64, EM_RISCV]),
            (b"$d.realdata\0", &[EM_ARM, EM_AARCH64, EM_RISCV]),
            (b"$a\0", &[EM_ARM]),
            (b"$t.0\0", &[EM_ARM]),
            (b"$xrv64i2p1_m2p0\0", &[EM_RISCV]),
            (b"$xyz\0", &[]),
            (b"$data\0", &[]),
            (b"$s4main3fooyyF\0", &[]),
            (b"$$x\0", &[]),
            (b"$\0x", &[]),
            (b"$", &[]),
            (b"x\0", &[]),
        ] {
            for machine in [EM_ARM, EM_AARCH64, EM_RISCV, EM_X86_64] {
                assert_eq!(
                    is_mapping_symbol(name, machine),
                    machines.contains(&machine),
                    "{:?} on {machine}",
                    String::from_utf8_lossy(name)
                );
            }
        }
    }
}
