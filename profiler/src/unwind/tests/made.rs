//! Descriptions made by hand: one of each kind, and what no compiler writes.

use std::time::{Duration, Instant};

use ctprof_ebpf::abi::unwind::{Row, bp, cfa};

use super::{check, limits, rows, table_of, table_within};
use crate::unwind::{Limits, NoTable, Table};

/// Address of the code of [`elf`], which has 1 MiB of it.
pub(super) const CODE: u64 = 0x40_1000;
const CODE_BYTES: u64 = 1 << 20;
const FRAMES: u64 = 0x80_0000;

/// `DW_CFA_def_cfa rsp, 8; DW_CFA_offset rip, 1`: how functions begin.
const BEGIN: [u8; 5] = [0x0c, 7, 8, 0x90, 1];

/// Part of a section.
pub(super) enum Entry<'a> {
    /// A common part with this augmentation and these instructions.
    Common(&'a str, &'a [u8]),
    /// A description of so many bytes of code from an address on, of the common part before.
    Function(u64, u32, &'a [u8]),
    /// These bytes.
    Raw(&'a [u8]),
}

/// A `.eh_frame`.
pub(super) fn section(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut bytes: Vec<u8> = Vec::new();
    let mut common = 0;
    for entry in entries {
        let start = bytes.len();
        let mut body = Vec::new();
        match entry {
            Entry::Raw(raw) => {
                bytes.extend(*raw);
                continue;
            }
            Entry::Common(augmentation, instructions) => {
                common = start;
                body.extend([0; 4]);
                body.push(1);
                body.extend(augmentation.bytes());
                // Alignment factors 1 and -8, the return address, one byte: pointers are relative, of four bytes.
                body.extend([0, 1, 0x78, 16, 1, 0x1b]);
                body.extend(*instructions);
            }
            Entry::Function(address, size, instructions) => {
                body.extend(((start + 4 - common) as u32).to_le_bytes());
                let place = FRAMES + start as u64 + 8;
                body.extend((address.wrapping_sub(place) as u32).to_le_bytes());
                body.extend(size.to_le_bytes());
                body.push(0);
                body.extend(*instructions);
            }
        }
        body.resize(body.len().next_multiple_of(4), 0);
        bytes.extend((body.len() as u32).to_le_bytes());
        bytes.extend(body);
    }
    bytes
}

/// A program with code, and this `.eh_frame`.
pub(super) fn elf(frames: &[u8]) -> Vec<u8> {
    let names = b"\0.eh_frame\0.shstrtab\0";
    let frames_at = 64 + 56;
    let names_at = frames_at + frames.len() as u64;
    let sections_at = (names_at + names.len() as u64).next_multiple_of(8);
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    bytes.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    // It begins nowhere.
    for word in [0, 64, sections_at] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend([0; 4]);
    for half in [64_u16, 56, 1, 64, 3, 2] {
        bytes.extend(half.to_le_bytes());
    }
    bytes.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for word in [0, CODE, CODE, CODE_BYTES, CODE_BYTES, 4096] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(frames);
    bytes.extend(names);
    bytes.resize(sections_at as usize, 0);
    let section = |name: u32, kind: u32, address: u64, offset: u64, size: u64| {
        let mut header = [name.to_le_bytes(), kind.to_le_bytes()].concat();
        for word in [0, address, offset, size, 0, 8, 0] {
            header.extend(u64::to_le_bytes(word));
        }
        header
    };
    bytes.extend(section(0, 0, 0, 0, 0));
    bytes.extend(section(1, 1, FRAMES, frames_at, frames.len() as u64));
    bytes.extend(section(11, 3, 0, names_at, names.len() as u64));
    bytes
}

fn made(entries: &[Entry<'_>]) -> Table {
    // Its code is whatever the file has there.
    let limits = Limits {
        undescribed: 0,
        ..limits()
    };
    let table = table_within(&elf(&section(entries)), &limits).unwrap();
    check(&table);
    table
}

/// What a table says of the first address of a function with these instructions.
fn said(instructions: &[u8]) -> (u8, i8, i16) {
    let all = [&BEGIN[..], instructions].concat();
    let entries = [Entry::Common("zR", &[]), Entry::Function(CODE, 64, &all)];
    plain(made(&entries).find(CODE))
}

fn plain(row: Row) -> (u8, i8, i16) {
    (row.cfa, row.bp, row.offset)
}

/// `DW_CFA_def_cfa_expression`.
fn expression(code: &[u8]) -> Vec<u8> {
    [&[0x0f, code.len() as u8][..], code].concat()
}

/// `DW_CFA_expression` of a register.
fn place(register: u8, code: &[u8]) -> Vec<u8> {
    [&[0x10, register, code.len() as u8][..], code].concat()
}

#[test]
fn each_kind_of_rule_has_its_row() {
    let unknown = (cfa::UNKNOWN, 0, 0);
    assert_eq!(said(&[]), (cfa::SP, bp::SAME, 1));
    assert_eq!(said(&[0x0e, 48, 0x86, 2]), (cfa::SP, -2, 6));
    assert_eq!(said(&[0x0c, 6, 16, 0x86, 2]), (cfa::BP, -2, 2));
    assert_eq!(said(&[0x07, 16]), (cfa::END, bp::SAME, 0));
    // Not whole words, more than 16 bits of them, below the stack pointer, another register.
    assert_eq!(said(&[0x0e, 12]), unknown);
    assert_eq!(said(&[0x0e, 0x80, 0x80, 0x80, 1]), unknown);
    assert_eq!(said(&[0x0e, 0xf8, 0xff, 0x0f]), (cfa::SP, 0, i16::MAX));
    assert_eq!(said(&[0x0e, 0]), unknown);
    assert_eq!(said(&[0x0c, 10, 8]), unknown);
    // The return address is elsewhere, or as it was.
    assert_eq!(said(&[0x90, 2]), unknown);
    assert_eq!(said(&[0x08, 16]), unknown);
    // The frame pointer is in a register, its value is calculated, it is above the CFA, or too far below.
    assert_eq!(said(&[0x09, 6, 3]), (cfa::SP, bp::LOST, 1));
    assert_eq!(said(&[0x14, 6, 2]), (cfa::SP, bp::LOST, 1));
    assert_eq!(said(&[0x11, 6, 0x7e]), (cfa::SP, bp::LOST, 1));
    assert_eq!(said(&[0x05, 6, 0x80, 1]), (cfa::SP, i8::MIN, 1));
    assert_eq!(said(&[0x05, 6, 0x81, 1]), (cfa::SP, bp::LOST, 1));
    assert_eq!(said(&[0x08, 6]), (cfa::SP, bp::SAME, 1));
}

#[test]
fn expressions_that_compilers_write_have_their_rows() {
    let unknown = (cfa::UNKNOWN, 0, 0);
    let plt = |number| {
        let code = [0x77, 8, 0x80, 0, 0x3f, 0x1a, number, 0x2a, 0x33, 0x24, 0x22];
        said(&expression(&code))
    };
    assert_eq!(plt(0x3b), (cfa::PLT, bp::SAME, 11));
    assert_eq!(plt(0x35), (cfa::PLT, bp::SAME, 5));
    assert_eq!(plt(0x50), unknown);
    let aligned = [expression(&[0x76, 0x78, 0x06]), place(6, &[0x76, 0])].concat();
    assert_eq!(said(&aligned), (cfa::AT_BP, bp::AT_BP, -1));
    assert_eq!(said(&place(6, &[0x76, 8])), (cfa::SP, bp::AT_BP + 1, 1));
    assert_eq!(said(&place(6, &[0x76, 0x78])), (cfa::SP, bp::LOST, 1));
    assert_eq!(said(&place(6, &[0x77, 8])), (cfa::SP, bp::LOST, 1));
    let assembly = expression(&[0x77, 0xf8, 0, 0x06, 0x23, 8]);
    assert_eq!(said(&assembly), (cfa::AT_SP_PLUS_8, bp::SAME, 15));
    let assembly = expression(&[0x77, 0x10, 0x06, 0x38, 0x22]);
    assert_eq!(said(&assembly), (cfa::AT_SP_PLUS_8, bp::SAME, 2));
    assert_eq!(said(&expression(&[0x77, 0x10, 0x06, 0x23, 16])), unknown);
    assert_eq!(said(&expression(&[0x77, 0x80])), unknown);
    assert_eq!(said(&expression(&[])), unknown);
    let signal = |ip: &[u8]| {
        let sp = expression(&[0x77, 0xa0, 1, 0x06]);
        said(&[sp, place(16, ip), place(6, &[0x77, 0xf8, 0])].concat())
    };
    assert_eq!(signal(&[0x77, 0xa8, 1]), (cfa::SIGNAL, bp::SAME, 0));
    assert_eq!(signal(&[0x77, 0xb0, 1]), unknown);
}

#[test]
fn code_between_functions_is_described_by_none() {
    let advance = [0x44, 0x0e, 16];
    let table = made(&[
        Entry::Common("zR", &BEGIN),
        // Padding follows, then a hole, then an end in the midst of something and padding.
        Entry::Function(CODE + 0x100, 0x1c, &[]),
        Entry::Function(CODE + 0x120, 0x10, &[]),
        Entry::Function(CODE + 0x150, 0x1c, &advance),
        Entry::Function(CODE + 0x170, 0x10, &[]),
    ]);
    let said: Vec<_> = rows(&table)
        .iter()
        .map(|(at, row)| (at - CODE, row.cfa, row.offset))
        .collect();
    let expected = [
        (0, cfa::NONE, 0),
        (0x100, cfa::SP, 1),
        (0x130, cfa::NONE, 0),
        (0x150, cfa::SP, 1),
        (0x154, cfa::SP, 2),
        (0x16c, cfa::NONE, 0),
        (0x170, cfa::SP, 1),
        (0x180, cfa::NONE, 0),
    ];
    assert_eq!(said, expected);
}

#[test]
fn of_functions_that_overlap_the_later_one_has_the_code() {
    // A row of the outer one would begin within the other.
    let deeper = [0x41, 0x0e, 16, 0x02, 0x43, 0x0e, 40];
    for order in [[0, 1, 2], [2, 1, 0]] {
        let all = [
            Entry::Function(CODE, 0x100, &deeper),
            Entry::Function(CODE + 0x40, 0x10, &[0x0e, 24]),
            // What the linker has thrown away.
            Entry::Function(0, 0x100, &[]),
        ];
        let mut entries = vec![Entry::Common("zR", &BEGIN)];
        let mut all: Vec<_> = all.into_iter().map(Some).collect();
        entries.extend(order.iter().filter_map(|at| all[*at].take()));
        entries.push(Entry::Function(CODE, 0x80, &[0x0e, 32]));
        if order[0] == 2 {
            entries.pop();
        }
        let table = made(&entries);
        assert_eq!(table.counts().functions, 2);
        let offset = |at: u64| (table.find(CODE + at).cfa, table.find(CODE + at).offset);
        assert_eq!(offset(0), (cfa::SP, 1));
        assert_eq!(offset(0x3f), (cfa::SP, 2));
        assert_eq!(offset(0x40), (cfa::SP, 3));
        assert_eq!(offset(0x4f), (cfa::SP, 3));
        assert_eq!(offset(0x50), (cfa::NONE, 0));
    }
}

#[test]
fn damage_costs_its_function_only() {
    let sound = || Entry::Function(CODE + 0x40, 0x10, &[]);
    let damaged = |entry: Entry<'_>| {
        let table = made(&[Entry::Common("zR", &BEGIN), entry, sound()]);
        assert_eq!(table.find(CODE + 0x40).cfa, cfa::SP);
        (table.counts().damaged, table.find(CODE + 8).cfa)
    };
    // No instruction has this number; the first bytes are described.
    let unknown = [0x44, 0x0e, 16, 0x44, 0x3f];
    assert_eq!(
        damaged(Entry::Function(CODE, 0x10, &unknown)),
        (1, cfa::UNKNOWN)
    );
    // It links to itself, to where nothing is, or to what is before the section; it has no room for a link.
    let link =
        |distance: u32| [&12_u32.to_le_bytes()[..], &distance.to_le_bytes(), &[0; 8]].concat();
    for raw in [link(4), link(20), link(1 << 20), vec![2, 0, 0, 0, 1, 1]] {
        assert_eq!(damaged(Entry::Raw(&raw)).0, 1);
    }
    // Empty ones are no end.
    assert_eq!(damaged(Entry::Raw(&[0; 4])).0, 0);
    // Behind a length without end nothing is found, what was before is.
    let table = made(&[
        Entry::Common("zR", &BEGIN),
        sound(),
        Entry::Raw(&[0xf0, 0xff, 0xff, 0xff, 1, 2, 3]),
    ]);
    assert_eq!(table.find(CODE + 0x40).cfa, cfa::SP);
}

#[test]
fn states_that_are_remembered_without_end_are_damage() {
    let remember = [0x0a; 100];
    let table = made(&[
        Entry::Common("zR", &BEGIN),
        Entry::Function(CODE, 0x10, &remember),
    ]);
    assert_eq!(table.counts().damaged, 1);
    assert_eq!(table.find(CODE).cfa, cfa::UNKNOWN);
}

#[test]
fn sizes_and_time_are_limited() {
    // A row per byte of the description.
    let many: Vec<u8> = (0..200_000_u32)
        .flat_map(|at| [0x41, 0x0e, if at % 2 == 0 { 8 } else { 16 }])
        .collect();
    let file = |instructions: &[u8]| {
        elf(&section(&[
            Entry::Common("zR", &BEGIN),
            Entry::Function(CODE, 1 << 19, instructions),
            Entry::Function(CODE + (1 << 19), 16, &[]),
        ]))
    };
    let table = table_of(&file(&many)).unwrap();
    check(&table);
    assert_eq!(table.counts().rows, 200_002);
    assert_eq!(table.find(CODE + 1001).offset, 1);
    assert_eq!(table.find(CODE + 1002).offset, 2);
    let small = |limits: Limits| table_within(&file(&many), &limits).unwrap_err();
    assert_eq!(
        small(Limits {
            rows: 100_000,
            ..limits()
        }),
        NoTable::TooLarge
    );
    assert_eq!(
        small(Limits {
            bytes: 100_000,
            ..limits()
        }),
        NoTable::TooLarge
    );
    assert_eq!(small(Limits::until(Instant::now())), NoTable::TooSlow);
    // Advances that lead nowhere, in an entry that is as large as one may be, and in one that is larger.
    for (bytes, damaged) in [(1_000_000, 0), (2_000_000, 1)] {
        let start = Instant::now();
        let table = table_of(&file(&vec![0x40; bytes]));
        assert!(start.elapsed() < Duration::from_secs(20));
        assert_eq!(table.unwrap().counts().damaged, damaged);
    }
}

#[test]
fn what_is_not_there_is_no_table() {
    let sound = section(&[Entry::Common("zR", &BEGIN), Entry::Function(CODE, 16, &[])]);
    assert_eq!(table_of(b"#!/bin/sh\n").unwrap_err(), NoTable::Unreadable);
    assert_eq!(table_of(&elf(&[])).unwrap_err(), NoTable::NoDescriptions);
    assert_eq!(
        table_of(&elf(&[0; 64])).unwrap_err(),
        NoTable::NoDescriptions
    );
    assert_eq!(
        table_of(&elf(&[0xee; 64])).unwrap_err(),
        NoTable::NoDescriptions
    );
    let mut other = elf(&sound);
    other[18] = 183;
    assert_eq!(table_of(&other).unwrap_err(), NoTable::Machine(183));
    // The section says that it has 2 GiB.
    let mut lying = elf(&sound);
    let size = lying.len() - 2 * 64 + 32;
    lying[size..size + 8].copy_from_slice(&(2_u64 << 30).to_le_bytes());
    assert_eq!(table_of(&lying).unwrap_err(), NoTable::Unreadable);
}
