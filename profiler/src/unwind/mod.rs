//! Tables by which the kernel half unwinds user stacks, made from the frame descriptions of ELF files.
//!
//! What a table is, the border says (`profiler-ebpf/src/abi/unwind.rs`), and how a row is found in it and used
//! (`profiler-ebpf/src/unwind.rs`). Here descriptions become rows: `section` finds them in a file, `entries` goes through
//! them, `go` through what Go's runtime has instead; `code` says whose word holds where both or several speak, `analysis` goes
//! through code that nobody describes, `rule` says what fits into 8 bytes, `rows` puts them in order and makes the index.
//!
//! Files are of containers, so nothing in them is trusted: sizes, rows and time are limited, and what makes no sense is
//! counted. A large file has 3 million rows and more, so its descriptions are read piece by piece, twice, and the rows are
//! sorted where they lie: beside 8 bytes for each there are 4 for each function and the piece.

mod analysis;
mod code;
mod entries;
mod go;
mod look;
mod own;
mod rows;
mod rule;
mod section;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::time::Instant;

use ctprof_ebpf::abi::unwind::{Block, Mapped, ROWS_PER_BLOCK, Row, cfa};
use ctprof_ebpf::unwind::{Blocks, find};

pub use self::own::{Own, Piece};

use self::code::Found;
use self::entries::Entries;
use self::go::Go;
use self::rows::Rows;
use self::section::Place;
use crate::model::ProcessKey;
use crate::symbolize::elf::{Header, ReadError, Source};
use crate::symbolize::go::GoFrames;

const EM_X86_64: u16 = 62;

/// What making a table may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest section of frame descriptions, and most that a packed one may unpack to.
    pub bytes: u64,
    /// Most rows before equal neighbours are merged, 8 bytes each; about a quarter more than are left.
    pub rows: usize,
    /// Most code that nothing describes, in bytes, that is followed instruction by instruction.
    pub undescribed: u64,
    /// About how much of it at once: what is kept meanwhile takes ten times as much memory.
    pub undescribed_piece: u64,
    /// When to give up.
    pub deadline: Instant,
}

impl Limits {
    /// What the largest programs need (64 MiB of descriptions), until `deadline`.
    #[must_use]
    pub const fn until(deadline: Instant) -> Self {
        Self {
            bytes: 64 << 20,
            rows: 4 << 20,
            undescribed: 16 << 20,
            undescribed_piece: 1 << 19,
            deadline,
        }
    }
}

/// Why a file has no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTable {
    /// Its machine is not one whose stacks are unwound by tables: the number in the ELF header.
    #[error("no unwind tables for machine {0}")]
    Machine(u16),
    /// It has no frame descriptions, or none of its code.
    #[error("no frame descriptions")]
    NoDescriptions,
    /// It needs more than [`Limits`] allow, or its code takes 4 GiB and more.
    #[error("too many frame descriptions")]
    TooLarge,
    /// The time was up.
    #[error("making its unwind table takes too long")]
    TooSlow,
    /// It is not an ELF file, damaged, or could not be read.
    #[error("its frame descriptions cannot be read")]
    Unreadable,
}

impl From<ReadError> for NoTable {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::TooLarge => Self::TooLarge,
            _ => Self::Unreadable,
        }
    }
}

/// What the kernel half is to be told.
#[derive(Debug)]
pub enum News {
    /// Nothing that was told before holds any more.
    Anew,
    /// There is a table, and by what its file is recognised.
    Table(u32, Table, Option<Own>),
    /// It is not needed any more.
    NoTable(u32),
    /// What a process image has mapped, by address.
    Mapped(ProcessKey, Vec<Mapped>),
    /// The image is gone.
    Gone(ProcessKey),
}

impl News {
    /// Whether stacks may be whole from now on that were not.
    #[must_use]
    pub const fn is_more(&self) -> bool {
        matches!(self, Self::Table(..) | Self::Mapped(..))
    }
}

/// The table of a file.
#[derive(Debug)]
pub struct Table {
    origin: u64,
    pages: u32,
    counts: Counts,
    /// Whole blocks.
    words: Vec<u64>,
}

