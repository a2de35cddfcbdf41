//! The map in docs/architecture.md names every folder with code, and no other.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::paths;

/// Folders in which every folder with code is on the map.
const ROOTS: [&str; 3] = ["profiler-ebpf/src", "profiler/src", "xtask/src"];

/// Folders whose own table says what is below them.
const WITH_TABLE: [&str; 2] = ["profiler/src/views", "profiler-ebpf/src/views"];

/// The folders below this one that hold code which is not a test's.
fn folders(root: &Path, folder: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(root.join(folder)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() && name != "tests" {
            let folder = format!("{folder}/{name}");
            if !WITH_TABLE.contains(&folder.as_str()) {
                folders(root, &folder, found);
            }
            found.insert(folder);
        }
    }
}

#[test]
fn every_folder_is_on_the_map() {
    let root = paths::root();
    let text = fs::read_to_string(root.join("docs/architecture.md")).unwrap();
    let (_, map) = text.split_once("\n## Map\n").unwrap();
    let on_map: BTreeSet<String> = map
        .split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|code| code.strip_suffix('/'))
        .filter(|path| !ROOTS.contains(path) && ROOTS.iter().any(|root| path.starts_with(root)))
        .map(str::to_owned)
        .collect();
    let mut found = BTreeSet::new();
    for folder in ROOTS {
        folders(&root, folder, &mut found);
    }
    let missing: Vec<&String> = found.difference(&on_map).collect();
    let gone: Vec<&String> = on_map.difference(&found).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "docs/architecture.md: not on the map: {missing:?}; on the map and not there: {gone:?}"
    );
    assert!(found.len() > 50, "{} folders", found.len());
}
