//! `runtime.firstmoduledata`: where a Go program's text and its inlining data start.
//!
//! It has no symbol in a stripped binary, but its first word points to `.gopclntab` and its second to the
//! function names in there. In position-independent executables both are relocations.

use crate::symbolize::elf::{Header, Numbers as _, Source, section_bytes};

/// Word offsets in `moduledata`, the same from Go 1.18 to 1.26 but for `gofunc`, which moved by two words
/// when Go 1.20 added `covctrs` and `ecovctrs`.
const TEXT: usize = 22 * 8;
const GOFUNC_118: usize = 38 * 8;
const GOFUNC_120: usize = 40 * 8;
const SIZE: usize = GOFUNC_120 + 8;

/// Largest data section that is searched.
const MAX_DATA: u64 = 64 << 20;

const R_X86_64_RELATIVE: u64 = 8;
const R_AARCH64_RELATIVE: u64 = 1027;

/// What `moduledata` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ModuleData {
    /// Address that function offsets count from (`runtime.text`).
    pub(super) text: u64,
    /// Address that inlining trees count from (`go:func.*`).
    pub(super) gofunc: u64,
}

/// Finds the `moduledata` whose first words are `table` and `names`, both addresses.
pub(super) fn find(
    source: &Source,
    header: &Header,
    (table, names): (u64, u64),
    since_120: bool,
) -> Option<ModuleData> {
    let gofunc = if since_120 { GOFUNC_120 } else { GOFUNC_118 };
    in_sections(source, header, (table, names), gofunc)
        .or_else(|| in_relocations(source, header, (table, names), gofunc))
}

fn in_sections(
    source: &Source,
    header: &Header,
    (table, names): (u64, u64),
    gofunc: usize,
) -> Option<ModuleData> {
    // `.go.module` since Go 1.26, `.noptrdata` before, `.data` where the system's linker was used.
    let wanted = [".go.module", ".noptrdata", ".data", ".data.rel.ro"];
    wanted.iter().find_map(|name| {
        let section = header.section(name)?;
        let bytes = section_bytes(source, header, section, MAX_DATA).ok()?;
        bytes
            .windows(SIZE)
            .step_by(8)
            .find(|words| words.u64_at(0) == Some(table) && words.u64_at(8) == Some(names))
            .and_then(|words| {
                Some(ModuleData {
                    text: words.u64_at(TEXT)?,
                    gofunc: words.u64_at(gofunc)?,
                })
            })
    })
}

/// The words of a position-independent executable are zeros in the file; the loader is told to write them.
fn in_relocations(
    source: &Source,
    header: &Header,
    (table, names): (u64, u64),
    gofunc: usize,
) -> Option<ModuleData> {
    let section = header
        .section(".rela.dyn")
        .or_else(|| header.section(".rela"))?;
    let bytes = section_bytes(source, header, section, MAX_DATA).ok()?;
    let relative = || {
        bytes.chunks_exact(24).filter_map(|entry| {
            let kind = entry.u64_at(8)?;
            let is_relative = kind == R_X86_64_RELATIVE || kind == R_AARCH64_RELATIVE;
            is_relative.then_some((entry.u64_at(0)?, entry.u64_at(16)?))
        })
    };
    // Few words point to the table: each is a candidate.
    let candidates = relative().filter(|(_, value)| *value == table).take(16);
    candidates.map(|(place, _)| place).find_map(|start| {
        let mut found = [None; 3];
        for (place, value) in relative() {
            for (slot, offset) in found.iter_mut().zip([8, TEXT, gofunc]) {
                if place == start.wrapping_add(offset as u64) {
                    *slot = Some(value);
                }
            }
        }
        let [told_names, text, gofunc] = found;
        (told_names == Some(names)).then_some(ModuleData {
            text: text?,
            gofunc: gofunc?,
        })
    })
}
