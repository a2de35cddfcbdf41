//! Symbols and debug information that are packed, or in files of their own.

use std::path::{Path, PathBuf};
use std::process::Command;

use ctprof::symbolize::{Options, Problem, Symbolizer};

use crate::support::{Program, compile, frames, has, names, needs, run, skip, symbolizer};

/// What the frames inlined at one place of `program.c` are, with lines.
const INLINED: [(&str, u32); 3] = [("inner", 21), ("middle", 26), ("outer", 30)];

/// What is missing to run these tests.
fn missing() -> Option<&'static str> {
    if !has("objcopy") || !has("strip") {
        return Some("no binutils");
    }
    needs()
}

fn objcopy(arguments: &[&str], files: &[&Path]) {
    run(Command::new("objcopy").args(arguments).args(files));
}

fn built(flags: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("program");
    compile("cc", "program.c", &path, &[&["-O2", "-g"], flags].concat());
    (dir, path)
}

/// Names and lines at the place where two functions were inlined.
fn inlined(symbolizer: &mut Symbolizer, program: &Program) -> Vec<(String, u32)> {
    let (frames, _) = frames(symbolizer, program.key(), program.value("inlined") - 1);
    let frames = frames.iter();
    frames
        .map(|frame| (frame.function.to_string(), frame.line))
        .collect()
}

fn expected() -> Vec<(String, u32)> {
    INLINED.map(|(name, line)| (name.to_owned(), line)).into()
}

fn problems(symbolizer: &Symbolizer) -> Vec<(Problem, u64)> {
    symbolizer.problems().iter().collect()
}

#[test]
fn compressed_debug_information_is_as_good_as_plain() {
    if let Some(reason) = missing() {
        skip!("{reason}");
    }
    let (_dir, plain) = built(&[]);
    for kind in ["zlib", "zlib-gnu", "zstd"] {
        let path = plain.with_file_name(kind);
        let argument = format!("--compress-debug-sections={kind}");
        let packed = ["objcopy", "llvm-objcopy"].iter().any(|tool| {
            let done = Command::new(tool)
                .arg(&argument)
                .arg(&plain)
                .arg(&path)
                .output();
            done.is_ok_and(|output| output.status.success())
        });
        if !packed {
            eprintln!("skipped in part: no objcopy that knows {kind}");
            continue;
        }
        let program = Program::start(&path);
        let mut symbolizer = symbolizer();
        assert_eq!(inlined(&mut symbolizer, &program), expected(), "{kind}");
        assert_eq!(problems(&symbolizer), [], "{kind}");
    }
}

/// A program without symbols or build id, and the file with its debug information, which it names.
fn linked() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let (dir, path) = built(&["-Wl,--build-id=none"]);
    let debug = dir.path().join("program.debug");
    objcopy(&["--only-keep-debug"], &[&path, &debug]);
    run(Command::new("strip").arg("-s").arg(&path));
    let link = format!("--add-gnu-debuglink={}", debug.display());
    objcopy(&[&link], &[&path]);
    (dir, path, debug)
}

#[test]
fn debug_links_are_followed_to_the_usual_places() {
    if let Some(reason) = missing() {
        skip!("{reason}");
    }
    let (_dir, path, debug) = linked();
    let program = Program::start(&path);
    let check = |place: &str| {
        let mut symbolizer = symbolizer();
        assert_eq!(inlined(&mut symbolizer, &program), expected(), "{place}");
        let hidden = names(&mut symbolizer, program.key(), program.value("hidden"));
        assert_eq!(hidden, ["hidden"], "{place}");
        assert_eq!(problems(&symbolizer), [], "{place}");
    };
    check("beside");
    let folder = debug.with_file_name(".debug");
    std::fs::create_dir(&folder).unwrap();
    std::fs::rename(&debug, folder.join("program.debug")).unwrap();
    check(".debug");
    let mut off = Symbolizer::new(Options {
        separate_debug_files: false,
        ..Options::default()
    });
    let hidden = names(&mut off, program.key(), program.value("hidden"));
    assert!(hidden[0].starts_with("[program+"), "{hidden:?}");
}

#[test]
fn debug_links_lead_into_the_folder_for_debug_information_of_the_container() {
    if let Some(reason) = missing() {
        skip!("{reason}");
    }
    if !has("unshare") || !Path::new("/usr/lib/debug").is_dir() {
        skip!("no unshare, or no folder /usr/lib/debug to mount over");
    }
    let (_dir, path, debug) = linked();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c"]);
    command.arg(
        "mount -t tmpfs tmpfs /usr/lib/debug && to=/usr/lib/debug$(dirname \"$0\") && mkdir -p \"$to\" && \
         mv \"$1\" \"$to\" && exec \"$0\"",
    );
    let program = Program::spawn(command.arg(&path).arg(&debug));
    assert_eq!(inlined(&mut symbolizer(), &program), expected());
}

