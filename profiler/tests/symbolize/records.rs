//! Processes that nobody saw alive, by side-band records.

use ctprof::model::{CodeFile, Happened, MappedCode, SideBand};

use crate::support::{Program, compile, names, needs, skip, symbolizer};

/// What the kernel would have written down of a process: its `execve`, and what it maps now.
fn records(pid: u32) -> Vec<SideBand> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let hex = |text: &str| u64::from_str_radix(text, 16).unwrap();
    let mapped = maps.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let path = fields.get(5).filter(|path| path.starts_with('/'))?;
        let (start, end) = fields[0].split_once('-')?;
        let (major, minor) = fields[3].split_once(':')?;
        let number = |text| u32::from_str_radix(text, 16).unwrap();
        fields[1].contains('x').then(|| {
            Happened::Mapped(MappedCode {
                start: hex(start),
                end: hex(end),
                offset: hex(fields[2]),
                file: CodeFile::Inode {
                    device: (number(major), number(minor)),
                    inode: fields[4].parse().unwrap(),
                    generation: 0,
                },
                path: (*path).into(),
            })
        })
    });
    let all = [Happened::Executed].into_iter().chain(mapped);
    let all = all
        .zip(1..)
        .map(|(what, at_ns)| SideBand { at_ns, pid, what });
    all.collect()
}

/// Nobody has looked at it: the kernel's records say what it mapped.
#[test]
fn a_process_that_nobody_saw_is_named_by_records() {
    if let Some(reason) = needs() {
        skip!("{reason}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("program");
    compile("cc", "program.c", &path, &["-O1"]);
    let mut program = Program::start(&path);
    let (key, alpha) = (program.key(), program.value("alpha"));
    let records = records(key.pid);
    program.stop();
    let at_ns = records.last().unwrap().at_ns;
    let mut symbolizer = symbolizer();
    symbolizer.happened(records.clone());
    symbolizer.notice_at(key, None, at_ns);
    symbolizer.read_ahead(&[(key, vec![alpha])].into(), None);
    assert_eq!(names(&mut symbolizer, key, alpha), ["alpha"]);
    assert!(symbolizer.problems().is_empty());

    // A file that took its place before anyone could open it is not it.
    compile(
        "cc",
        "program.c",
        &dir.path().join("other"),
        &["-O1", "-Dalpha=omega"],
    );
    std::fs::rename(dir.path().join("other"), &path).unwrap();
    let mut symbolizer = self::symbolizer();
    symbolizer.happened(records);
    symbolizer.notice_at(key, None, at_ns);
    symbolizer.read_ahead(&[(key, vec![alpha])].into(), None);
    let name = names(&mut symbolizer, key, alpha);
    assert!(name[0].starts_with("[program+0x"), "{name:?}");
}

/// A thread that is not the first one has a folder of its own, through which all can be seen.
#[test]
fn a_process_without_its_first_thread_has_names() {
    if let Some(reason) = needs() {
        skip!("{reason}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("program");
    compile("cc", "program.c", &path, &["-O1"]);
    let mut program = Program::start(&path);
    program.tell("leave");
    assert_eq!(
        names(&mut symbolizer(), program.key(), program.value("alpha")),
        ["alpha"]
    );
}
