//! What the code itself says of the stack is what its compiler says: files with descriptions, as if they had none.

use ctprof_ebpf::abi::unwind::{bp, cfa};

use super::{check, limits, rows};
use crate::symbolize::elf::{Header, Source};
use crate::unwind::{Limits, Table};

/// In one piece, and in so small ones that much of the code has parts in others.
const PIECES: [u64; 2] = [u64::MAX, 1 << 17];

/// Both tables of a file: by descriptions, and by analysis alone.
fn both(bytes: &[u8], undescribed_piece: u64) -> (Table, Table) {
    let source = Source::Bytes(bytes.to_vec());
    let mut header = Header::read(&source).unwrap();
    let described = Table::read(&source, &header, &limits()).unwrap();
    // As it would be stripped.
    header
        .sections
        .retain(|section| !section.name.contains("_frame") && section.name != ".symtab");
    header
        .segments
        .retain(|segment| segment.kind != 0x6474_e550);
    let limits = Limits {
        undescribed_piece,
        ..limits()
    };
    let analysed = Table::read(&source, &header, &limits).unwrap();
    assert_eq!(analysed.counts().functions, 0);
    check(&analysed);
    (described, analysed)
}

/// Addresses at which a description says that the CFA is so far above the stack pointer, or above the frame pointer.
#[derive(Debug, Default)]
struct Tally {
    same: usize,
    /// One goes by the frame pointer, the other by the stack pointer: both may be right.
    other: usize,
    /// The analysis does not say.
    silent: usize,
    wrong: usize,
}

fn compare(described: &Table, analysed: &Table) -> Tally {
    let mut tally = Tally::default();
    for (address, row) in rows(described) {
        if !matches!(row.cfa, cfa::SP | cfa::BP) {
            continue;
        }
        let found = analysed.find(address);
        let count = match found.cfa {
            cfa::NONE | cfa::UNKNOWN => &mut tally.silent,
            // Nobody has called that: the compiler does not say so of all.
            cfa::END => &mut tally.other,
            it if it != row.cfa => &mut tally.other,
            _ if found.offset != row.offset => {
                println!("{address:#x}: {found:?}, described as {row:?}");
                &mut tally.wrong
            }
            _ => {
                let is_same = found.bp == row.bp || found.bp == bp::LOST || row.bp == bp::LOST;
                // Compilers stop saying where it was saved one instruction later than it is restored.
                if is_same || found.bp == bp::SAME || row.bp == bp::SAME {
                    &mut tally.same
                } else {
                    &mut tally.wrong
                }
            }
        };
        *count += 1;
    }
    tally
}

/// Of the addresses of this file that are described, at most so many in ten thousand are wrong, and so many in a hundred silent.
fn agrees(path: &str, (wrong, silent): (usize, usize)) {
    let Ok(bytes) = std::fs::read(path) else {
        println!("skipped: no {path}");
        return;
    };
    for piece in PIECES {
        let (described, analysed) = both(&bytes, piece);
        let tally = compare(&described, &analysed);
        println!("{path}: {tally:?}, {:?}", analysed.counts());
        let all = tally.same + tally.wrong;
        assert!(all > 1_000, "{tally:?}");
        assert!(tally.wrong * 10_000 <= all * wrong, "{tally:?}");
        assert!(tally.silent * 100 <= all * silent, "{tally:?}");
    }
}

/// Any file: a musl with `--enable-debug`, for instance, whose assembly is described as well.
#[test]
fn a_file_of_choice_is_as_its_compiler_says() {
    match std::env::var("CTPROF_DESCRIBED_FILE") {
        Ok(path) => agrees(&path, (50, 5)),
        Err(_) => println!("skipped: CTPROF_DESCRIBED_FILE names none"),
    }
}

#[test]
fn bash_is_as_its_compiler_says() {
    agrees("/bin/bash", (10, 2));
}

#[test]
fn the_c_library_is_as_its_compiler_says() {
    agrees("/usr/lib/x86_64-linux-gnu/libc.so.6", (40, 2));
}

#[test]
fn the_cpp_library_is_as_its_compiler_says() {
    agrees("/usr/lib/x86_64-linux-gnu/libstdc++.so.6", (60, 5));
}