/// Rebuilt since, or damaged: its names would be another build's.
#[test]
fn a_debug_file_with_another_checksum_is_not_taken() {
    if let Some(reason) = missing() {
        skip!("{reason}");
    }
    let (_dir, path, debug) = linked();
    let mut bytes = std::fs::read(&debug).unwrap();
    bytes.push(0);
    std::fs::write(&debug, bytes).unwrap();
    let program = Program::start(&path);
    let mut symbolizer = symbolizer();
    let hidden = names(&mut symbolizer, program.key(), program.value("hidden"));
    assert!(hidden[0].starts_with("[program+"), "{hidden:?}");
    assert_eq!(problems(&symbolizer), [(Problem::DebugFileForeign, 1)]);
}

/// A link that nothing is at, as most distributions ship it, is nothing to complain about; nor is one that has the
/// name of the program itself.
#[test]
fn a_debug_link_to_nowhere_is_no_problem() {
    if let Some(reason) = missing() {
        skip!("{reason}");
    }
    let (dir, path, debug) = linked();
    let same = dir.path().join("program.debug.moved");
    std::fs::rename(&path, &same).unwrap();
    std::fs::rename(&same, &debug).unwrap(); // the program is where its link leads
    let program = Program::start(&debug);
    let mut symbolizer = symbolizer();
    let hidden = names(&mut symbolizer, program.key(), program.value("hidden"));
    assert!(hidden[0].starts_with("[program.debug+"), "{hidden:?}");
    assert_eq!(problems(&symbolizer), []);
}

/// MiniDebugInfo as Fedora makes it: the packed table has only what the dynamic one lacks.
#[test]
fn mini_debug_info_adds_to_the_dynamic_symbols() {
    if let Some(reason) = missing() {
        skip!("{reason}");
    }
    if !has("xz") {
        skip!("no xz");
    }
    let (dir, path) = built(&["-rdynamic"]);
    let at = |name: &str| dir.path().join(name);
    objcopy(
        &["--only-keep-debug", "--strip-debug"],
        &[&path, &at("mini")],
    );
    objcopy(
        &["--keep-symbol=hidden", "--strip-unneeded"],
        &[&at("mini")],
    );
    run(Command::new("xz").arg("-f").arg(at("mini")));
    run(Command::new("strip").arg("-s").arg(&path));
    for is_damaged in [false, true] {
        let target = at(if is_damaged { "damaged" } else { "packed" });
        let packed = at("mini.xz");
        if is_damaged {
            let mut bytes = std::fs::read(&packed).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0xff;
            std::fs::write(&packed, bytes).unwrap();
        }
        let section = format!(".gnu_debugdata={}", packed.display());
        objcopy(&["--add-section", &section], &[&path, &target]);
        let program = Program::start(&target);
        let mut symbolizer = symbolizer();
        let mut at = |value| names(&mut symbolizer, program.key(), program.value(value));
        assert_eq!(at("alpha"), ["alpha"]);
        if is_damaged {
            assert!(at("hidden")[0].starts_with("[damaged+"));
            assert_eq!(
                problems(&symbolizer),
                [(Problem::MiniDebugInfoUnreadable, 1)]
            );
        } else {
            assert_eq!(at("hidden"), ["hidden"]);
            assert_eq!(problems(&symbolizer), []);
        }
    }
}

/// What was inlined is in `.dwo` files, which are not read: said, and not called damaged.
#[test]
fn split_debug_information_is_unsupported_and_not_damaged() {
    if let Some(reason) = missing() {
        skip!("{reason}");
    }
    let (_dir, path) = built(&["-gsplit-dwarf"]);
    let program = Program::start(&path);
    let mut symbolizer = symbolizer();
    let found = inlined(&mut symbolizer, &program);
    assert_eq!(found.last().unwrap().0, "outer");
    assert_eq!(problems(&symbolizer), [(Problem::DebugInfoUnsupported, 1)]);
}

