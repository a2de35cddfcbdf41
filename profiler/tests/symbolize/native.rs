//! C, C++ and Rust programs.

use std::path::Path;
use std::process::Command;

use ctprof::model::{FrameKind, ProcessKey};
use ctprof::symbolize::{Options, Symbolizer};

use crate::support::{
    Program, compile, frames, has, is_root, module, names, run, skip, symbolizer,
};

/// Every way in which a program can be linked gives the same names.
#[test]
fn functions_of_position_independent_static_and_fixed_programs() {
    if !has("cc") {
        skip!("no C compiler");
    }
    let dir = tempfile::tempdir().unwrap();
    for (name, flags) in [
        ("pie", &["-O1", "-fPIE", "-pie"][..]),
        ("fixed", &["-O1", "-no-pie"][..]),
        ("static", &["-O1", "-static"][..]),
        ("static-pie", &["-O1", "-static-pie"][..]),
    ] {
        let path = dir.path().join(name);
        compile("cc", "program.c", &path, flags);
        let program = Program::start(&path);
        let mut symbolizer = symbolizer();
        let mut at = |address| names(&mut symbolizer, program.key(), address);
        assert_eq!(at(program.value("alpha")), ["alpha"], "{name}");
        assert_eq!(at(program.value("alpha") + 2), ["alpha"], "{name}");
        assert_eq!(at(program.value("hidden")), ["hidden"], "{name}");
        assert_eq!(at(program.value("inlined") - 1), ["outer"], "{name}");
        assert!(
            symbolizer.problems().is_empty(),
            "{name}: {:?}",
            symbolizer.problems()
        );
    }
}

