//! The table of functions, and the little programs that give a line, a file and an inlined call for each address.

use std::cell::Cell;

use super::layout::{Layout, MAX_TABLE, PAIR, Place, field, flags};
use super::program::Program;
use crate::symbolize::elf::{Header, Numbers as _, Source, c_string};

/// Largest function that a look-up walks through, in steps of its line program.
const MAX_STEPS: usize = 1 << 16;

/// Deepest inlining shown.
const MAX_INLINED: usize = 64;

const PCDATA_INL_TREE_INDEX: usize = 2;
const FUNCDATA_INL_TREE: usize = 3;
const NONE: u32 = u32::MAX;

/// A `.gopclntab`, and what `moduledata` adds.
#[derive(Debug)]
pub(crate) struct GoTable {
    bytes: Vec<u8>,
    layout: Layout,
    inline: Option<Inline>,
    /// Function id of the compiler's wrappers. The number changes with Go's version; it always is the highest.
    wrapper: u8,
    /// Steps of programs run since the last look.
    steps: Cell<usize>,
}

/// Where the inlining trees are.
#[derive(Debug)]
enum Inline {
    /// In the table itself, from this offset: Go 1.26.
    Within(usize),
    /// In read-only data: these bytes.
    Apart(Vec<u8>),
}

/// One function at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GoFunction<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) file: Option<&'a [u8]>,
    pub(crate) line: u32,
    /// The runtime marks it as the first of its stack.
    pub(crate) is_root: bool,
}

/// An inlined call.
struct InlinedCall<'a> {
    id: u8,
    name: &'a [u8],
    /// Address of the call in the function around.
    place: u64,
}

/// A `_func` record.
#[derive(Clone, Copy)]
struct Record {
    at: usize,
    entry: u64,
}

impl GoTable {
    /// The table of a Go program; `None` if it is not one, or one that cannot be read.
    pub(crate) fn read(source: &Source, header: &Header) -> Option<Self> {
        let place = Place::find(source, header)?;
        let layout = Layout::read(source, header, &place)?;
        let bytes = source.read(place.offset, place.size, MAX_TABLE).ok()?;
        let inline = layout.module.and_then(|module| {
            inline_trees(source, header, (place.address, bytes.len()), module.gofunc)
        });
        let mut table = Self {
            wrapper: u8::MAX,
            steps: Cell::new(0),
            bytes,
            layout,
            inline,
        };
        let ids = (0..layout.count).filter_map(|number| {
            let pair = layout.functions + number * PAIR;
            let at = layout
                .functions
                .checked_add(table.bytes.u32_at(pair + 4)? as usize)?;
            table.function_id(at)
        });
        table.wrapper = ids.max()?;
        Some(table)
    }

    fn function_id(&self, record: usize) -> Option<u8> {
        self.bytes
            .get(record.checked_add(self.layout.fixed_size() - 4)?)
            .copied()
    }

