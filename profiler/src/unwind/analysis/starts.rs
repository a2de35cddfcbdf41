//! Where functions begin in code that nothing describes, and which of them never return.

use std::collections::{BTreeSet, HashSet};

use iced_x86::{Decoder, DecoderOptions, Mnemonic, OpKind, Register};

use super::paths::Gap;
use crate::symbolize::elf::{Header, Numbers as _, Source, section_bytes};
use crate::unwind::NoTable;
use crate::unwind::look::Look;

/// Bytes of symbols, relocations and data that are looked at, each.
const MAX_BYTES: u64 = 16 << 20;

const SYMBOL: usize = 24;
const STT_FUNC: u8 = 2;
const STT_GNU_IFUNC: u8 = 10;

const RELOCATION: usize = 24;
const R_X86_64_RELATIVE: u64 = 8;

/// Sections with pointers to functions. Those in `.rodata` mostly are of tables that functions jump by.
const POINTERS: [&str; 4] = [".data.rel.ro", ".data", ".init_array", ".fini_array"];

/// What is known of a file before its functions are followed.
pub(super) struct Starts {
    /// Where functions begin.
    pub(super) begins: BTreeSet<u64>,
    /// Functions that never return: somewhere, the call of one is the last that a function has.
    pub(super) never_return: HashSet<u64>,
    /// Where the program begins: nobody has called that.
    pub(super) entry: u64,
}

/// By the program's entry, by calls and addresses taken in the gaps, and, with a file to read, by symbols and by pointers in
/// data.
pub(super) fn all(
    (source, header): (Option<&Source>, &Header),
    gaps: &[Gap],
    look: &mut Look,
) -> Result<Starts, NoTable> {
    let mut found = BTreeSet::new();
    let mut calls = Vec::new();
    let mut add = |address: u64| {
        let before = gaps.partition_point(|gap| gap.end() <= address);
        if gaps.get(before).is_some_and(|gap| gap.has(address)) {
            found.insert(address);
        }
    };
    add(header.entry);
    let bytes = |name: &str| {
        let section = header.section(name)?;
        section_bytes(source?, header, section, MAX_BYTES).ok()
    };
    for table in [".symtab", ".dynsym"] {
        for symbol in bytes(table).unwrap_or_default().chunks_exact(SYMBOL) {
            look.one()?;
            if matches!(symbol[4] & 0xf, STT_FUNC | STT_GNU_IFUNC)
                && let Some(address) = symbol.u64_at(8)
            {
                add(address);
            }
        }
    }
    for table in [".rela.dyn", ".rela.plt"] {
        for relocation in bytes(table).unwrap_or_default().chunks_exact(RELOCATION) {
            look.one()?;
            if relocation.u64_at(8) == Some(R_X86_64_RELATIVE)
                && let Some(address) = relocation.u64_at(16)
            {
                add(address);
            }
        }
    }
    for name in POINTERS {
        for word in bytes(name).unwrap_or_default().chunks_exact(8) {
            look.one()?;
            if let Some(address) = word.u64_at(0) {
                add(address);
            }
        }
    }
    for gap in gaps {
        let mut decoder = Decoder::with_ip(64, &gap.bytes, gap.begin, DecoderOptions::NONE);
        while decoder.can_decode() {
            look.one()?;
            let instruction = decoder.decode();
            match instruction.mnemonic() {
                Mnemonic::Call if instruction.op0_kind() == OpKind::NearBranch64 => {
                    let target = instruction.near_branch_target();
                    // Some only ask where they are.
                    if target != instruction.next_ip() {
                        add(target);
                        calls.push((instruction.next_ip(), target));
                    }
                }
                Mnemonic::Lea if instruction.memory_base() == Register::RIP => {
                    add(instruction.memory_displacement64());
                }
                _ => {}
            }
        }
    }
    let ends = |(next, _): &(u64, u64)| {
        let gap = gaps.partition_point(|gap| gap.end() <= *next);
        let Some(gap) = gaps.get(gap) else {
            return false;
        };
        let behind = gap.behind_padding(*next);
        found.contains(&behind)
    };
    let never_return = calls.iter().filter(|call| ends(call));
    Ok(Starts {
        never_return: never_return.map(|(_, target)| *target).collect(),
        begins: found,
        entry: header.entry,
    })
}