#[test]
fn modules_have_a_path_and_a_build_id() {
    if !has("cc") || !has("readelf") {
        skip!("no C compiler or no readelf");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("program");
    compile("cc", "program.c", &path, &["-Wl,--build-id=0xdeadbeef0042"]);
    let program = Program::start(&path);
    assert_eq!(
        module(&mut symbolizer(), program.key(), program.value("alpha")),
        (path.display().to_string(), "deadbeef0042".to_owned())
    );
}

#[test]
fn inlined_functions_with_file_and_line() {
    if !has("cc") {
        skip!("no C compiler");
    }
    let dir = tempfile::tempdir().unwrap();
    for flags in [
        &["-O2", "-g"][..],
        &["-O2", "-g", "-gdwarf-4"][..],
        &["-O2", "-g", "-gz=zlib"][..],
    ] {
        let path = dir.path().join("program");
        compile("cc", "program.c", &path, flags);
        let program = Program::start(&path);
        let (frames, _) = frames(
            &mut symbolizer(),
            program.key(),
            program.value("inlined") - 1,
        );
        let found: Vec<_> = frames
            .iter()
            .map(|frame| {
                let file = frame.file.as_deref().unwrap_or_default();
                let file = file.rsplit('/').next().unwrap_or_default();
                (frame.function.as_ref(), frame.inlined, file, frame.line)
            })
            .collect();
        assert_eq!(
            found,
            [
                ("inner", true, "program.c", 21),
                ("middle", true, "program.c", 26),
                ("outer", false, "program.c", 30),
            ],
            "{flags:?}"
        );
        assert!(frames.iter().all(|frame| frame.kind == FrameKind::User));
    }
}

/// A stripped program: one name for all addresses of a function, from its unwind tables.
#[test]
fn stripped_functions_read_file_and_offset() {
    if !has("cc") || !has("strip") || !has("nm") {
        skip!("no C compiler or no binutils");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ware");
    compile("cc", "program.c", &path, &["-O1"]);
    let alpha = symbol(&path, "alpha");
    run(Command::new("strip").arg(&path));
    let program = Program::start(&path);
    let mut symbolizer = symbolizer();
    let expected = format!("[ware+{alpha:#x}]");
    for offset in [0, 1, 3] {
        let address = program.value("alpha") + offset;
        let (frames, is_root) = frames(&mut symbolizer, program.key(), address);
        assert_eq!(frames.len(), 1);
        assert_eq!(frames[0].function.as_ref(), expected);
        assert_eq!(frames[0].address, alpha + offset);
        assert!(!is_root);
    }
    assert!(symbolizer.problems().is_empty());
}

#[test]
fn threads_and_main_begin_in_roots() {
    if !has("cc") {
        skip!("no C compiler");
    }
    let dir = tempfile::tempdir().unwrap();
    for (name, compiler, flags) in [
        ("dynamic", "cc", &["-O1"][..]),
        ("static", "cc", &["-O1", "-static"][..]),
        ("musl", "musl-gcc", &["-O1"][..]),
    ] {
        if !has(compiler) {
            eprintln!("skipped in part: no {compiler}");
            continue;
        }
        let path = dir.path().join(name);
        compile(compiler, "program.c", &path, flags);
        let program = Program::start(&path);
        // The C library's own symbols do not name these functions; its debug information, if installed, does.
        for separate_debug_files in [false, true] {
            let mut symbolizer = Symbolizer::new(Options {
                separate_debug_files,
                ..Options::default()
            });
            let mut at = |value| frames(&mut symbolizer, program.key(), program.value(value) - 1);
            for caller in ["main_caller", "thread_caller"] {
                let (frames, is_root) = at(caller);
                assert!(is_root, "{name} {caller}: {}", frames[0].function);
            }
            assert!(!at("inlined").1, "{name}");
        }
    }
}

/// `_start` of a stripped program has no name, but the ELF header points to it.
#[test]
fn the_entry_point_of_a_stripped_program_is_a_root() {
    if !has("cc") || !has("strip") {
        skip!("no C compiler or no strip");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("program");
    compile("cc", "program.c", &path, &["-O1"]);
    let (start, alpha) = (symbol(&path, "_start"), symbol(&path, "alpha"));
    run(Command::new("strip").arg(&path));
    let program = Program::start(&path);
    let address = program.value("alpha") - alpha + start + 0x20;
    let (frames, is_root) = frames(&mut symbolizer(), program.key(), address);
    assert_eq!(frames[0].function.as_ref(), format!("[program+{start:#x}]"));
    assert!(is_root);
}

#[test]
fn cpp_names_are_demangled() {
    if !has("c++") {
        skip!("no C++ compiler");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("program");
    compile("c++", "program.cc", &path, &["-O1", "-g"]);
    let program = Program::start(&path);
    let mut symbolizer = symbolizer();
    assert_eq!(
        names(&mut symbolizer, program.key(), program.value("total")),
        ["shop::Cart<double>::total"]
    );
    assert_eq!(
        names(&mut symbolizer, program.key(), program.value("here") - 1),
        ["shop::checkout"]
    );
}

/// Debug information installed apart from its program, where the program's own root has it.
#[test]
fn separate_debug_files_are_found_by_build_id() {
    if !is_root() || !has("cc") || !has("objcopy") || !has("unshare") {
        skip!("not root, or no C compiler, binutils or unshare");
    }
    if !Path::new("/usr/lib/debug").is_dir() {
        skip!("no folder /usr/lib/debug to mount over");
    }
    let dir = tempfile::tempdir().unwrap();
    let (path, debug) = (dir.path().join("program"), dir.path().join("debug"));
    compile(
        "cc",
        "program.c",
        &path,
        &["-O2", "-g", "-Wl,--build-id=0xfeedbeef0042"],
    );
    run(Command::new("objcopy")
        .arg("--only-keep-debug")
        .arg(&path)
        .arg(&debug));
    run(Command::new("strip").arg(&path));
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c"]);
    command.arg(
        "mount -t tmpfs tmpfs /usr/lib/debug && mkdir -p /usr/lib/debug/.build-id/fe && \
         cp \"$1\" /usr/lib/debug/.build-id/fe/edbeef0042.debug && exec \"$0\"",
    );
    let program = Program::spawn(command.arg(&path).arg(&debug));
    let mut symbolizer = symbolizer();
    let mut at = |value| names(&mut symbolizer, program.key(), program.value(value) - 1);
    assert_eq!(at("inlined"), ["inner", "middle", "outer"]);
}

mod town {
    pub(super) struct House<T>(pub(super) T);

    impl<T: Copy + Into<u64>> House<T> {
        #[inline(never)]
        pub(super) fn doors(&self) -> u64 {
            std::hint::black_box(self.0.into() + 1)
        }
    }
}

/// The running test program itself.
#[test]
fn rust_names_are_demangled() {
    let doors = town::House::<u32>::doors as *const () as u64;
    assert_eq!(town::House(2u32).doors(), 3);
    let key = ProcessKey {
        pid: std::process::id(),
        exec_id: 0,
    };
    let (frames, _) = frames(&mut symbolizer(), key, doors + 1);
    let last = frames.last().unwrap();
    assert_eq!(
        last.function.as_ref(),
        "symbolize::native::town::House<T>::doors"
    );
    assert!(
        last.file
            .as_deref()
            .unwrap()
            .ends_with("tests/symbolize/native.rs")
    );
    assert!(last.line > 0);
}

/// The address of a symbol, as `nm` has it.
pub(crate) fn symbol(path: &std::path::Path, name: &str) -> u64 {
    let output = Command::new("nm").arg(path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text
        .lines()
        .find(|line| line.ends_with(&format!(" {name}")))
        .unwrap();
    u64::from_str_radix(line.split(' ').next().unwrap(), 16).unwrap()
}
