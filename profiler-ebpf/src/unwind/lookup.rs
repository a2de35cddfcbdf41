//! The row that describes an address.

use crate::abi::unwind::{Block, INDEX_PER_BLOCK, PAGE_SHIFT, ROWS_PER_BLOCK, Row};
use crate::opaque::opaque;

/// Steps of the binary search for the block that has the row: a page has at most 4,096 rows, in at most 130 blocks.
const STEPS_TO_BLOCK: u32 = 8;

/// The blocks of one table.
pub trait Blocks {
    /// The block with this number; `None` where there is none.
    fn block(&mut self, number: u32) -> Option<&Block>;
}

/// Blocks that the index of so many pages takes: the rows begin in the block behind them. The index has a number for
/// each page and one more, for the end of the last.
#[inline(always)]
#[must_use]
pub const fn blocks_of_index(pages: u32) -> u32 {
    pages / INDEX_PER_BLOCK + 1
}

/// The row that covers `address`, counted from the table's origin, in a table of `pages` pages; `None` behind the last
/// page, or if a block is missing.
///
/// The first row of a table has address 0, so every address in its pages has a row.
#[inline(always)]
pub fn find<B: Blocks>(blocks: &mut B, pages: u32, address: u64) -> Option<Row> {
    let page = address >> PAGE_SHIFT;
    if page >= pages as u64 {
        return None;
    }
    let page = page as u32;
    let address = address as u32;
    let rows = blocks_of_index(pages);
    let first = blocks.block(page / INDEX_PER_BLOCK)?;
    let from = number(first, page);
    let to = if page % INDEX_PER_BLOCK == INDEX_PER_BLOCK - 1 {
        let next = blocks.block(page / INDEX_PER_BLOCK + 1)?;
        number(next, 0)
    } else {
        number(first, page + 1)
    };
    let mut low = rows.wrapping_add(from / ROWS_PER_BLOCK);
    let mut high = rows.wrapping_add(to / ROWS_PER_BLOCK);
    // Mostly they are the same block already.
    for _ in 0..STEPS_TO_BLOCK {
        if low >= high {
            break;
        }
        let middle = high - (high - low) / 2;
        if blocks.block(middle)?.words[0] as u32 <= address {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Some(in_block(blocks.block(low)?, address))
}

/// A number of the index from the block that has it.
#[inline(always)]
const fn number(block: &Block, page: u32) -> u32 {
    let at = page % INDEX_PER_BLOCK;
    let pair = block.words[(at / 2) as usize];
    (pair >> (at % 2 * 32)) as u32
}

/// The last row of a block that does not begin behind `address`; the block's first row must not. Behind the last row of a
/// table, its last block is filled up with rows at `u32::MAX`.
#[inline(always)]
fn in_block(block: &Block, address: u32) -> Row {
    const LAST: u64 = ROWS_PER_BLOCK as u64 - 1;
    let mut at = 0;
    let mut half = ROWS_PER_BLOCK as u64 / 2;
    while half > 0 {
        let row = block.words[(opaque(at + half) & LAST) as usize] as u32;
        // 1 unless the subtraction borrows. A comparison would be a branch, whose both ways the verifier follows.
        let is_before = ((1 << 32 | address as u64) - row as u64) >> 32;
        at += half * is_before;
        half /= 2;
    }
    Row::from_word(block.words[(opaque(at) & LAST) as usize])
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use proptest::prelude::*;

    use super::{Blocks, blocks_of_index, find};
    use crate::abi::unwind::{Block, INDEX_PER_BLOCK, ROWS_PER_BLOCK, Row};

    struct Plain(Vec<Block>);

    impl Blocks for Plain {
        fn block(&mut self, number: u32) -> Option<&Block> {
            self.0.get(number as usize)
        }
    }

    fn row(address: u32) -> Row {
        Row {
            address,
            cfa: 1,
            bp: 0,
            offset: 0,
        }
    }

    /// A table of rows at these addresses, the first of which is 0.
    fn table(addresses: &[u32], pages: u32) -> Plain {
        let last_until = |end: u32| addresses.partition_point(|it| *it <= end) as u64 - 1;
        let index: Vec<u64> = (0..=pages).map(|page| last_until(page << 12)).collect();
        let mut words: Vec<u64> = index
            .chunks(2)
            .map(|pair| pair[0] | pair.get(1).copied().unwrap_or_default() << 32)
            .collect();
        words.resize((blocks_of_index(pages) * ROWS_PER_BLOCK) as usize, 0);
        words.extend(addresses.iter().map(|address| row(*address).to_word()));
        let blocks = words.chunks(ROWS_PER_BLOCK as usize).map(|chunk| {
            let mut block = Block {
                words: [u32::MAX.into(); ROWS_PER_BLOCK as usize],
            };
            block.words[..chunk.len()].copy_from_slice(chunk);
            block
        });
        Plain(blocks.collect())
    }

    #[test]
    fn the_index_has_a_number_for_the_end_of_the_last_page() {
        assert_eq!(blocks_of_index(INDEX_PER_BLOCK - 1), 1);
        assert_eq!(blocks_of_index(INDEX_PER_BLOCK), 2);
    }

    #[test]
    fn a_page_of_one_row_per_byte_is_searched_to_the_end() {
        let addresses: Vec<u32> = (0..3 << 12).collect();
        let mut table = table(&addresses, 3);
        for address in addresses {
            assert_eq!(find(&mut table, 3, address.into()), Some(row(address)));
        }
        assert_eq!(find(&mut table, 3, 3 << 12), None);
    }

    #[test]
    fn the_highest_addresses_are_found() {
        let pages = 1 << 20;
        let mut table = table(&[0, u32::MAX - 1], pages);
        let mut at = |address: u32| find(&mut table, pages, address.into()).unwrap().address;
        assert_eq!(at(u32::MAX - 2), 0);
        assert_eq!(at(u32::MAX - 1), u32::MAX - 1);
    }

    #[test]
    fn a_block_that_is_missing_is_no_row() {
        let mut table = table(&[0, 100], 2);
        table.0.truncate(1);
        assert_eq!(find(&mut table, 2, 50), None);
        assert_eq!(find(&mut Plain(Vec::new()), 2, 50), None);
    }

    proptest! {
        #[test]
        fn the_last_row_before_an_address_is_found(
            dense in 1_u32..200,
            steps in prop::collection::vec((1_u32..5_000, 1_u32..4), 0..600),
            wanted in prop::collection::vec(any::<u32>(), 1..50),
        ) {
            let mut addresses = std::vec![0];
            for (step, shift) in steps {
                let last = addresses[addresses.len() - 1];
                addresses.push(last + 1 + (step >> (shift * 4)) * dense);
            }
            let end = addresses[addresses.len() - 1] + 1;
            let pages = end.div_ceil(1 << 12);
            let mut table = table(&addresses, pages);
            for address in wanted {
                let address = address % end;
                let expected = addresses[addresses.partition_point(|it| *it <= address) - 1];
                let found = find(&mut table, pages, address.into()).map(|it| it.address);
                prop_assert_eq!(found, Some(expected));
            }
        }
    }
}
