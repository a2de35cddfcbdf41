//! Test only: real programs with damaged bytes. Whatever is in a file, reading it ends soon and without a panic
//! (in test builds arithmetic that overflows is one).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::Options;
use super::binary::{Answer, Binary};
use super::budget::Budget;
use super::elf::{Header, ReadError, Section, Source};
use super::problems::{Problem, Problems};

/// Sources are among the fixtures of the integration tests.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/symbolize")
        .join(name)
}

fn build(command: &mut Command) -> Option<Vec<u8>> {
    let dir = tempfile::tempdir().ok()?;
    let path = dir.path().join("program");
    let status = command.arg("-o").arg(&path).arg(".").output();
    let _ = status.ok()?;
    std::fs::read(path).ok()
}

/// A program with debug information; `None` without a compiler.
static WITH_DWARF: LazyLock<Option<Vec<u8>>> = LazyLock::new(|| {
    let dir = tempfile::tempdir().ok()?;
    let path = dir.path().join("program");
    let mut command = Command::new("c++");
    command
        .args(["-O2", "-g"])
        .arg(fixture("program.cc"))
        .arg("-o")
        .arg(&path);
    command.output().ok()?;
    std::fs::read(path).ok()
});

/// A stripped Go program, small enough to be mutated often; `None` without a compiler.
static GO: LazyLock<Option<Vec<u8>>> = LazyLock::new(|| {
    let dir = tempfile::tempdir().ok()?;
    std::fs::write(dir.path().join("go.mod"), "module small\n\ngo 1.18\n").ok()?;
    std::fs::write(
        dir.path().join("main.go"),
        "package main\nfunc main() { println(1) }\n",
    )
    .ok()?;
    build(
        Command::new("go")
            .current_dir(dir.path())
            .args(["build", "-ldflags=-s -w"]),
    )
});

fn options() -> Options {
    Options {
        max_table_bytes: 16 << 20,
        max_debug_bytes: 16 << 20,
        ..Options::default()
    }
}

/// Reads a file as the symbolizer does and asks for addresses all over its code.
fn read_all(bytes: Vec<u8>) -> Result<Vec<Answer>, ReadError> {
    read_with(bytes, &options(), Duration::from_secs(2)).map(|(answers, _)| answers)
}

fn read_with(
    bytes: Vec<u8>,
    options: &Options,
    time: Duration,
) -> Result<(Vec<Answer>, Problems), ReadError> {
    let source = Source::Bytes(bytes);
    let header = Header::read(&source)?;
    let mut problems = Problems::default();
    let mut count = |problem| problems.add(problem);
    let mut binary = Binary::read(source, options, |_, _, _| None, &mut count)?;
    let code = header
        .sections
        .iter()
        .filter(|section| section.is_code())
        .take(32);
    let addresses: Vec<u64> = code
        .flat_map(|section| {
            let step = (section.size / 256).max(1);
            (0..256).map(move |at: u64| section.address.wrapping_add(at.wrapping_mul(step)))
        })
        .chain([0, 1, header.entry, u64::MAX - 1, u64::MAX])
        .collect();
    let mut budget = Budget::new(time);
    let answers = binary.resolve(&addresses, options, &mut budget, &mut count);
    assert_eq!(answers.len(), addresses.len());
    Ok((answers, problems))
}

/// A change of a file: where (as a fraction, and in which part), and what is written there.
#[derive(Clone, Debug)]
struct Mutation {
    part: u8,
    place: u32,
    value: Vec<u8>,
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let extreme = prop_oneof![
        Just(0u64),
        Just(1),
        Just(u64::MAX),
        Just(u64::MAX / 2),
        Just(1 << 32),
        Just(u64::from(u32::MAX)),
        Just(0x7fff_ffff_ffff_ff00),
        any::<u64>(),
    ];
    let value = (extreme, 1usize..=8).prop_map(|(value, len)| value.to_le_bytes()[..len].to_vec());
    (0u8..4, any::<u32>(), value).prop_map(|(part, place, value)| Mutation { part, place, value })
}

