//! For every function of real files, what the table says of its addresses is what gimli says of them.

use std::path::Path;

use ctprof_ebpf::abi::unwind::{Row, bp, cfa};
use gimli::{
    BaseAddresses, CfaRule, CieOrFde, EhFrame, EndianSlice, LittleEndian, RegisterRule,
    UnwindContext, UnwindSection as _, UnwindTableRow, X86_64,
};

use super::{check, rows, table_of};
use crate::symbolize::elf::{Header, Source};
use crate::symbolize::vdso;
use crate::unwind::Table;

/// Addresses asked for within each function, beside its first and last.
const WITHIN: u64 = 3;

/// How many answers there were, and those of them that say something.
#[derive(Debug, Default)]
struct Tally {
    asked: usize,
    known: usize,
}

fn compare(bytes: &[u8], table: &Table, at_most: usize) -> Tally {
    check(table);
    let source = Source::Bytes(bytes.to_vec());
    let header = Header::read(&source).unwrap();
    let section = header.section(".eh_frame").unwrap();
    let raw = &bytes[section.file_range().unwrap()];
    let frames = EhFrame::new(raw, LittleEndian);
    let bases = BaseAddresses::default().set_eh_frame(section.address);
    let mut described = Vec::new();
    let mut entries = frames.entries(&bases);
    while let Some(entry) = entries.next().unwrap() {
        if let CieOrFde::Fde(partial) = entry {
            described.push(partial.parse(EhFrame::cie_from_offset).unwrap());
        }
    }
    let mut context = UnwindContext::new();
    let mut tally = Tally::default();
    let mut random = 1_u64;
    for fde in described.iter().step_by(described.len() / at_most + 1) {
        let (begin, end) = (fde.initial_address(), fde.end_address());
        if begin == end {
            continue;
        }
        let within = (0..WITHIN).map(|_| {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            begin + (random >> 33) % (end - begin)
        });
        for address in [begin, end - 1].into_iter().chain(within) {
            let truth = fde
                .unwind_info_for_address(&frames, &bases, &mut context, address)
                .unwrap();
            let row = table.find(address);
            assert!(
                agree(row, truth, &frames),
                "{address:#x}: {row:?}, but {truth:?}"
            );
            tally.asked += 1;
            tally.known += usize::from(row.cfa != cfa::UNKNOWN);
        }
    }
    tally
}

/// A row says what gimli's does. Where it says that it cannot, nothing simple is there.
fn agree(
    row: Row,
    truth: &UnwindTableRow<usize>,
    section: &EhFrame<EndianSlice<'_, LittleEndian>>,
) -> bool {
    let offset = i64::from(row.offset) * 8;
    let code = |expression: gimli::UnwindExpression<usize>| {
        expression.get(section).unwrap().0.slice().to_vec()
    };
    let ip = truth.register(X86_64::RA);
    if row.cfa == cfa::UNKNOWN && ip != Some(RegisterRule::Offset(-8)) {
        return true;
    }
    let cfa_agrees = match (row.cfa, truth.cfa()) {
        (cfa::END, _) => return ip == Some(RegisterRule::Undefined),
        (cfa::SIGNAL, CfaRule::Expression(it)) => return code(*it) == [0x77, 0xa0, 0x01, 0x06],
        (
            cfa::SP,
            CfaRule::RegisterAndOffset {
                register,
                offset: at,
            },
        ) => *register == X86_64::RSP && *at == offset,
        (
            cfa::BP,
            CfaRule::RegisterAndOffset {
                register,
                offset: at,
            },
        ) => *register == X86_64::RBP && *at == offset,
        (cfa::PLT, CfaRule::Expression(it)) => {
            let number = 0x30 + u8::try_from(row.offset).unwrap();
            code(*it) == [0x77, 8, 0x80, 0, 0x3f, 0x1a, number, 0x2a, 0x33, 0x24, 0x22]
        }
        (cfa::AT_BP, CfaRule::Expression(it)) => {
            let byte = (offset as i8).cast_unsigned() & 0x7f;
            code(*it) == [0x76, byte, 0x06]
        }
        (cfa::AT_SP_PLUS_8, CfaRule::Expression(it)) => {
            let code = code(*it);
            code.first() == Some(&0x77) && code.ends_with(&[0x06, 0x23, 8])
        }
        (
            cfa::UNKNOWN,
            CfaRule::RegisterAndOffset {
                register,
                offset: at,
            },
        ) => {
            let is_far = !(-262_144..262_144).contains(at);
            return is_far || (*register != X86_64::RSP && *register != X86_64::RBP);
        }
        (cfa::UNKNOWN, CfaRule::Expression(_)) => return true,
        _ => false,
    };
    let bp_agrees = match truth.register(X86_64::RBP) {
        None | Some(RegisterRule::Undefined | RegisterRule::SameValue) => row.bp == bp::SAME,
        Some(RegisterRule::Offset(at)) => i64::from(row.bp) * 8 == at,
        Some(RegisterRule::Expression(it)) => match code(it).as_slice() {
            [0x76, at] if at & 0xc7 == 0 => row.bp == bp::AT_BP + (at / 8).cast_signed(),
            _ => row.bp == bp::LOST,
        },
        _ => row.bp == bp::LOST,
    };
    cfa_agrees && bp_agrees && ip == Some(RegisterRule::Offset(-8))
}