    /// The functions at `address`, innermost inlined one first, the real one last; empty if it is not Go code.
    pub(crate) fn find(&self, address: u64) -> Vec<GoFunction<'_>> {
        self.try_find(address).unwrap_or_default()
    }

    /// How many steps the look-ups took since this was last asked: what a file makes them cost.
    pub(crate) fn take_steps(&self) -> usize {
        self.steps.take()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
            + match &self.inline {
                Some(Inline::Apart(bytes)) => bytes.len(),
                _ => 0,
            }
    }

    fn try_find(&self, address: u64) -> Option<Vec<GoFunction<'_>>> {
        let record = self.record(address)?;
        let outer_name = self.name(self.field(record, field::NAME)?)?;
        let flags = *self
            .bytes
            .get(record.at + self.layout.fixed_size() - flags::BEFORE_END)?;
        let is_root = flags & flags::TOP_FRAME != 0;
        let mut found: Vec<GoFunction<'_>> = Vec::new();
        // Where in the function the call of the next function is: an inlined call names its own place.
        let mut place = address;
        for _ in 0..MAX_INLINED {
            let (file, line) = self.file_and_line(record, place);
            let inlined = self.inlined_at(record, place);
            let (name, id) = match &inlined {
                Some(call) => (call.name, call.id),
                None => (outer_name, self.function_id(record.at)?),
            };
            // As in Go's own stacks, the compiler's wrappers are left out unless they themselves run.
            if found.is_empty() || id != self.wrapper {
                found.push(GoFunction {
                    name,
                    file,
                    line,
                    is_root: false,
                });
            }
            let Some(call) = inlined else {
                if let Some(last) = found.last_mut() {
                    last.is_root = is_root;
                }
                return Some(found);
            };
            place = call.place;
        }
        // A tree without end: garbage.
        Some(vec![GoFunction {
            name: outer_name,
            file: None,
            line: 0,
            is_root,
        }])
    }

    /// Binary search in pairs of (function, record), ended by the end of the last function.
    fn record(&self, address: u64) -> Option<Record> {
        let offset = u32::try_from(address.checked_sub(self.layout.text)?).ok()?;
        let start = |number: usize| self.bytes.u32_at(self.layout.functions + number * PAIR);
        if offset >= start(self.layout.count)? {
            return None;
        }
        let (mut low, mut high) = (0, self.layout.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if start(middle)? <= offset {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let pair = self.layout.functions + low.checked_sub(1)? * PAIR;
        let at = self
            .layout
            .functions
            .checked_add(self.bytes.u32_at(pair + 4)? as usize)?;
        Some(Record {
            at,
            entry: self
                .layout
                .text
                .checked_add(self.bytes.u32_at(at + field::ENTRY * 4)?.into())?,
        })
    }

    /// The `number`th 32-bit field of a record.
    fn field(&self, record: Record, number: usize) -> Option<u32> {
        self.bytes.u32_at(record.at.checked_add(number * 4)?)
    }

    fn name(&self, offset: u32) -> Option<&[u8]> {
        c_string(&self.bytes, self.layout.names.checked_add(offset as usize)?)
            .filter(|name| !name.is_empty())
    }

    fn file_and_line(&self, record: Record, address: u64) -> (Option<&[u8]>, u32) {
        let line = self
            .field(record, field::LINE)
            .and_then(|program| self.run(record, program, address));
        let line = line.and_then(|line| u32::try_from(line).ok()).unwrap_or(0);
        (self.file(record, address), line)
    }

    fn file(&self, record: Record, address: u64) -> Option<&[u8]> {
        let number = self.run(record, self.field(record, field::FILE)?, address)?;
        let unit = self
            .field(record, field::UNIT)
            .filter(|unit| *unit != NONE)?;
        let entry = u64::from(unit).checked_add(u64::try_from(number).ok()?)?;
        let at = self
            .layout
            .units
            .checked_add(usize::try_from(entry.checked_mul(4)?).ok()?)?;
        let offset = self.bytes.u32_at(at).filter(|offset| *offset != NONE)?;
        c_string(&self.bytes, self.layout.files.checked_add(offset as usize)?)
    }

    /// The function inlined at `address`.
    fn inlined_at(&self, record: Record, address: u64) -> Option<InlinedCall<'_>> {
        let (tree, start) = match self.inline.as_ref()? {
            Inline::Within(start) => (self.bytes.as_slice(), *start),
            Inline::Apart(bytes) => (bytes.as_slice(), 0),
        };
        let programs = self.field(record, field::PROGRAMS)? as usize;
        let data = usize::from(
            *self
                .bytes
                .get(record.at.checked_add(self.layout.fixed_size() - 1)?)?,
        );
        if programs <= PCDATA_INL_TREE_INDEX || data <= FUNCDATA_INL_TREE {
            return None;
        }
        let variable = record.at + self.layout.fixed_size();
        let program = self.bytes.u32_at(variable + PCDATA_INL_TREE_INDEX * 4)?;
        let index = usize::try_from(self.run(record, program, address)?).ok()?;
        let data_at = variable.checked_add(programs.checked_mul(4)?)? + FUNCDATA_INL_TREE * 4;
        let offset = self
            .bytes
            .u32_at(data_at)
            .filter(|offset| *offset != NONE)?;
        // `inlinedCall`: before Go 1.20 it had the file and line of the call too.
        let (size, id_at, name_at, call_at) = if self.layout.since_120 {
            (16, 0, 4, 8)
        } else {
            (20, 2, 12, 16)
        };
        let call = start
            .checked_add(offset as usize)?
            .checked_add(index.checked_mul(size)?)?;
        let name = self.name(tree.u32_at(call + name_at)?)?;
        let place = tree.u32_at(call + call_at)?;
        Some(InlinedCall {
            id: *tree.get(call + id_at)?,
            name,
            place: record.entry.checked_add(place.into())?,
        })
    }

    /// Runs a program: pairs of (value change, address change), until it is past `address`.
    fn run(&self, record: Record, program: u32, address: u64) -> Option<i32> {
        if program == 0 {
            return None;
        }
        let at = self.layout.programs.checked_add(program as usize)?;
        let mut place = record.entry;
        for step in Program::new(&self.bytes, at).take(MAX_STEPS) {
            place = place.checked_add(u64::from(step.length) * self.layout.quantum)?;
            self.steps.set(self.steps.get() + 1);
            if address < place {
                return Some(step.value);
            }
        }
        None
    }
}

/// Finds `go:func.*`, which starts at `gofunc`.
fn inline_trees(
    source: &Source,
    header: &Header,
    (table, len): (u64, usize),
    gofunc: u64,
) -> Option<Inline> {
    if table <= gofunc && gofunc - table < len as u64 {
        return usize::try_from(gofunc - table).ok().map(Inline::Within);
    }
    let section = header.sections.iter().find(|section| {
        section.has_bytes() && section.address <= gofunc && gofunc - section.address < section.size
    })?;
    let rest = section.size - (gofunc - section.address);
    let offset = header.offset_of(gofunc)?;
    source.read(offset, rest, MAX_TABLE).ok().map(Inline::Apart)
}
