//! Outside its directories and the tables of views, no file names a view: neither its module, nor its types and maps, nor its
//! id in a string.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::paths;

/// The sources of both halves; `views` below each has a directory for every view, and a table that names them.
const HALVES: [&str; 2] = ["profiler/src", "profiler-ebpf/src"];

/// Who may name a view all the same, and why: the view, a path, the reason.
const MAY_NAME: [(&str, &str, &str); 22] = [
    (
        "syscalls",
        "profiler/src/analysis/doctor/",
        "rules judge by the figures of views",
    ),
    ("limits", "profiler/src/analysis/doctor/", "the same"),
    (
        "isolation",
        "profiler/src/analysis/doctor/rules/",
        "a rule about what isolation costs, which recordings tell from their own samples",
    ),
    ("workload", "profiler/src/analysis/doctor/", "the same"),
    ("moments", "profiler/src/analysis/doctor/", "the same"),
    ("psi", "profiler/src/analysis/doctor/", "the same"),
    (
        "limits",
        "profiler/src/output/doctor.rs",
        "a container's limits stand in its heading",
    ),
    (
        "moments",
        "profiler/src/output/report/threads.rs",
        "the longest run of each name stands beside its states",
    ),
    (
        "moments",
        "profiler/src/aggregate/",
        "who held locks has frames, which are named with those of samples",
    ),
    (
        "moments",
        "profiler/src/collect/samples.rs",
        "the same: they come among the rows of samples",
    ),
    (
        "syscalls",
        "profiler/src/cli/syscalls/",
        "the command that shows nothing but this view",
    ),
    (
        "syscalls",
        "profiler/src/cli/seccomp/",
        "the command that makes profiles of what it counts",
    ),
    (
        "syscalls",
        "profiler/src/seccomp/",
        "the same: its figures by key to the rules of a profile",
    ),
    (
        "syscalls",
        "profiler/src/output/flamegraph/graph.rs",
        "the flame graph by system call, of the ledger's stacks, is called so, too",
    ),
    (
        "syscalls",
        "profiler/src/store/directory.rs",
        "that graph's files",
    ),
    (
        "isolation",
        "profiler/src/analysis/isolation/marks.rs",
        "names of all our programs, which are told from those of others",
    ),
    (
        "syscalls",
        "profiler/src/cli/report.rs",
        "`--calibrate` multiplies what a filter costs by the number of calls",
    ),
    (
        "psi",
        "profiler/src/analysis/isolation/table.rs",
        "the kernel's functions, whose names begin so",
    ),
    (
        "isolation",
        "profiler/src/compare/metrics/",
        "figures of recordings, which tell it from their own samples; the view is the agent's",
    ),
    (
        "isolation",
        "profiler/src/compare/between_runs.rs",
        "the same figures",
    ),
    (
        "isolation",
        "profiler/src/output/",
        "the same, in the report and as a flame graph",
    ),
    (
        "isolation",
        "profiler/src/store/directory.rs",
        "that graph's file",
    ),
];

/// How types and maps are declared.
const OWN: &[&str] = &["struct", "enum", "trait", "type", "static"];
/// The same, and what else may have a name of that form.
const ANY: &[&str] = &["struct", "enum", "trait", "type", "static", "const"];

/// A source file without comments and tests.
struct Source {
    path: String,
    code: String,
}

fn is_of_tests(name: &str) -> bool {
    matches!(name, "tests" | "tests.rs" | "toy")
}

fn sources(root: &Path, directory: &str, found: &mut Vec<Source>) {
    for entry in fs::read_dir(root.join(directory)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{directory}/{name}");
        if is_of_tests(&name) {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            sources(root, &path, found);
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(entry.path()).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            let lines = code.lines();
            let lines = lines.filter(|line| !line.trim_start().starts_with("//"));
            found.push(Source {
                path,
                code: lines.collect::<Vec<_>>().join("\n"),
            });
        }
    }
}

/// The words of a text: what identifiers are made of.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.filter(|word| !word.is_empty())
}

/// Variants of a text's enums, each of which begins a line of its own.
fn variants(text: &str) -> BTreeSet<&str> {
    let bodies = text.split("enum ").skip(1).map(|rest| {
        let end = rest.find("\n}").unwrap_or(rest.len());
        &rest[..end]
    });
    let lines = bodies.flat_map(|body| body.lines().skip(1));
    lines.filter_map(|line| words(line).next()).collect()
}

/// What a text declares by one of these words, as far as it has the form of a type's, a constant's or a static's name.
fn declared<'a>(text: &'a str, words_of: &'static [&'static str]) -> BTreeSet<&'a str> {
    let declared = text.lines().filter_map(|line| {
        let line = line.trim_start();
        let line = match line.strip_prefix("pub") {
            Some(rest) => rest.split_once(' ')?.1,
            None => line,
        };
        let (what, rest) = line.split_once(' ')?;
        words(rest).next().filter(|_| words_of.contains(&what))
    });
    declared
        .filter(|name| name.starts_with(|c: char| c.is_ascii_uppercase()))
        .collect()
}

