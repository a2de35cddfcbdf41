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

/// Renaming a file, or linking it, changes its inode, and what processes have mapped stays what it is.
#[test]
fn a_program_that_is_renamed_meanwhile_keeps_its_names() {
    if let Some(reason) = needs() {
        skip!("{reason}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("program");
    compile("cc", "program.c", &path, &["-O1"]);
    let program = Program::start(&path);
    let (key, alpha) = (program.key(), program.value("alpha"));
    for change in ["rename", "link", "mode", "delete"] {
        let mut symbolizer = symbolizer();
        symbolizer.observe(key);
        let other = dir.path().join("other");
        match change {
            "rename" => std::fs::rename(&path, &other).unwrap(),
            "link" => std::fs::hard_link(&other, &path).unwrap(),
            "mode" => {
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
                std::fs::set_permissions(&path, mode).unwrap();
            }
            _ => {
                std::fs::remove_file(&path).unwrap();
                std::fs::remove_file(&other).unwrap();
            }
        }
        symbolizer.look_again(
            [key],
            std::time::Instant::now() + std::time::Duration::from_secs(9),
        );
        let found = names(&mut symbolizer, key, alpha);
        assert_eq!(found, ["alpha"], "{change}");
        assert!(symbolizer.problems().is_empty(), "{change}");
    }
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

/// A thread that waits for one process' memory for ever keeps nobody else's names away.
#[test]
fn a_process_that_cannot_be_looked_at_holds_nothing_up() {
    let proc_root = tempfile::tempdir().unwrap();
    let process = |pid: u32| {
        let folder = proc_root.path().join(pid.to_string());
        std::fs::create_dir(&folder).unwrap();
        let stat = format!(
            "{pid} (it) R 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 100 200 300 4096 8192 140720000 0 0"
        );
        std::fs::write(folder.join("stat"), stat).unwrap();
        std::fs::write(folder.join("mountinfo"), "").unwrap();
        folder.join("maps")
    };
    let stuck: Vec<u32> = (100..110).collect();
    for pid in &stuck {
        // To open it waits for a writer, who never comes.
        let mode = rustix::fs::Mode::RUSR;
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, process(*pid), fifo, mode, 0).unwrap();
    }
    std::fs::write(process(7), "1000-3000 r-xp 00000000 00:00 0 \n").unwrap();
    let mut symbolizer = Symbolizer::new(Options {
        proc_root: proc_root.path().to_owned(),
        ..Options::default()
    });
    let key = |pid| ProcessKey { pid, exec_id: 3 };
    for pid in &stuck {
        symbolizer.notice(key(*pid), None);
    }
    symbolizer.observe(key(7));
    let soon = std::time::Instant::now() + std::time::Duration::from_millis(100);
    symbolizer.look_again(stuck.iter().map(|pid| key(*pid)), soon);
    let wanted = [(key(7), vec![0x1800]), (key(100), vec![0x1800])];
    symbolizer.read_ahead(&wanted.into(), Some(soon));
    assert_eq!(names(&mut symbolizer, key(7), 0x1800), ["[anon+0x1800]"]);
    assert_eq!(
        names(&mut symbolizer, key(100), 0x1800),
        ["[unknown+0x1800]"]
    );
    assert_eq!(
        symbolizer.problems().iter().collect::<Vec<_>>(),
        [(Problem::ProcessLate, stuck.len() as u64)]
    );
}
