//! Tables by which the kernel half unwinds user stacks without frame pointers: made by user space from the `.eh_frame` of
//! each file, once however many processes map it.
//!
//! A table is an array of blocks of 256 bytes, so that the kernel half fetches many rows with one helper call: first an
//! index with a number for each page of code, then the rows, sorted by address. The index says which rows may cover a
//! page, so a lookup touches one block of it and, mostly, one of rows.

/// Numbers of the index in a block.
pub const INDEX_PER_BLOCK: u32 = 64;

/// Rows in a block.
pub const ROWS_PER_BLOCK: u32 = 32;

/// Code that one number of the index stands for is so large: `1 << PAGE_SHIFT` bytes.
pub const PAGE_SHIFT: u32 = 12;

/// Part of a table: numbers of the index, or rows, as words.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Block {
    /// Two numbers of the index, the first in the lower half, or one row ([`Row::to_word`]).
    pub words: [u64; ROWS_PER_BLOCK as usize],
}

/// How the canonical frame address (CFA, the stack pointer before the call) is found.
pub mod cfa {
    /// There is no description: code of another compiler, or between functions.
    pub const NONE: u8 = 0;
    /// Stack pointer + offset.
    pub const SP: u8 = 1;
    /// Frame pointer + offset.
    pub const BP: u8 = 2;
    /// An entry of a procedure linkage table: stack pointer + 8, and 8 more from byte `offset` of its 16 on.
    pub const PLT: u8 = 3;
    /// The return of a signal handler: the interrupted registers are in the `ucontext` at the stack pointer.
    pub const SIGNAL: u8 = 4;
    /// The outermost function of a thread.
    pub const END: u8 = 5;
    /// A rule that rows cannot hold.
    pub const UNKNOWN: u8 = 6;
    /// The word at frame pointer + offset: functions that align their stack.
    pub const AT_BP: u8 = 7;
    /// The word at stack pointer + offset, and 8 more: assembly that aligns its stack.
    pub const AT_SP_PLUS_8: u8 = 8;
    /// Frame pointer + offset, on another stack: code that has changed to this one and will come back (Go's runtime).
    pub const SWITCHED: u8 = 9;
}

/// Where the caller's frame pointer is, in words; other values are places below the CFA.
pub mod bp {
    /// It has not changed.
    pub const SAME: i8 = 0;
    /// From here on: at the frame pointer, this value itself being the word at it, the next the word above.
    pub const AT_BP: i8 = 1;
    /// It cannot be told.
    pub const LOST: i8 = i8::MAX;
}

/// What holds from one address of a file to that of the next row. The return address is the word below the CFA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// First address, counted from the table's origin.
    pub address: u32,
    /// One of [`cfa`].
    pub cfa: u8,
    /// One of [`bp`], or the place of the caller's frame pointer in words from the CFA (negative).
    pub bp: i8,
    /// In words of 8 bytes; of [`cfa::PLT`] in bytes.
    pub offset: i16,
}

impl Row {
    /// As a table holds it.
    #[inline(always)]
    #[must_use]
    pub const fn to_word(self) -> u64 {
        self.address as u64
            | (self.cfa as u64) << 32
            | (self.bp as u8 as u64) << 40
            | (self.offset as u16 as u64) << 48
    }

    /// The same backwards.
    #[inline(always)]
    #[must_use]
    pub const fn from_word(word: u64) -> Self {
        Self {
            address: word as u32,
            cfa: (word >> 32) as u8,
            bp: (word >> 40) as u8 as i8,
            offset: (word >> 48) as u16 as i16,
        }
    }
}

/// A file's code as a process has it mapped.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mapped {
    /// First address.
    pub start: u64,
    /// The address behind it.
    pub end: u64,
    /// Where the table's origin lies in this process.
    pub origin: u64,
    /// Number of the table, or one of [`table`].
    pub table: u32,
    /// Pages of code that the table's index has, less than 2^20.
    pub pages: u32,
}

