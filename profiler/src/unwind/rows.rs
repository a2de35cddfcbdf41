//! Rows, in the order in which they come, put in order of address, and the index over them.

use ctprof_ebpf::abi::unwind::{PAGE_SHIFT, ROWS_PER_BLOCK};
use ctprof_ebpf::unwind::blocks_of_index;

use super::code::Code;
use super::rule::{CALLED, NONE, Rule, UNKNOWN};
use super::{Counts, NoTable};

/// Functions begin at multiples of this; what is left before the next one is no code.
const ALIGNMENT: u32 = 16;

/// The rows of a table that is being made.
pub(super) struct Rows {
    /// Addresses in the upper halves, so that numbers are in the order of addresses, and rows before [`NONE`] at the same
    /// one.
    words: Vec<u64>,
    pages: u32,
    most: usize,
}

impl Rows {
    /// None yet; more than `most` are too many.
    pub(super) fn new(code: &Code<'_>, most: usize) -> Self {
        let mut rows = Self {
            words: Vec::new(),
            pages: code.pages(),
            most,
        };
        // Every address has a row, though it says nothing.
        rows.words.push(word(0, NONE));
        rows
    }

    /// Adds one.
    pub(super) fn add(&mut self, address: u32, rule: Rule) -> Result<(), NoTable> {
        // Mostly the next function follows: its predecessor's end need not even wait to be merged.
        if let [.., before, end] = *self.words
            && is_no_end(split(before).1, split(end), address)
        {
            self.words.pop();
        }
        if self.words.len() >= self.most {
            return Err(NoTable::TooLarge);
        }
        self.words.push(word(address, rule));
        Ok(())
    }

    /// Ranges of addresses that no row so far says anything of, in order.
    pub(super) fn holes(&mut self) -> Vec<(u32, u32)> {
        self.words.sort_unstable();
        self.merge();
        let ends = self.words.iter().skip(1).map(|word| split(*word).0);
        let all = ends.chain([self.pages << PAGE_SHIFT]);
        let holes = self.words.iter().zip(all);
        let holes = holes.filter(|(word, _)| split(**word).1 == NONE);
        holes.map(|(word, end)| (split(*word).0, end)).collect()
    }

    /// The words of the table.
    pub(super) fn finish(mut self) -> (Vec<u64>, Counts) {
        self.words.sort_unstable();
        self.merge();
        let unknown = self.words.iter().filter(|it| split(**it).1 == UNKNOWN);
        let counts = Counts {
            rows: self.words.len(),
            unknown: unknown.count(),
            ..Counts::default()
        };
        let index = self.index();
        for word in &mut self.words {
            // The border has addresses in the lower halves.
            *word = word.rotate_left(32);
        }
        self.words.splice(0..0, index);
        let whole = self.words.len().next_multiple_of(ROWS_PER_BLOCK as usize);
        self.words.resize(whole, u32::MAX.into());
        self.words.shrink_to_fit();
        (self.words, counts)
    }

    /// Leaves one row per address, and none that says what the one before does.
    fn merge(&mut self) {
        let mut kept = 0;
        let mut last = None;
        for at in 0..self.words.len() {
            let (address, rule) = split(self.words[at]);
            if let Some(next) = self.words.get(at + 1) {
                let (next, _) = split(*next);
                // The last at an address is not NONE if there is a choice.
                if next == address {
                    continue;
                }
                if last.is_some_and(|last| is_no_end(last, (address, rule), next)) {
                    continue;
                }
            }
            if last == Some(rule) {
                continue;
            }
            self.words[kept] = word(address, rule);
            kept += 1;
            last = Some(rule);
        }
        self.words.truncate(kept);
    }

    /// For each page and the end of the last one, the number of the last row that does not begin behind it; two to a word,
    /// whole blocks.
    fn index(&self) -> Vec<u64> {
        let blocks = blocks_of_index(self.pages) as usize;
        let mut index = vec![0; blocks * ROWS_PER_BLOCK as usize];
        let mut row = 0;
        for page in 0..=self.pages {
            let begin = u64::from(page) << PAGE_SHIFT;
            let is_before = |it: &u64| u64::from(split(*it).0) <= begin;
            while self.words.get(row + 1).is_some_and(is_before) {
                row += 1;
            }
            index[(page / 2) as usize] |= (row as u64) << (page % 2 * 32);
        }
        index
    }
}

/// A row that says that a function ends, and nothing follows, is not needed before a function at `next`.
///
/// Between functions there are bytes that nobody executes. If they were a function, it would be so short that its stack is
/// as it is when it begins, and as the one before has left it.
const fn is_no_end(before: Rule, (end, rule): (u32, Rule), next: u32) -> bool {
    if rule != NONE || next < end {
        return false;
    }
    let is_padding = next - end < ALIGNMENT && next.is_multiple_of(ALIGNMENT);
    next == end || (is_padding && before == CALLED)
}

const fn word(address: u32, rule: Rule) -> u64 {
    (address as u64) << 32 | rule as u64
}

const fn split(word: u64) -> (u32, Rule) {
    ((word >> 32) as u32, word as Rule)
}