/// What a table was made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows of the table.
    pub rows: usize,
    /// Rows among them with a rule that rows cannot hold.
    pub unknown: usize,
    /// Functions described.
    pub functions: usize,
    /// Functions that nothing describes, and whose code says how they use the stack.
    pub analysed: usize,
    /// Descriptions that make no sense, as a whole or from some instruction on.
    pub damaged: usize,
}

impl Table {
    /// Makes the table of a file.
    ///
    /// # Errors
    /// [`NoTable`]: it has no descriptions, or they are too large, too slow to read or damaged.
    pub fn of_file(file: File, limits: &Limits) -> Result<Self, NoTable> {
        let source = Source::file(file).map_err(|_| NoTable::Unreadable)?;
        let header = Header::read(&source)?;
        Self::read(&source, &header, limits)
    }

    /// The same of a file whose headers are known.
    pub(crate) fn read(source: &Source, header: &Header, limits: &Limits) -> Result<Self, NoTable> {
        if header.machine != EM_X86_64 || !header.is_64 {
            return Err(NoTable::Machine(header.machine));
        }
        let mut found = Found::new(header, limits.rows)?;
        let go = GoFrames::read(source, header)?.map(|frames| Go::new(frames, limits));
        let mut described = Vec::new();
        for place in Place::all(header) {
            // Debuggers are mostly told of nothing that exceptions do not need. What Go's compiler says to them is made from
            // what its runtime goes by, and less.
            if place.is_for_debuggers() && (go.is_some() || found.is_mostly_described()) {
                continue;
            }
            let section = place.open(source, header, limits)?;
            Entries::new(&section, header, limits).code(&mut found)?;
            described.push(section);
        }
        if let Some(go) = &go {
            go.code(&mut found)?;
        }
        let mut code = found.finish();
        let mut rows = Rows::new(&code, limits.rows);
        let mut damaged = 0;
        for section in &described {
            damaged += Entries::new(section, header, limits).rows(&mut code, &mut rows)?;
        }
        if let Some(go) = &go {
            damaged += go.rows(&mut code, &mut rows)?;
        }
        let analysed = analysis::analyse((source, header), code.origin(), &mut rows, limits)?;
        if code.functions() + analysed == 0 {
            return Err(NoTable::NoDescriptions);
        }
        let (words, mut counts) = rows.finish();
        counts.functions = code.functions();
        counts.analysed = analysed;
        counts.damaged = damaged;
        Ok(Self {
            origin: code.origin(),
            pages: code.pages(),
            counts,
            words,
        })
    }

    /// Address, as the linker gave it, from which rows and pages are counted: the beginning of a page of 4 KiB.
    #[must_use]
    pub const fn origin(&self) -> u64 {
        self.origin
    }

    /// Pages of code of 4 KiB.
    #[must_use]
    pub const fn pages(&self) -> u32 {
        self.pages
    }

    /// What it was made of.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Its blocks, those of the index first.
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = Block> + '_ {
        let blocks = self.words.as_chunks::<{ ROWS_PER_BLOCK as usize }>().0;
        blocks.iter().map(|words| Block { words: *words })
    }

    /// The row for an address, as the linker gave it; of [`cfa::NONE`] outside the table.
    #[must_use]
    pub fn find(&self, address: u64) -> Row {
        let none = Row {
            address: 0,
            cfa: cfa::NONE,
            bp: 0,
            offset: 0,
        };
        let mut copied = Copied {
            table: self,
            block: Block { words: [0; 32] },
        };
        let address = address.checked_sub(self.origin);
        address
            .and_then(|address| find(&mut copied, self.pages, address))
            .unwrap_or(none)
    }
}

/// One block after the other.
struct Copied<'a> {
    table: &'a Table,
    block: Block,
}

impl Blocks for Copied<'_> {
    fn block(&mut self, number: u32) -> Option<&Block> {
        self.block = self.table.blocks().nth(number as usize)?;
        Some(&self.block)
    }
}
