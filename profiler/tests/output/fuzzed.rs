//! Recordings that somebody else has had in hand: their files, mutated, are read and reported.

use std::path::Path;

use ctprof::output::report::{self, Options};
use ctprof::output::{self, RecordingDir, reader};

use crate::fuzz::fuzz;
use crate::{report::text, synthetic};

/// Mutates one file of a recording that has everything.
fn fuzz_file(name: &'static str) {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("rec");
    let dir = RecordingDir::open(&path, false).unwrap();
    output::write_all(&dir, &synthetic::rich()).unwrap();
    let file = path.join(name);
    let original = std::fs::read(&file).unwrap();
    fuzz(&[original], move |bytes| {
        std::fs::write(&file, bytes).unwrap();
        check(&path);
        let _ = &temp;
    });
}

/// What can be read can be shown, in one piece and without harm to a terminal; what cannot says why, in a line.
fn check(path: &Path) {
    let view = match reader::read(path) {
        Ok(view) => view,
        Err(error) => {
            let said = error.to_string();
            assert!(!said.contains(char::is_control), "{said:?}");
            assert!(said.chars().count() < 2000, "{said:?}");
            return;
        }
    };
    let shown = text(&view, &Options::default());
    let strange = |c: char| c.is_control() && c != '\n';
    assert!(!shown.contains(strange), "{shown:?}");
    let mut json = Vec::new();
    report::print_json(&view, &Options::default(), &mut json).unwrap();
    let _: serde_json::Value = serde_json::from_slice(&json).unwrap();
}

#[test]
fn fuzz_summary() {
    fuzz_file("summary.json");
}

#[test]
fn fuzz_folded_stacks() {
    fuzz_file("stacks.folded");
}

#[test]
fn fuzz_folded_system_calls() {
    fuzz_file("syscalls.folded");
}