/// Whether a text goes into the module `views::VIEW`, alone or in braces, or into what a thread's record has of the view.
fn enters(text: &str, view: &str) -> bool {
    let modules = text.match_indices("views::");
    let mut all = modules.chain(text.match_indices(".views."));
    all.any(|(at, found)| {
        let rest = &text[at + found.len()..];
        let rest = match rest.strip_prefix('{') {
            Some(list) => &list[..list.find(';').unwrap_or(list.len())],
            None => {
                &rest[..rest
                    .find(|c: char| !c.is_alphanumeric() && c != '_')
                    .unwrap_or(0)]
            }
        };
        words(rest).any(|word| word == view)
    })
}

/// What a text names of a view, whose types and maps are its `own`.
fn named_in(code: &str, view: &str, own: &BTreeSet<&str>) -> BTreeSet<String> {
    let plain = code
        .replace("\\\\", "")
        .replace("\\\"", "")
        .replace("'\"'", "");
    let words = plain.split('"').step_by(2).flat_map(words);
    let mut found: BTreeSet<String> = words
        .filter(|word| own.contains(word))
        .map(str::to_owned)
        .collect();
    if enters(code, view) {
        found.insert(format!("views::{view}"));
    }
    let id = format!("\"{view}");
    if code.contains(&id) {
        found.insert(id);
    }
    found
}

#[test]
fn each_way_to_name_a_view_is_found() {
    let own = declared(
        "pub(super) struct Toy {\nenum Game {\nconst OFF: u32 = 1;",
        OWN,
    );
    assert_eq!(own, ["Game", "Toy"].into());
    let named = |code| named_in(code, "toys", &own).into_iter().collect::<Vec<_>>();
    assert_eq!(named("use crate::views::toys::play;"), ["views::toys"]);
    assert_eq!(
        named("use crate::views::{\n    self,\n    toys::play,\n};"),
        ["views::toys"]
    );
    assert_eq!(named("thread.views.toys.get()"), ["views::toys"]);
    assert_eq!(named("row.measured.get::<Toy>()"), ["Toy"]);
    assert_eq!(named("id.starts_with(\"toys.\")"), ["\"toys"]);
    assert!(named("views::find(toys); say(\"a Toy\")").is_empty());
    assert_eq!(
        variants("enum Game {\n    Chess(u32),\n    Go,\n}\nGame"),
        ["Chess", "Go"].into()
    );
}

#[test]
fn nobody_else_names_a_view() {
    let root = paths::root();
    let mut all = Vec::new();
    for half in HALVES {
        sources(&root, half, &mut all);
    }
    assert!(all.len() > 300, "{} files", all.len());
    let mut views = BTreeSet::new();
    for half in HALVES {
        for entry in fs::read_dir(root.join(half).join("views")).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if entry.file_type().unwrap().is_dir() && !is_of_tests(&name) {
                views.insert(name);
            }
        }
    }
    assert!(views.len() >= 3, "{views:?}");
    let mut named: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut unused: BTreeSet<_> = MAY_NAME.iter().collect();
    for view in &views {
        let of_view = HALVES.map(|half| format!("{half}/views/{view}/"));
        let tables = HALVES.map(|half| format!("{half}/views/mod.rs"));
        let (own, others): (Vec<&Source>, Vec<&Source>) = all.iter().partition(|source| {
            of_view
                .iter()
                .any(|directory| source.path.starts_with(directory))
        });
        // A name that somebody else has as well says nothing.
        let elsewhere = others.iter().flat_map(|it| {
            let variants = variants(&it.code);
            declared(&it.code, ANY).into_iter().chain(variants)
        });
        let elsewhere: BTreeSet<&str> = elsewhere.collect();
        let own: BTreeSet<&str> = own.iter().flat_map(|it| declared(&it.code, OWN)).collect();
        let own: BTreeSet<&str> = own.difference(&elsewhere).copied().collect();
        for source in others.iter().filter(|it| !tables.contains(&it.path)) {
            let found = named_in(&source.code, view, &own);
            if found.is_empty() {
                continue;
            }
            let may = MAY_NAME
                .iter()
                .find(|(of, path, _)| of == view && source.path.starts_with(path));
            match may {
                Some(may) => {
                    unused.remove(may);
                }
                None => {
                    let found: Vec<String> = found.into_iter().collect();
                    let lines = named.entry(&source.path).or_default();
                    lines.push(format!("{view}: {}", found.join(", ")));
                }
            }
        }
    }
    assert!(named.is_empty(), "files that name a view: {named:#?}");
    assert!(unused.is_empty(), "they name none any more: {unused:#?}");
}
