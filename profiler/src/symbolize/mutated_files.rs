//! Test only: real programs with damaged bytes. Whatever is in a file, reading it ends soon and without a panic
//! (in test builds arithmetic that overflows is one), and what it gives can be shown.
//!
//! Each kind of file is tried for `CTPROF_FUZZ_SECONDS` seconds with other damage each time; without that, for two seconds
//! with the same.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use rustix::time::{ClockId, clock_gettime};

use super::Options;
use super::binary::{Answer, Binary};
use super::budget::Budget;
use super::elf::{Header, ReadError, Source};
use super::mutation::{Mutation, apply, mutation};
use super::names::MAX_NAME;
use super::problems::{Problem, Problems};
use super::{jit, separate};

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
static WITH_DWARF: LazyLock<Option<Vec<u8>>> =
    LazyLock::new(|| with_dwarf(|path| Some(path.to_owned())));

/// The same, packed as `objcopy` does; `None` where it cannot.
static PACKED: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let kinds = ["zlib", "zlib-gnu", "zstd"];
    let packed = kinds.iter().filter_map(|kind| {
        let argument = format!("--compress-debug-sections={kind}");
        with_dwarf(|path| objcopy(&[&argument], path, "packed"))
    });
    packed.collect()
});

/// A program with MiniDebugInfo and a debug link; `None` without `xz`.
static MINI: LazyLock<Option<Vec<u8>>> = LazyLock::new(|| {
    with_dwarf(|path| {
        let mini = objcopy(&["--strip-debug"], path, "mini")?;
        let done = Command::new("xz").arg("-f").arg(&mini).output().ok()?;
        let section = format!(".gnu_debugdata={}.xz", mini.display());
        let link = format!("--add-gnu-debuglink={}", path.display());
        let arguments = ["--strip-all", "--add-section", &section, &link];
        done.status
            .success()
            .then(|| objcopy(&arguments, path, "done"))?
    })
});

/// The bytes of what `change` makes of a C++ program with debug information.
fn with_dwarf(change: impl FnOnce(&Path) -> Option<PathBuf>) -> Option<Vec<u8>> {
    let dir = tempfile::tempdir().ok()?;
    let path = dir.path().join("program");
    let mut command = Command::new("c++");
    command
        .args(["-O2", "-g"])
        .arg(fixture("program.cc"))
        .arg("-o")
        .arg(&path);
    command.output().ok()?;
    std::fs::read(change(&path)?).ok()
}

/// A changed copy of a program, beside it.
fn objcopy(arguments: &[&str], path: &Path, name: &str) -> Option<PathBuf> {
    let changed = path.with_file_name(name);
    let mut command = Command::new("objcopy");
    let done = command.args(arguments).arg(path).arg(&changed).output();
    done.ok()?.status.success().then_some(changed)
}

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
    let separate = |(source, header): (&Source, &Header), _: &str, _: &mut dyn FnMut(Problem)| {
        separate::debug_link(source, header);
        None
    };
    let mut binary = Binary::read(source, options, separate, &mut count)?;
    let code = header
        .sections
        .iter()
        .filter(|section| section.is_code())
        .take(32);
    let addresses: Vec<u64> = code
        .flat_map(|section| {
            let step = section.size.div_ceil(256);
            (0..256).map(move |at: u64| section.address.wrapping_add(at.wrapping_mul(step)))
        })
        .chain([0, 1, header.entry, u64::MAX - 1, u64::MAX])
        .collect();
    let mut budget = Budget::new(time);
    let answers = binary.resolve(&addresses, options, &mut budget, &mut count);
    assert_eq!(answers.len(), addresses.len());
    for (answer, address) in answers.iter().zip(&addresses) {
        assert!(answer.start <= *address);
        for part in &answer.parts {
            assert!(!part.name.is_empty() && part.name.chars().count() <= MAX_NAME + 1);
            assert!(!part.name.chars().any(char::is_control), "{:?}", part.name);
        }
    }
    // Symbols and unwind tables, MiniDebugInfo, debug information with its tables.
    assert!(binary.bytes() < 512 << 20, "{}", binary.bytes());
    Ok((answers, problems))
}

fn check(original: &[u8], mutations: &[Mutation], cut: Option<u32>) {
    let mut bytes = original.to_vec();
    apply(&mut bytes, mutations);
    if let Some(cut) = cut {
        bytes.truncate(cut as usize % (original.len() + 1));
    }
    soon(|| {
        let _ = read_all(bytes);
    });
}

/// Whatever a file contains, it does not cost more CPU time than this; that other programs run does not matter.
fn soon(work: impl FnOnce()) {
    let now = || clock_gettime(ClockId::ThreadCPUTime).tv_sec;
    let start = now();
    work();
    let seconds = now() - start;
    assert!(seconds < 20, "{seconds} s");
}

