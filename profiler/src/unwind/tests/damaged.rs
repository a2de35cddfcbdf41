//! Files with damaged bytes: whatever is in them, making a table ends soon, takes little memory, and what comes out is one.

use std::process::Command;
use std::time::{Duration, Instant};

use ctprof_ebpf::abi::unwind::{Row, cfa};

use super::made::{CODE, Entry, elf, section};
use super::{check, table_within};
use crate::fuzz::fuzz;
use crate::unwind::Limits;

/// A program of a compiler, without section headers; `None` without one.
fn small_program() -> Option<Vec<u8>> {
    let dir = tempfile::tempdir().ok()?;
    let source = dir.path().join("program.c");
    std::fs::write(
        &source,
        "int puts(const char *); int main(void) { return puts(\"\"); }",
    )
    .ok()?;
    let path = dir.path().join("program");
    let mut command = Command::new("gcc");
    command
        .args(["-O2", "-s"])
        .arg(&source)
        .arg("-o")
        .arg(&path);
    command.output().ok()?;
    std::fs::read(path).ok()
}

#[test]
fn fuzz_damaged_descriptions() {
    let begin = [0x0c, 7, 8, 0x90, 1];
    let plt = [
        0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22,
    ];
    let aligned = [
        0x44, 0x0f, 3, 0x76, 0x78, 0x06, 0x10, 6, 2, 0x76, 0, 0x0a, 0x41, 0x0b,
    ];
    let made = elf(&section(&[
        Entry::Common("zR", &begin),
        Entry::Function(CODE, 0x40, &[0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6]),
        Entry::Function(CODE + 0x40, 0x40, &plt),
        Entry::Common("zRS", &begin),
        Entry::Function(CODE + 0x1_0000, 0x40, &aligned),
        Entry::Function(CODE + 0x100, 0x1000, &[0x07, 16]),
    ]));
    let mut inputs = vec![made];
    match small_program() {
        Some(mut program) => {
            inputs.push(program.clone());
            program[40..48].fill(0);
            program[60..64].fill(0);
            inputs.push(program);
        }
        None => eprintln!("skipped: no gcc"),
    }
    fuzz(&inputs, |bytes| {
        let limits = Limits {
            bytes: 1 << 20,
            rows: 1 << 18,
            undescribed: 1 << 14,
            undescribed_piece: 1 << 14,
            deadline: Instant::now() + Duration::from_secs(2),
        };
        if let Ok(table) = table_within(bytes, &limits) {
            check(&table);
            let end = u64::from(table.pages()) << 12;
            for at in (0..end).step_by((end / 64) as usize + 1) {
                let Row { cfa, bp, .. } = table.find(table.origin() + at);
                assert!(cfa <= cfa::SWITCHED);
                assert!(cfa != cfa::NONE || bp == 0);
            }
        }
    });
}
