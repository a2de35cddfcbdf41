//! Tables against what gimli says of real files, against descriptions made by hand, and of files that are damaged.

mod analysis;
mod damaged;
mod go;
mod made;
mod programs;
mod truth;

use std::time::{Duration, Instant};

use ctprof_ebpf::abi::unwind::{INDEX_PER_BLOCK, ROWS_PER_BLOCK, Row};
use ctprof_ebpf::unwind::blocks_of_index;

use super::{Limits, NoTable, Table};
use crate::symbolize::elf::{Header, Source};

fn limits() -> Limits {
    Limits::until(Instant::now() + Duration::from_secs(60))
}

fn table_of(bytes: &[u8]) -> Result<Table, NoTable> {
    table_within(bytes, &limits())
}

fn table_within(bytes: &[u8], limits: &Limits) -> Result<Table, NoTable> {
    let source = Source::Bytes(bytes.to_vec());
    let header = Header::read(&source)?;
    Table::read(&source, &header, limits)
}

/// The rows of a table, its address as the linker gave it before each.
fn rows(table: &Table) -> Vec<(u64, Row)> {
    let index = (blocks_of_index(table.pages) * ROWS_PER_BLOCK) as usize;
    let words = table.words[index..].iter().take(table.counts.rows);
    let rows = words.map(|word| Row::from_word(*word));
    rows.map(|row| (table.origin + u64::from(row.address), row))
        .collect()
}

/// What holds for every table, whatever it was made from.
fn check(table: &Table) {
    assert!(table.pages < 1 << 20, "{}", table.pages);
    assert_eq!(table.origin % 4096, 0);
    let rows: Vec<u32> = rows(table).iter().map(|(_, row)| row.address).collect();
    assert_eq!(rows.len(), table.counts.rows);
    assert_eq!(rows.first(), Some(&0));
    assert!(rows.is_sorted_by(|one, next| one < next));
    assert!(rows[rows.len() - 1] <= table.pages << 12);
    let filled = table.words.len() - (blocks_of_index(table.pages) * ROWS_PER_BLOCK) as usize;
    assert_eq!(filled, rows.len().next_multiple_of(ROWS_PER_BLOCK as usize));
    assert_eq!(
        table.blocks().len() * ROWS_PER_BLOCK as usize,
        table.words.len()
    );
    for page in 0..=table.pages {
        let mut block = table.words[(page / INDEX_PER_BLOCK * ROWS_PER_BLOCK) as usize..].iter();
        let pair = block.nth((page % INDEX_PER_BLOCK / 2) as usize).unwrap();
        let number = (pair >> (page % 2 * 32)) as u32 as usize;
        assert!(rows[number] <= page << 12);
        assert!(rows.get(number + 1).is_none_or(|next| *next > page << 12));
    }
}
