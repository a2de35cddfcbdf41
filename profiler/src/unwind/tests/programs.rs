//! What compilers write that is not in the libraries of every system.

use std::path::Path;
use std::process::Command;

use ctprof_ebpf::abi::unwind::{bp, cfa};

use super::{check, rows, table_of};
use crate::unwind::Table;

/// The table of what a compiler makes of `code`; `None` without one, or one that does not know an argument.
fn compiled(arguments: &[&str], code: &str) -> Option<Table> {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("program.c");
    std::fs::write(&source, code).unwrap();
    let path = dir.path().join("program");
    let mut command = Command::new("gcc");
    command.args(arguments).arg(&source).arg("-o").arg(&path);
    let done = command.output().ok()?;
    if !done.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&done.stderr));
        return None;
    }
    let table = table_of(&read(&path)).unwrap();
    check(&table);
    Some(table)
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[test]
fn functions_that_align_their_stack_are_described() {
    let code = "
        #include <stdarg.h>
        void use(void *p) { __asm__ volatile(\"\" :: \"r\"(p) : \"memory\"); }
        __attribute__((noinline)) int aligned(int n, ...) {
            va_list list; va_start(list, n);
            _Alignas(64) volatile char local[64]; use((void *)local); use(__builtin_alloca(n));
            int sum = va_arg(list, int) + local[3]; va_end(list); return sum;
        }
        int main(int n, char **v) { return aligned(n, 2, 3); }";
    let Some(table) = compiled(&["-O2", "-mforce-drap", "-fno-inline"], code) else {
        eprintln!("skipped: no gcc that aligns stacks in this way");
        return;
    };
    let rows = rows(&table);
    let found = rows.iter().map(|(_, row)| row);
    let aligned = found.clone().find(|row| row.cfa == cfa::AT_BP);
    assert_eq!(
        aligned.map(|row| (row.bp, row.offset)),
        Some((bp::AT_BP, -1)),
        "{rows:?}"
    );
}

#[test]
fn entries_of_the_linkage_table_are_described() {
    let code = "#include <stdio.h>\nint main(void) { puts(\"\"); return getchar(); }";
    let arguments = ["-O2", "-Wl,-z,lazy", "-fcf-protection=none", "-fuse-ld=bfd"];
    let Some(table) = compiled(&arguments, code) else {
        eprintln!("skipped: no gcc with GNU ld");
        return;
    };
    let rows = rows(&table);
    let (address, entry) = *rows.iter().find(|(_, row)| row.cfa == cfa::PLT).unwrap();
    assert_eq!((entry.offset, entry.bp), (11, bp::SAME));
    assert_eq!(address % 16, 0);
}

#[test]
fn descriptions_for_debuggers_serve_where_there_are_no_others() {
    let code = "int callee(volatile int *p) { return *p; } int main(void) { volatile int i = 3; return callee(&i); }";
    let with = |packing: &str| {
        let arguments = ["-O2", "-g", "-fno-asynchronous-unwind-tables", packing];
        compiled(
            &[&arguments[..], &["-nostdlib", "-static", "-Wl,-e,main"]].concat(),
            code,
        )
    };
    let Some(table) = with("-gz=none") else {
        eprintln!("skipped: no gcc");
        return;
    };
    assert!(
        rows(&table).iter().any(|(_, row)| row.cfa == cfa::SP),
        "{table:?}"
    );
    if let Some(packed) = with("-gz=zlib") {
        assert_eq!(packed.words, table.words);
    }
}