/// Tries `test` with one value after the other until the time is up.
fn fuzz<S: Strategy>(strategy: &S, test: impl Fn(S::Value)) {
    let seconds = std::env::var("CTPROF_FUZZ_SECONDS").ok();
    let seconds: Option<u64> =
        seconds.map(|it| it.parse().expect("CTPROF_FUZZ_SECONDS is no number"));
    // Seeds mean nothing on another machine: its compilers make other programs.
    let config = ProptestConfig {
        failure_persistence: None,
        cases: 8,
        ..ProptestConfig::default()
    };
    let mut runner = match seconds {
        Some(_) => TestRunner::new(config),
        None => {
            let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
            TestRunner::new_with_rng(config, rng)
        }
    };
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(2));
    while Instant::now() < end {
        let result = runner.run(strategy, |value| {
            test(value);
            Ok(())
        });
        if let Err(error) = result {
            panic!("{error}");
        }
    }
}

/// Damages `original` in many ways.
fn fuzz_file(original: Option<&[u8]>) {
    let Some(original) = original else {
        eprintln!("skipped: no compiler, binutils or xz");
        return;
    };
    let damage = (
        prop::collection::vec(mutation(), 1..24),
        prop::option::weighted(0.1, any::<u32>()),
    );
    fuzz(&damage, |(mutations, cut)| check(original, &mutations, cut));
}

/// The programs have names as long as nobody damages them: otherwise the rest would test nothing.
#[test]
fn undamaged_files_have_names() {
    let all = [
        (&*WITH_DWARF, "shop::checkout"),
        (&*GO, "runtime."),
        (&*MINI, "shop::checkout"),
    ];
    let packed = PACKED.iter().map(|packed| (packed, "shop::checkout"));
    let all = all
        .into_iter()
        .filter_map(|(it, name)| Some((it.as_ref()?, name)));
    for (original, expected) in all.chain(packed) {
        let answers = read_all(original.clone()).unwrap();
        let parts = answers.iter().flat_map(|answer| &answer.parts);
        let mut names: Vec<_> = parts.map(|part| part.name.as_ref()).collect();
        names.sort_unstable();
        names.dedup();
        assert!(
            names.iter().any(|name| name.starts_with(expected)),
            "{expected}: {names:?}"
        );
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

#[test]
fn damaged_debug_information() {
    fuzz_file(WITH_DWARF.as_deref());
}

#[test]
fn damaged_go_tables() {
    fuzz_file(GO.as_deref());
}

#[test]
fn damaged_mini_debug_info_and_debug_links() {
    fuzz_file(MINI.as_deref());
}

#[test]
fn damaged_packed_debug_information() {
    if PACKED.is_empty() {
        fuzz_file(None);
    }
    let damage = (
        any::<prop::sample::Index>(),
        prop::collection::vec(mutation(), 1..8),
    );
    if !PACKED.is_empty() {
        fuzz(&damage, |(which, mutations)| {
            check(which.get::<Vec<u8>>(&PACKED), &mutations, None);
        });
    }
}

#[test]
fn arbitrary_bytes_after_an_elf_magic() {
    fuzz(&prop::collection::vec(any::<u8>(), 0..4096), |mut bytes| {
        for (slot, byte) in bytes.iter_mut().zip(b"\x7fELF\x02\x01\x01") {
            *slot = *byte;
        }
        soon(|| {
            let _ = read_all(bytes);
        });
    });
}

/// Lines that look like those of a perf map, with what a container may write instead.
#[test]
fn damaged_perf_maps() {
    let line = prop_oneof![
        (any::<u16>(), any::<u16>(), "\\PC{0,20}").prop_map(|(start, size, name)| {
            format!("{start:x} {size:x} {name}\n").into_bytes()
        }),
        (any::<u64>(), any::<u64>(), "[_RZN0-9A-Za-z$.@]{0,40}").prop_map(|(start, size, name)| {
            format!("{start:x} {size:x} _Z{name}\n").into_bytes()
        }),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    let map = (prop::collection::vec(line, 0..200), 1u64..4096);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("perf-1.map");
    let addresses: Vec<u64> = (0..0x1_0000).step_by(0x101).chain([u64::MAX]).collect();
    fuzz(&map, |(lines, limit)| {
        std::fs::write(&path, lines.concat()).unwrap();
        let held = super::safe_open::hold_link(&path).unwrap();
        soon(|| {
            let found = jit::resolve(&held, &addresses, limit).unwrap();
            assert_eq!(found.names.len(), addresses.len());
            assert_eq!(found.is_cut, lines.concat().len() as u64 > limit);
            for name in found.names.iter().flatten() {
                assert!(!name.is_empty() && name.chars().count() <= MAX_NAME + 1);
                assert!(!name.chars().any(char::is_control), "{name:?}");
            }
        });
    });
}
