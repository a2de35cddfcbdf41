//! Go programs, checked at thousands of addresses against what the Go runtime in the program itself says.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use ctprof::model::{FrameTable, ProcessKey};
use ctprof::symbolize::{Options, Symbolizer};

use crate::support::{fixture, has, run, skip, symbolizer};

/// A function, its file and the line.
type Place = (String, String, u32);

/// A running program, and what it says about itself: innermost function first for each address.
struct Walk {
    child: Child,
    said: Vec<(u64, Vec<Place>)>,
}

impl Walk {
    fn start(path: &Path) -> Self {
        let mut child = Command::new(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let lines = lines.map(Result::unwrap).take_while(|line| line != "ready");
        let said = lines.skip(1).map(|line| {
            let (address, places) = line.split_once(' ').unwrap();
            let places = places.split('\t').map(|place| {
                let fields: Vec<_> = place.split('|').collect();
                (
                    fields[0].to_owned(),
                    // C code that Go's linker linked has no file.
                    fields[1].replace('?', ""),
                    fields[2].parse().unwrap(),
                )
            });
            (u64::from_str_radix(address, 16).unwrap(), places.collect())
        });
        // The runtime has no name for the first function of its table, nor for gaps: nothing to compare there.
        let said = said.filter(|(_, places): &(u64, Vec<Place>)| {
            places.iter().all(|(name, _, _)| !name.is_empty())
        });
        Self {
            said: said.collect(),
            child,
        }
    }

    fn key(&self) -> ProcessKey {
        ProcessKey {
            pid: self.child.id(),
            exec_id: 1,
        }
    }
}

impl Drop for Walk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn build(output: &Path, linker: &str, flags: &[&str]) {
    let command = |linker: &str| {
        let mut command = Command::new("go");
        command
            .current_dir(fixture("go"))
            .args(["build", "-o"])
            .arg(output);
        command
            .arg(format!("-ldflags={linker}"))
            .args(flags)
            .arg(".");
        command
    };
    // Needed since Go 1.23 for the use of a function of the runtime, and unknown before.
    let checked = command(&format!("-checklinkname=0 {linker}"))
        .output()
        .unwrap();
    if !checked.status.success() {
        run(&mut command(linker));
    }
}

/// What the symbolizer says at the same addresses.
fn resolve(symbolizer: &mut Symbolizer, walk: &Walk) -> Vec<Vec<Place>> {
    let addresses: Vec<u64> = walk.said.iter().map(|(address, _)| *address).collect();
    let mut table = FrameTable::default();
    let resolved = symbolizer.user(walk.key(), &addresses, &mut table);
    let places = resolved.iter().map(|resolved| {
        let frames = resolved.frames.iter().map(|id| table.frame(*id));
        let count = resolved.frames.len();
        frames
            .enumerate()
            .map(|(at, frame)| {
                assert_eq!(frame.inlined, at + 1 < count);
                let file = frame.file.as_deref().unwrap_or_default();
                (frame.function.to_string(), file.to_owned(), frame.line)
            })
            .collect()
    });
    places.collect()
}

/// Before Go 1.21, the runtime left out a wrapper around an inlined function only if it was inlined itself.
fn is_kept_wrapper(said: &[Place], found: &[Place]) -> bool {
    said.split_last().is_some_and(|(_, rest)| rest == found)
}

fn keeps_wrappers() -> bool {
    let output = Command::new("go")
        .args(["env", "GOVERSION"])
        .output()
        .unwrap();
    let version = String::from_utf8(output.stdout).unwrap();
    ["go1.18", "go1.19", "go1.20"]
        .iter()
        .any(|old| version.starts_with(old))
}

fn compare(linker: &str, flags: &[&str]) {
    if !has("go") {
        skip!("no Go compiler");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("walk");
    build(&path, linker, flags);
    let walk = Walk::start(&path);
    let mut symbolizer = symbolizer();
    let found = resolve(&mut symbolizer, &walk);
    let inlined = walk
        .said
        .iter()
        .filter(|(_, places)| places.len() > 1)
        .count();
    assert!(walk.said.len() > 10_000, "{}", walk.said.len());
    assert!(inlined > 1_000, "{inlined}");
    let keeps = keeps_wrappers();
    let different: Vec<_> = walk
        .said
        .iter()
        .zip(&found)
        .filter(|((_, said), found)| said != *found && !(keeps && is_kept_wrapper(said, found)))
        .collect();
    assert!(
        different.is_empty(),
        "{} of {} differ, such as {:#?}",
        different.len(),
        found.len(),
        &different[..different.len().min(3)]
    );
    assert!(
        symbolizer.problems().is_empty(),
        "{:?}",
        symbolizer.problems()
    );
}

#[test]
fn with_symbols() {
    compare("", &[]);
}

#[test]
fn stripped() {
    compare("-s -w", &[]);
}

#[test]
fn stripped_and_position_independent() {
    compare("-s -w", &["-buildmode=pie"]);
}

#[test]
fn stripped_and_linked_by_the_system_linker() {
    if !has("cc") {
        skip!("no C compiler");
    }
    compare("-s -w -linkmode=external", &[]);
    compare("-s -w -linkmode=external", &["-buildmode=pie"]);
}

#[test]
fn goroutines_begin_in_roots_and_inlining_can_be_left_out() {
    if !has("go") {
        skip!("no Go compiler");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("walk");
    build(&path, "-s -w", &[]);
    let walk = Walk::start(&path);
    let mut symbolizer = Symbolizer::new(Options {
        inlined: false,
        ..Options::default()
    });
    let addresses: Vec<u64> = walk.said.iter().map(|(address, _)| *address).collect();
    let mut table = FrameTable::default();
    let resolved = symbolizer.user(walk.key(), &addresses, &mut table);
    let mut roots = std::collections::BTreeSet::new();
    for ((_, said), resolved) in walk.said.iter().zip(&resolved) {
        assert_eq!(resolved.frames.len(), 1);
        let name = &table.frame(resolved.frames[0]).function;
        assert!(
            said.iter()
                .rev()
                .take(2)
                .any(|(said, _, _)| said == name.as_ref()),
            "{name}: {said:?}"
        );
        if resolved.is_root {
            roots.insert(name.to_string());
        }
    }
    // The walk steps over functions shorter than 64 bytes; these are longer, or aligned so that it meets them.
    assert!(roots.contains("runtime.rt0_go"), "{roots:?}");
    assert!(!roots.contains("main.main"), "{roots:?}");
    assert!(roots.len() < 20, "{roots:?}");
}