/// Swift's names begin with `$`; so do the marks of ARM, which are no names.
#[test]
fn names_with_signs_in_them_are_whole() {
    if let Some(reason) = missing() {
        skip!("{reason}");
    }
    let (_dir, path) = built(&["-g0"]);
    let (swift, odd) = ("$s4main4burnyyF", "odd@name");
    objcopy(
        &[
            &format!("--redefine-sym=alpha={swift}"),
            &format!("--redefine-sym=hidden={odd}"),
        ],
        &[&path],
    );
    let program = Program::start(&path);
    let mut symbolizer = symbolizer();
    let mut at = |value| names(&mut symbolizer, program.key(), program.value(value));
    assert_eq!(at("alpha"), [swift]);
    assert_eq!(at("hidden"), [odd]);
}

/// Start files of C programs have functions without a size, such as `frame_dummy`. They do not reach over what follows.
#[test]
fn a_function_without_a_symbol_does_not_get_the_one_before() {
    if let Some(reason) = missing() {
        skip!("{reason}");
    }
    let (_dir, path) = built(&["-g0"]);
    let all = [
        "alpha",
        "hidden",
        "outer",
        "capture",
        "thread",
        "say",
        "move_code",
    ];
    let strip = all.map(|name| format!("--strip-symbol={name}"));
    objcopy(&strip.each_ref().map(String::as_str), &[&path]);
    let program = Program::start(&path);
    let mut symbolizer = symbolizer();
    for value in ["alpha", "hidden"] {
        let name = names(&mut symbolizer, program.key(), program.value(value)).join(" ");
        assert!(name.starts_with("[program+0x"), "{value}: {name}");
    }
    let inlined = names(&mut symbolizer, program.key(), program.value("inlined") - 1);
    assert!(inlined[0].starts_with("[program+0x"), "{inlined:?}");
}

/// The version in a library's full symbol table is not part of the name.
#[test]
fn versions_of_symbols_are_no_part_of_their_names() {
    if let Some(reason) = missing() {
        skip!("{reason}");
    }
    let (dir, path) = built(&[]);
    let (script, library) = (dir.path().join("versions"), dir.path().join("library.so"));
    std::fs::write(&script, "V_1.0 { global: from_library; local: *; };").unwrap();
    let script = format!("-Wl,--version-script={}", script.display());
    let source = dir.path().join("old.c");
    let text = "int now(int x) { return x + 1; }\n__asm__(\".symver now,from_library@@V_1.0\");\n";
    std::fs::write(&source, text).unwrap();
    run(Command::new("cc")
        .args(["-O1", "-shared", "-fPIC", &script])
        .arg(&source)
        .arg("-o")
        .arg(&library));
    objcopy(&["--strip-symbol=now"], &[&library]);
    let mut program = Program::start(&path);
    program.tell(&format!("load {}", library.display()));
    let name = names(&mut symbolizer(), program.key(), program.value("loaded"));
    assert_eq!(name, ["from_library"]);
}

/// Code moved to memory of no file, at the same addresses: the text of some databases is in huge pages that way.
#[test]
fn code_that_a_program_moved_keeps_its_names() {
    if let Some(reason) = missing() {
        skip!("{reason}");
    }
    for (flags, what) in [
        (&[][..], "all"),
        (&["-static"][..], "all"),
        (&["-static"][..], "page"),
        (&["-static-pie"][..], "page"),
        (&["-no-pie"][..], "all"),
    ] {
        let (_dir, path) = built(flags);
        let mut program = Program::start(&path);
        program.tell(&format!("move {what}"));
        assert!(!program.values.contains_key("failed"));
        let mut symbolizer = symbolizer();
        let mut at = |address| names(&mut symbolizer, program.key(), address);
        assert_eq!(
            at(program.value("alpha") + 1),
            ["alpha"],
            "{flags:?} {what}"
        );
        assert_eq!(at(program.value("hidden")), ["hidden"], "{flags:?} {what}");
        let code = program.value("code");
        assert_eq!(at(code), [format!("[anon+{code:#x}]")], "{flags:?} {what}");
        assert_eq!(inlined(&mut symbolizer, &program), expected());
        assert_eq!(problems(&symbolizer), [], "{flags:?} {what}");
    }
}

/// Nobody can say whose it is, which is the reason that it has no name.
#[test]
fn code_between_parts_of_a_file_that_disagree() {
    if let Some(reason) = missing() {
        skip!("{reason}");
    }
    let (_dir, path) = built(&[]);
    let mut program = Program::start(&path);
    program.tell("between");
    let mut symbolizer = symbolizer();
    let between = program.value("between");
    let name = names(&mut symbolizer, program.key(), between);
    assert_eq!(name, [format!("[anon+{between:#x}]")]);
    assert_eq!(problems(&symbolizer), [(Problem::TextMoved, 1)]);
}