/// Numbers that are no table's.
pub mod table {
    /// There will be one.
    pub const NOT_YET: u32 = u32::MAX;
    /// There is none: the file has no descriptions, or could not be read.
    pub const NONE: u32 = u32::MAX - 1;
}

/// Most mappings of one process that can be unwound.
pub const MAX_MAPPED: usize = 256;

/// Most tables that there are at once.
pub const MAX_TABLES: u32 = 4_096;

/// Most process images that are unwound by tables at once.
pub const MAX_IMAGES: u32 = 16_384;

/// A process image, as a key: the exec id in the upper half.
#[inline(always)]
#[must_use]
pub const fn image(tgid: u32, exec_id: u32) -> u64 {
    (exec_id as u64) << 32 | tgid as u64
}

/// The tgid and the exec id of such a key.
#[inline(always)]
#[must_use]
pub const fn of_image(image: u64) -> (u32, u32) {
    (image as u32, (image >> 32) as u32)
}

/// What a process image has mapped, by address.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Mappings {
    /// The mappings, all of them below [`Mapped::NONE`], and behind them that.
    pub mapped: [Mapped; MAX_MAPPED],
}

impl Mapped {
    /// Lies above all addresses.
    pub const NONE: Self = Self {
        start: 1 << 62,
        end: 0,
        origin: 0,
        table: table::NONE,
        pages: 0,
    };
}

/// What a mapping shows, as the kernel knows it: by this, code of a file that has a table is recognised in a process of which
/// nothing else is known yet.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shown {
    /// Address of the inode; for the vDSO that of what the kernel maps there. Good for as long as the file is held open.
    pub content: u64,
    /// First page of the file, of 4 KiB.
    pub page: u64,
}

/// Words of a node of the kernel's tree of mappings.
pub const NODE_WORDS: usize = 32;

/// Such a node.
pub type Node = [u64; NODE_WORDS];

/// A mapping, as the kernel half finds it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Area {
    /// First address.
    pub start: u64,
    /// The address behind it; 0 where none was found.
    pub end: u64,
    /// Its content is 0 where there is nothing but memory.
    pub shown: Shown,
}

/// A mapping that was looked up, and the node of the kernel's tree that it was found in. In map memory, because programs have 512
/// bytes of stack with all that they call.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct LookedUp {
    /// The mapping.
    pub area: Area,
    /// The node.
    pub node: Node,
}

/// The table for what a mapping shows.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShownTable {
    /// Where the table's origin lies, counted from the beginning of the mapping.
    pub origin: u64,
    /// Number of the table.
    pub table: u32,
    /// As in [`Mapped`].
    pub pages: u32,
}

/// Most pieces of code of all files with tables.
pub const MAX_SHOWN: u32 = 2 * MAX_TABLES;

/// The key under which an image of which nothing is known has nothing mapped: no process has the id 0.
pub const NO_IMAGE: u64 = 0;

/// Frames of a user stack that are kept.
pub const MAX_UNWOUND: usize = 512;

const _: () = assert!(size_of::<Block>() == 256 && size_of::<Mapped>() == 32);
const _: () = assert!(size_of::<Shown>() == 16 && size_of::<ShownTable>() == 16);
const _: () = assert!(MAX_MAPPED.is_power_of_two());
const _: () = assert!(INDEX_PER_BLOCK == 2 * ROWS_PER_BLOCK && INDEX_PER_BLOCK.is_power_of_two());

#[cfg(test)]
mod tests {
    use super::{Row, bp, cfa};

    #[test]
    fn rows_are_words() {
        for row in [
            Row {
                address: u32::MAX,
                cfa: cfa::AT_SP_PLUS_8,
                bp: bp::LOST,
                offset: i16::MIN,
            },
            Row {
                address: 0x1234,
                cfa: cfa::SP,
                bp: -2,
                offset: 2,
            },
        ] {
            assert_eq!(Row::from_word(row.to_word()), row);
        }
    }
}
