//! What the table says of Go's functions is what Go's linker says of them to debuggers, who get the same in another form.

use std::process::Command;
use std::time::{Duration, Instant};

use ctprof_ebpf::abi::unwind::{Row, bp, cfa};
use gimli::{
    BaseAddresses, CfaRule, CieOrFde, DebugFrame, LittleEndian, UnwindContext, UnwindSection as _,
    X86_64,
};

use super::{check, table_of, table_within};
use crate::fuzz::fuzz;
use crate::symbolize::elf::{Header, Source};
use crate::unwind::{Limits, Table};

const PROGRAM: &str = "package main\n\
    import (\"fmt\"; \"time\")\n\
    func main() { fmt.Println(time.Now().String()) }\n";

/// A program of Go, as it is linked by default or not at all for debuggers; `None` without a compiler.
fn program(linker: &str) -> Option<Vec<u8>> {
    let dir = tempfile::tempdir().ok()?;
    std::fs::write(dir.path().join("go.mod"), "module frames\n\ngo 1.18\n").ok()?;
    std::fs::write(dir.path().join("main.go"), PROGRAM).ok()?;
    let output = Command::new("go")
        .current_dir(dir.path())
        .env("CGO_ENABLED", "0")
        .args(["build", linker, "-o", "program"])
        .output()
        .ok()?;
    assert!(output.status.success(), "{output:?}");
    std::fs::read(dir.path().join("program")).ok()
}

#[test]
fn go_is_described_as_its_linker_says() {
    let Some(bytes) = program("-ldflags=-compressdwarf=false") else {
        println!("skipped: no Go compiler");
        return;
    };
    let table = table_of(&bytes).unwrap();
    check(&table);
    let header = Header::read(&Source::Bytes(bytes.clone())).unwrap();
    let section = header.section(".debug_frame").unwrap();
    let frames = DebugFrame::new(&bytes[section.file_range().unwrap()], LittleEndian);
    let bases = BaseAddresses::default();
    let mut context = UnwindContext::new();
    let mut entries = frames.entries(&bases);
    let (mut asked, mut ends, mut switches) = (0, 0, 0);
    while let Some(entry) = entries.next().unwrap() {
        let CieOrFde::Fde(partial) = entry else {
            continue;
        };
        let fde = partial.parse(DebugFrame::cie_from_offset).unwrap();
        let mut rows = fde.rows(&frames, &bases, &mut context).unwrap();
        while let Some(truth) = rows.next_row().unwrap() {
            let (first, end) = (truth.start_address(), truth.end_address());
            let CfaRule::RegisterAndOffset { register, offset } = *truth.cfa() else {
                panic!("{truth:?}");
            };
            assert_eq!(register, X86_64::RSP);
            // The last byte may be that of padding before code to which handlers return.
            for address in [first, first + (end - first) / 2] {
                let row = table.find(address);
                asked += 1;
                match row.cfa {
                    cfa::SP => assert_eq!(i64::from(row.offset) * 8, offset, "{address:#x}"),
                    cfa::END => ends += 1,
                    cfa::SWITCHED => switches += 1,
                    cfa::SIGNAL => {}
                    // Never but for assembly that aligns the stack, which its linker does not tell either.
                    cfa::UNKNOWN => ends += 1,
                    _ => panic!("{address:#x}: {row:?}"),
                }
                let saved = if offset > 8 { -2 } else { bp::SAME };
                assert!(row.cfa != cfa::SP || row.bp == saved, "{row:?}");
            }
        }
    }
    assert!(asked > 10_000, "{asked}");
    assert!(
        switches > 0 && (ends + switches) * 100 < asked,
        "{ends}, {switches} of {asked}"
    );
}

#[test]
fn a_stripped_program_has_the_same_table() {
    let (Some(whole), Some(stripped)) = (program("-ldflags="), program("-ldflags=-s -w")) else {
        println!("skipped: no Go compiler");
        return;
    };
    let (whole, stripped) = (table_of(&whole).unwrap(), table_of(&stripped).unwrap());
    let of_go = |table: &Table| (table.counts().functions, table.counts().damaged);
    assert_eq!(of_go(&whole), of_go(&stripped));
    assert!(whole.counts().functions > 1_000);
    let Row { cfa, .. } = whole.find(whole.origin());
    assert_ne!(cfa, cfa::NONE);
}

#[test]
fn fuzz_damaged_go_tables() {
    let Some(bytes) = program("-ldflags=-s -w") else {
        println!("skipped: no Go compiler");
        return;
    };
    fuzz(&[bytes], |bytes| {
        let limits = Limits {
            bytes: 1 << 20,
            rows: 1 << 18,
            undescribed: 1 << 14,
            undescribed_piece: 1 << 14,
            deadline: Instant::now() + Duration::from_secs(2),
        };
        if let Ok(table) = table_within(bytes, &limits) {
            check(&table);
        }
    });
}