/// The file of this name that this process has mapped.
fn mapped(name: &str) -> Option<Vec<u8>> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let paths = maps
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5));
    let file_name = |path: &str| Some(Path::new(path).file_name()?.to_str()?.to_owned());
    let mut paths = paths.filter(|path| file_name(path).is_some_and(|it| it.starts_with(name)));
    std::fs::read(paths.next()?).ok()
}

/// Of the addresses in this file that are asked for, so many in a thousand have a row that says something.
fn agrees(bytes: &[u8], at_most: usize, known: usize) {
    let table = table_of(bytes).unwrap();
    let tally = compare(bytes, &table, at_most);
    assert_eq!(table.counts().damaged, 0);
    assert!(tally.asked > 1_000, "{tally:?}");
    assert!(tally.known * 1_000 >= tally.asked * known, "{tally:?}");
}

#[test]
fn the_c_library_is_described_as_gimli_says() {
    let Some(bytes) = mapped("libc.so.6") else {
        eprintln!("skipped: linked with another C library");
        return;
    };
    agrees(&bytes, usize::MAX - 1, 995);
}

#[test]
fn the_dynamic_linker_is_described_as_gimli_says() {
    let Some(bytes) = mapped("ld-linux-x86-64.so.2") else {
        eprintln!("skipped: another dynamic linker");
        return;
    };
    // It is small, and has the assembly that resolves symbols, whose CFA is in other registers.
    agrees(&bytes, usize::MAX - 1, 980);
}

#[test]
fn the_cpp_library_is_described_as_gimli_says() {
    let Ok(bytes) = std::fs::read("/usr/lib/x86_64-linux-gnu/libstdc++.so.6") else {
        eprintln!("skipped: no libstdc++");
        return;
    };
    agrees(&bytes, usize::MAX - 1, 995);
    let table = table_of(&bytes).unwrap();
    assert!(rows(&table).iter().any(|(_, row)| row.cfa == cfa::PLT));
}

#[test]
fn this_program_is_described_as_gimli_says() {
    let bytes = std::fs::read("/proc/self/exe").unwrap();
    agrees(&bytes, 2_000, 995);
    let header = Header::read(&Source::Bytes(bytes.clone())).unwrap();
    let table = table_of(&bytes).unwrap();
    assert_eq!(table.find(header.entry).cfa, cfa::END);
    assert_eq!(table.find(table.origin - 1).cfa, cfa::NONE);
    let behind = table.origin + (u64::from(table.pages) << 12);
    assert_eq!(table.find(behind).cfa, cfa::NONE);
}

#[test]
fn a_file_without_section_headers_has_the_same_table() {
    let Some(mut bytes) = mapped("libc.so.6") else {
        eprintln!("skipped: linked with another C library");
        return;
    };
    let whole = table_of(&bytes).unwrap();
    bytes[40..48].fill(0);
    bytes[60..64].fill(0);
    let stripped = table_of(&bytes).unwrap();
    for (address, row) in rows(&whole) {
        let found = stripped.find(address);
        let is_same = (found.cfa, found.bp, found.offset) == (row.cfa, row.bp, row.offset);
        assert!(is_same || row.cfa == cfa::NONE, "{address:#x}: {found:?}");
    }
    let described = |table: &Table| (table.counts().functions, table.counts().damaged);
    assert_eq!(described(&stripped), described(&whole));
}

#[test]
fn the_return_of_signal_handlers_is_known() {
    /// `mov $15, %rax; syscall`.
    const RESTORE: [u8; 9] = [0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05];
    let Some(bytes) = mapped("libc.so.6") else {
        eprintln!("skipped: linked with another C library");
        return;
    };
    let offset = bytes.windows(9).position(|it| it == RESTORE).unwrap();
    let header = Header::read(&Source::Bytes(bytes.clone())).unwrap();
    let address = header.address_of(offset as u64).unwrap();
    let table = table_of(&bytes).unwrap();
    for address in [address - 1, address, address + 7] {
        assert_eq!(table.find(address).cfa, cfa::SIGNAL);
    }
    // Threads start in `clone3`, the program in `_start` of another file.
    assert!(rows(&table).iter().any(|(_, row)| row.cfa == cfa::END));
}

#[test]
fn the_vdso_has_a_table() {
    let Some((Source::Bytes(bytes), _)) = vdso::read() else {
        eprintln!("skipped: no vDSO");
        return;
    };
    let table = table_of(&bytes).unwrap();
    compare(&bytes, &table, usize::MAX - 1);
}
