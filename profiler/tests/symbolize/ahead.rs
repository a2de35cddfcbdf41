//! Files read side by side give the names that they give one after the other.

use std::collections::BTreeMap;
use std::path::Path;

use ctprof::model::{FrameTable, ProcessKey};
use ctprof::symbolize::{Problem, Problems};
use object::{Object as _, ObjectSymbol as _};

use crate::support::{Program, compile, names, needs, skip, symbolizer};

/// Programs, each a file of its own.
const PROGRAMS: usize = 7;
const ADDRESSES: [&str; 4] = ["alpha", "hidden", "main_caller", "inlined"];

/// Every name, with its file and line, and what went wrong.
fn name_all(
    wanted: &BTreeMap<ProcessKey, Vec<u64>>,
    is_ahead: bool,
) -> (Vec<(String, u32)>, Problems) {
    let (mut symbolizer, mut table) = (symbolizer(), FrameTable::default());
    for process in wanted.keys() {
        symbolizer.observe(*process);
    }
    if is_ahead {
        symbolizer.read_ahead(wanted, None);
    }
    let mut all = Vec::new();
    for (process, addresses) in wanted {
        for resolved in symbolizer.user(*process, addresses, &mut table) {
            for frame in &resolved.frames {
                let frame = table.frame(*frame);
                let file = frame.file.as_deref().unwrap_or_default();
                all.push((format!("{} {file}", frame.function), frame.line));
            }
        }
    }
    (all, symbolizer.problems().clone())
}

#[test]
fn reading_ahead_changes_no_name_and_no_problem() {
    if let Some(reason) = needs() {
        skip!("{reason}");
    }
    let dir = tempfile::tempdir().unwrap();
    let programs: Vec<Program> = (0..PROGRAMS)
        .map(|number| {
            let path = dir.path().join(format!("program-{number}"));
            // One in two has lines.
            let flags: &[&str] = if number % 2 == 0 {
                &["-O1", "-g"]
            } else {
                &["-O1"]
            };
            compile("cc", "program.c", &path, flags);
            Program::start(&path)
        })
        .collect();
    let mut wanted: BTreeMap<ProcessKey, Vec<u64>> = programs
        .iter()
        .map(|program| (program.key(), ADDRESSES.map(|it| program.value(it)).into()))
        .collect();
    let last = dir.path().join("evil.so");
    compile("cc", "library.c", &last, &["-O1", "-shared", "-fPIC"]);
    let mut mapping = Program::start(&dir.path().join("program-0"));
    mapping.tell(&format!("map {}", last.display()));
    // Half a header.
    let file = std::fs::OpenOptions::new().write(true).open(&last).unwrap();
    file.set_len(32).unwrap();
    wanted.insert(mapping.key(), vec![mapping.value("mapped") + 0x10]);

    let (one_by_one, ahead) = (name_all(&wanted, false), name_all(&wanted, true));
    assert_eq!(one_by_one, ahead);
    let (named, problems) = ahead;
    let with = |name: &str, has_line: bool| {
        let all = named.iter().filter(|(found, line)| {
            found.split(' ').next() == Some(name) && (*line > 0) == has_line
        });
        all.count()
    };
    assert_eq!(with("alpha", true), PROGRAMS.div_ceil(2), "{named:?}");
    assert_eq!(with("alpha", false), PROGRAMS / 2, "{named:?}");
    assert_eq!(problems.count(Problem::FileMalformed), 1, "{problems:?}");
}

/// Where in the file a function is: this linker puts code at addresses that are also its offsets.
fn offset_of(function: &str, library: &Path) -> u64 {
    let bytes = std::fs::read(library).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let mut symbols = file.dynamic_symbols();
    let symbol = symbols.find(|it| it.name() == Ok(function));
    symbol.unwrap().address()
}

#[test]
fn what_was_read_ahead_is_there_when_the_file_is_not() {
    if let Some(reason) = needs() {
        skip!("{reason}");
    }
    let dir = tempfile::tempdir().unwrap();
    let (path, library) = (dir.path().join("program"), dir.path().join("library.so"));
    compile("cc", "program.c", &path, &["-O1"]);
    compile("cc", "library.c", &library, &["-O1", "-shared", "-fPIC"]);
    let offset = offset_of("from_library", &library);
    let mut program = Program::start(&path);
    program.tell(&format!("map {}", library.display()));
    let address = program.value("mapped") + offset;
    let mut symbolizer = symbolizer();
    symbolizer.observe(program.key());
    symbolizer.read_ahead(&BTreeMap::from([(program.key(), vec![address])]), None);
    std::fs::File::create(&library).unwrap();
    assert_eq!(
        names(&mut symbolizer, program.key(), address),
        ["from_library"]
    );
}