/// Writes into the ELF header, the section headers, a named section, or anywhere.
fn apply(bytes: &mut [u8], mutations: &[Mutation]) {
    let header = Header::read(&Source::Bytes(bytes.to_vec())).unwrap();
    let table = usize::try_from(u64::from_le_bytes(bytes[40..48].try_into().unwrap())).unwrap();
    for mutation in mutations {
        let range = match mutation.part {
            0 => 0..64,
            1 => table..table + header.sections.len() * 64,
            2 => {
                let wanted: Vec<_> = header
                    .sections
                    .iter()
                    .filter(|section| {
                        section.name.starts_with(".debug_")
                            || section.name.starts_with(".go")
                            || matches!(
                                section.name.as_str(),
                                ".symtab" | ".strtab" | ".eh_frame_hdr" | ".eh_frame"
                            )
                    })
                    .filter_map(Section::file_range)
                    .collect();
                wanted[mutation.place as usize % wanted.len()].clone()
            }
            _ => 0..bytes.len(),
        };
        // A prime, so that the place within a section does not depend on its choice.
        let at = range.start + (mutation.place as usize / 31) % range.len().max(1);
        for (slot, byte) in bytes[at..].iter_mut().zip(&mutation.value) {
            *slot = *byte;
        }
    }
}

fn check(original: &Option<Vec<u8>>, mutations: &[Mutation], cut: Option<u32>) {
    let Some(original) = original else {
        eprintln!("skipped: no compiler");
        return;
    };
    let mut bytes = original.clone();
    apply(&mut bytes, mutations);
    if let Some(cut) = cut {
        bytes.truncate(cut as usize % (original.len() + 1));
    }
    let start = Instant::now();
    let _ = read_all(bytes);
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
}

/// The programs have names as long as nobody damages them: otherwise the rest would test nothing.
#[test]
fn undamaged_files_have_names() {
    for (original, expected) in [(&*WITH_DWARF, "shop::checkout"), (&*GO, "main.main")] {
        let Some(original) = original else {
            eprintln!("skipped: no compiler");
            continue;
        };
        let answers = read_all(original.clone()).unwrap();
        let parts = answers.iter().flat_map(|answer| &answer.parts);
        let mut names: Vec<_> = parts.map(|part| part.name.as_ref()).collect();
        names.sort_unstable();
        names.dedup();
        assert!(names.len() > 5, "{expected}: {names:?}");
    }
}

/// Debug information that costs too much is left out; the symbols still name every function.
#[test]
fn limits_on_debug_information_leave_the_symbols() {
    let Some(original) = &*WITH_DWARF else {
        eprintln!("skipped: no compiler");
        return;
    };
    let small = Options {
        max_debug_bytes: 100,
        ..options()
    };
    for (options, time, problem) in [
        (options(), Duration::ZERO, Problem::FileTooSlow),
        (small, Duration::from_secs(2), Problem::DebugInfoTooLarge),
    ] {
        let (answers, problems) = read_with(original.clone(), &options, time).unwrap();
        assert_eq!(problems.iter().collect::<Vec<_>>(), [(problem, 1)]);
        let mut parts = answers.iter().flat_map(|answer| &answer.parts);
        assert!(parts.any(|part| part.name.as_ref() == "main"));
    }
}

proptest! {
    // Seeds mean nothing on another machine: its compilers make other programs.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_debug_information(
        mutations in prop::collection::vec(mutation(), 1..24),
        cut in prop::option::weighted(0.1, any::<u32>()),
    ) {
        check(&WITH_DWARF, &mutations, cut);
    }

    #[test]
    fn damaged_go_tables(
        mutations in prop::collection::vec(mutation(), 1..24),
        cut in prop::option::weighted(0.1, any::<u32>()),
    ) {
        check(&GO, &mutations, cut);
    }

    #[test]
    fn arbitrary_bytes_after_an_elf_magic(mut bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        for (slot, byte) in bytes.iter_mut().zip(b"\x7fELF\x02\x01\x01") {
            *slot = *byte;
        }
        let _ = read_all(bytes);
    }
}
