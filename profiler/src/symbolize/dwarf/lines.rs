//! The line table of a unit: source file and line of an address.

use foldhash::{HashMap, HashMapExt as _};
use std::sync::Arc;

use gimli::{Dwarf, Unit};

use super::sections::Bytes;
use crate::symbolize::budget::{Budget, Exhausted};
use crate::symbolize::names;

/// More than any real unit has.
const MAX_ROWS: usize = 8 << 20;

/// Marks the end of a piece of code.
const END: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Row {
    address: u64,
    file: u32,
    line: u32,
}

/// The rows, by address, and the names of the files so far asked for.
#[derive(Debug, Default)]
pub(super) struct Lines {
    rows: Vec<Row>,
    files: HashMap<u64, Option<Arc<str>>>,
}

impl Lines {
    pub(super) fn read(unit: &Unit<Bytes<'_>>, budget: &mut Budget) -> Result<Self, Exhausted> {
        let mut all: Vec<Row> = Vec::new();
        let Some(program) = unit.line_program.clone() else {
            return Ok(Self::default());
        };
        // Many instructions in a row may make no row.
        budget.bytes(program.header().raw_program_buf().len())?;
        let mut rows = program.rows();
        let mut start = 0;
        // An error ends the table; what was read so far is still right.
        while let Ok(Some((_, row))) = rows.next_row() {
            budget.step()?;
            if all.len() >= MAX_ROWS {
                break;
            }
            let end = row.end_sequence();
            all.push(Row {
                address: row.address(),
                file: if end {
                    END
                } else {
                    u32::try_from(row.file_index()).unwrap_or(END)
                },
                line: row
                    .line()
                    .map_or(0, |line| u32::try_from(line.get()).unwrap_or(0)),
            });
            if end {
                // Code that the linker removed is left at address 0.
                if all[start].address == 0 {
                    all.truncate(start);
                }
                start = all.len();
            }
        }
        all.truncate(start);
        // Where one piece ends another may begin: the end comes first.
        all.sort_by_key(|row| (row.address, row.file != END));
        all.shrink_to_fit();
        Ok(Self {
            rows: all,
            files: HashMap::new(),
        })
    }

    /// Number of the file, and the line, at `address`.
    pub(super) fn find(&self, address: u64) -> Option<(u64, u32)> {
        let after = self.rows.partition_point(|row| row.address <= address);
        let row = self.rows.get(after.checked_sub(1)?)?;
        (row.file != END).then_some((row.file.into(), row.line))
    }

    /// Path of a file, made absolute with the folder that was compiled in.
    pub(super) fn file(
        &mut self,
        number: u64,
        dwarf: &Dwarf<Bytes<'_>>,
        unit: &Unit<Bytes<'_>>,
        budget: &mut Budget,
    ) -> Result<Option<Arc<str>>, Exhausted> {
        if let Some(known) = self.files.get(&number) {
            return Ok(known.clone());
        }
        let mut looked_through = 0;
        let path = path(number, dwarf, unit, &mut looked_through);
        budget.bytes(looked_through)?;
        let path = path.map(|path| names::clean(&path));
        self.files.insert(number, path.clone());
        Ok(path)
    }

    pub(super) fn bytes(&self) -> usize {
        self.rows.len() * size_of::<Row>()
    }
}

fn path(
    number: u64,
    dwarf: &Dwarf<Bytes<'_>>,
    unit: &Unit<Bytes<'_>>,
    looked_through: &mut usize,
) -> Option<String> {
    let header = unit.line_program.as_ref()?.header();
    let file = header.file(number)?;
    let mut text = |value| {
        let bytes: Bytes<'_> = dwarf.attr_string(unit, value).ok()?;
        *looked_through += bytes.len();
        let bytes = &bytes.slice()[..bytes.len().min(4096)];
        Some(String::from_utf8_lossy(bytes).into_owned())
    };
    let mut path = text(file.path_name())?;
    for folder in [
        file.directory(header).and_then(&mut text),
        unit.comp_dir.map(|folder| {
            String::from_utf8_lossy(&folder.slice()[..folder.len().min(4096)]).into_owned()
        }),
    ] {
        if path.starts_with('/') {
            break;
        }
        if let Some(folder) = folder.filter(|folder| !folder.is_empty()) {
            path = format!("{}/{path}", folder.trim_end_matches('/'));
        }
    }
    Some(path)
}
