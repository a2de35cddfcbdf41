//! Programs whose files or processes are gone when the names are asked for.

use ctprof::model::ProcessKey;
use ctprof::symbolize::{Options, Problem, Symbolizer};

use crate::support::{Program, compile, names, needs, skip, symbolizer};

#[test]
fn a_deleted_program_still_has_names() {
    if let Some(reason) = needs() {
        skip!("{reason}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("program");
    compile("cc", "program.c", &path, &["-O1"]);
    let program = Program::start(&path);
    std::fs::remove_file(&path).unwrap();
    let mut symbolizer = symbolizer();
    assert_eq!(
        names(&mut symbolizer, program.key(), program.value("alpha")),
        ["alpha"]
    );
    assert!(symbolizer.problems().is_empty());
}

#[test]
fn a_replaced_program_keeps_the_names_of_the_running_one() {
    if let Some(reason) = needs() {
        skip!("{reason}");
    }
    let dir = tempfile::tempdir().unwrap();
    let (path, other) = (dir.path().join("program"), dir.path().join("other"));
    compile("cc", "program.c", &path, &["-O1"]);
    compile("cc", "program.c", &other, &["-O1", "-Dalpha=omega"]);
    let program = Program::start(&path);
    std::fs::rename(&other, &path).unwrap();
    assert_eq!(
        names(&mut symbolizer(), program.key(), program.value("alpha")),
        ["alpha"]
    );
}

#[test]
fn an_exited_process_still_has_names() {
    if let Some(reason) = needs() {
        skip!("{reason}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("program");
    compile("cc", "program.c", &path, &["-O1"]);
    let mut program = Program::start(&path);
    let mut symbolizer = symbolizer();
    symbolizer.observe(program.key());
    program.stop();
    drop(dir); // and its files are gone too
    symbolizer.observe(program.key());
    assert_eq!(
        names(&mut symbolizer, program.key(), program.value("alpha")),
        ["alpha"]
    );
    assert!(symbolizer.problems().is_empty());
}

#[test]
fn a_process_that_was_never_seen_alive_is_called_exited() {
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let key = ProcessKey {
        pid: child.id(),
        exec_id: 3,
    };
    child.wait().unwrap();
    let mut symbolizer = symbolizer();
    symbolizer.observe(key);
    symbolizer.observe(key);
    assert_eq!(names(&mut symbolizer, key, 0x1234), ["[exited+0x1234]"]);
    assert_eq!(
        symbolizer.problems().iter().collect::<Vec<_>>(),
        [(Problem::ProcessGone, 1)]
    );
}

#[test]
fn libraries_loaded_later_are_seen_and_unloaded_ones_remembered() {
    if let Some(reason) = needs() {
        skip!("{reason}");
    }
    let dir = tempfile::tempdir().unwrap();
    let (path, library) = (dir.path().join("program"), dir.path().join("library.so"));
    compile("cc", "program.c", &path, &["-O1"]);
    compile("cc", "library.c", &library, &["-O1", "-shared", "-fPIC"]);
    let mut program = Program::start(&path);
    let mut symbolizer = symbolizer();
    symbolizer.observe(program.key());
    program.tell(&format!("load {}", library.display()));
    let loaded = program.value("loaded");
    assert_eq!(
        names(&mut symbolizer, program.key(), loaded),
        [format!("[unmapped+{loaded:#x}]")]
    );
    symbolizer.observe(program.key());
    assert_eq!(
        names(&mut symbolizer, program.key(), loaded),
        ["from_library"]
    );
}

/// `execve` makes another image of the process: each key keeps its own names.
#[test]
fn a_new_image_does_not_disturb_the_old_one() {
    if let Some(reason) = needs() {
        skip!("{reason}");
    }
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    compile("cc", "program.c", &first, &["-O1"]);
    compile("cc", "program.c", &second, &["-O1", "-Dalpha=omega"]);
    let mut program = Program::start(&first);
    let old = program.key();
    let new = ProcessKey {
        exec_id: old.exec_id + 1,
        ..old
    };
    let mut symbolizer = symbolizer();
    symbolizer.observe(old);
    let alpha = program.value("alpha");
    program.tell(&format!("exec {}", second.display()));
    symbolizer.observe(old);
    symbolizer.observe(new);
    assert_eq!(names(&mut symbolizer, old, alpha), ["alpha"]);
    assert_eq!(
        names(&mut symbolizer, new, program.value("alpha")),
        ["omega"]
    );
    assert!(symbolizer.problems().is_empty());
}

/// The first look comes after `execve`: the sample was of an image that nobody saw.
#[test]
fn an_image_seen_too_late_is_not_mistaken_for_its_successor() {
    if let Some(reason) = needs() {
        skip!("{reason}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("program");
    compile("cc", "program.c", &path, &["-O1"]);
    let program = Program::start(&path);
    let alpha = program.value("alpha");
    let (old, new) = (
        program.key(),
        ProcessKey {
            exec_id: 2,
            ..program.key()
        },
    );
    for order in [[old, new], [new, old]] {
        let mut symbolizer = symbolizer();
        for key in order {
            symbolizer.observe(key);
        }
        assert_eq!(names(&mut symbolizer, new, alpha), ["alpha"]);
        assert_eq!(
            names(&mut symbolizer, old, alpha),
            [format!("[exited+{alpha:#x}]")]
        );
        assert_eq!(symbolizer.problems().count(Problem::ProcessGone), 1);
    }
}

#[test]
fn limits_on_files_and_processes_are_counted() {
    if let Some(reason) = needs() {
        skip!("{reason}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("program");
    compile("cc", "program.c", &path, &["-O1", "-no-pie", "-static"]);
    let programs = [
        Program::start(&path),
        Program::start(&path),
        Program::start(&path),
    ];
    let mut symbolizer = Symbolizer::new(Options {
        max_files: 1,
        max_processes: 2,
        ..Options::default()
    });
    for program in &programs {
        symbolizer.observe(program.key());
    }
    // Two processes of the same program: one file.
    assert_eq!(symbolizer.held(), (1, 2));
    assert_eq!(symbolizer.problems().count(Problem::TooManyProcesses), 1);
    let other = ProcessKey {
        pid: std::process::id(),
        exec_id: 0,
    };
    symbolizer.forget(programs[0].key());
    symbolizer.observe(other);
    assert!(symbolizer.problems().count(Problem::TooManyFiles) >= 1);
    assert_eq!(
        names(
            &mut symbolizer,
            programs[1].key(),
            programs[1].value("alpha")
        ),
        ["alpha"]
    );
}

/// The kernel announces a process that it samples within `execve`, and again when that is done.
#[test]
fn a_process_seen_within_execve_is_looked_at_again() {
    let proc_root = tempfile::tempdir().unwrap();
    let folder = proc_root.path().join("7");
    std::fs::create_dir(&folder).unwrap();
    let write = |start_code: u64, maps: &str| {
        let stat = format!(
            "7 (new) R 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 100 200 300 {start_code} 8192 140720000 0 0"
        );
        std::fs::write(folder.join("stat"), stat).unwrap();
        std::fs::write(folder.join("maps"), maps).unwrap();
        std::fs::write(folder.join("mountinfo"), "").unwrap();
    };
    let mut symbolizer = Symbolizer::new(Options {
        proc_root: proc_root.path().to_owned(),
        ..Options::default()
    });
    let key = ProcessKey { pid: 7, exec_id: 3 };
    let stack = "7fff0000-7fff9000 rw-p 00000000 00:00 0 [stack]\n";
    write(0, stack);
    symbolizer.observe(key);
    write(4096, &format!("1000-3000 r-xp 00000000 00:00 0 \n{stack}"));
    symbolizer.observe(key);
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(names(&mut symbolizer, key, 0x1800), ["[anon+0x1800]"]);
    assert_eq!(symbolizer.problems().iter().count(), 0);
}
