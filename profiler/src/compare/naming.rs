//! Files whose functions have other names in A than in B. Names are to be there soon after a recording, and of a large program on a
//! busy machine some come too late: its functions seem to come and go, and nothing has changed.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::series::FunctionKey;
use crate::analysis::names::Name;
use crate::model::{Frame, FrameKind, FrameTable, Module};

/// What the same code is called in both.
#[derive(Debug, Default)]
pub(super) struct Naming {
    /// Paths of files whose code is called otherwise.
    pub(super) files: BTreeSet<String>,
    /// What functions of theirs are called in either.
    functions: HashSet<String>,
}

/// What is at each address of each build: inlined functions are at that of the one they are part of.
type Places<'a> = HashMap<(&'a str, u64), BTreeSet<(&'a str, bool)>>;

impl Naming {
    /// Of two recordings. The same address of the same build is the same code; and a file that was not read in time has no build id and
    /// no name at all.
    pub(super) fn of(a: &FrameTable, b: &FrameTable) -> Self {
        let (places_a, places_b) = (places(a), places(b));
        let differs = places_a.iter().filter(|(place, names)| {
            let others = places_b.get(*place);
            others.is_some_and(|others| others != *names)
        });
        let builds: HashSet<&str> = differs.map(|((build, _), _)| *build).collect();
        let (read_a, read_b) = (read(a), read(b));
        let is_read_once = |path: &str| {
            let is_read = (read_a.get(path), read_b.get(path));
            matches!(is_read, (Some(a), Some(b)) if a != b)
        };
        let mut naming = Self::default();
        for table in [a, b] {
            for (frame, module) in of_files(table) {
                if builds.contains(&*module.build_id) || is_read_once(&module.path) {
                    naming.files.insert(module.path.to_string());
                    let name = Name::of_frame(frame);
                    naming.functions.insert(name.text.to_string());
                }
            }
        }
        naming
    }

    /// Whether nobody can tell a function of this name in A from one of another name in B.
    pub(super) fn is_unsure(&self, key: &FunctionKey) -> bool {
        !key.kernel && self.functions.contains(&key.name)
    }
}

fn places(table: &FrameTable) -> Places<'_> {
    let mut places = Places::new();
    for (frame, module) in of_files(table).filter(|(_, module)| !module.build_id.is_empty()) {
        let names = places.entry((&*module.build_id, frame.address));
        let names = names.or_default();
        names.insert((&*frame.function, frame.inlined));
    }
    places
}

/// Paths of files, and whether anything of them has a name.
fn read(table: &FrameTable) -> HashMap<&str, bool> {
    let mut read = HashMap::new();
    for (frame, module) in of_files(table) {
        // Without one, it is `[file+0x2a]`.
        let has_name = !(frame.function.starts_with('[') && frame.function.contains("+0x"));
        *read.entry(&*module.path).or_default() |= has_name;
    }
    read
}

/// Frames of programs and libraries.
fn of_files(table: &FrameTable) -> impl Iterator<Item = (&Frame, &Module)> {
    let frames = table.frames().iter();
    frames.filter_map(|frame| {
        let module = table.module(frame.module?);
        let is_file = frame.kind == FrameKind::User && module.path.starts_with('/');
        is_file.then_some((frame, module))
    })
}

#[cfg(test)]
mod tests {
    use super::Naming;
    use crate::compare::series::FunctionKey;
    use crate::model::{Frame, FrameKind, FrameTable, Module, StateGroup};

    fn table(frames: &[(&str, &str, u64, bool)]) -> FrameTable {
        let mut table = FrameTable::default();
        for (build_id, function, address, inlined) in frames {
            // A path where there is no build id.
            let (path, build_id) = match *build_id {
                "" => ("[jit]", ""),
                it if it.starts_with('/') => (it, ""),
                it => ("/bin/program", it),
            };
            let module = table.intern_module(Module {
                path: path.into(),
                build_id: build_id.into(),
            });
            table.intern(Frame {
                function: (*function).into(),
                kind: FrameKind::User,
                module: Some(module),
                address: *address,
                inlined: *inlined,
                file: None,
                line: 0,
            });
        }
        table
    }

    fn key(name: &str, kernel: bool) -> FunctionKey {
        FunctionKey {
            group: StateGroup::OnCpu,
            name: name.to_owned(),
            kernel,
        }
    }

    #[test]
    fn the_same_code_under_two_names_says_nothing_of_its_file() {
        let a = table(&[
            ("one", "main", 10, false),
            ("one", "work", 20, false),
            ("two", "read", 10, false),
            ("old", "serve", 10, false),
            ("", "jitted", 10, false),
        ]);
        let b = table(&[
            ("one", "[one+0xa]", 10, false),
            ("one", "[one+0x1e]", 30, false),
            ("two", "read", 10, false),
            ("two", "write", 30, false),
            ("new", "start", 10, false),
            ("", "compiled", 10, false),
        ]);
        let naming = Naming::of(&a, &b);
        assert_eq!(Vec::from_iter(&naming.files), ["/bin/program"]);
        for name in ["main", "work", "[one+0xa]", "[one+0x1e]"] {
            assert!(naming.is_unsure(&key(name, false)), "{name}");
            assert!(!naming.is_unsure(&key(name, true)), "{name}");
        }
        for name in ["read", "write", "serve", "start", "jitted", "compiled"] {
            assert!(!naming.is_unsure(&key(name, false)), "{name}");
        }
    }

    #[test]
    fn a_file_that_was_not_read_in_one_of_them_says_nothing() {
        let a = table(&[("/bin/f", "main", 10, false), ("/bin/f", "f", 20, false)]);
        let b = table(&[("/bin/f", "start", 10, false), ("/bin/f", "f", 30, false)]);
        assert!(Naming::of(&a, &b).files.is_empty());
        let b = table(&[("/bin/f", "[f+0x7a]", 122, false)]);
        let naming = Naming::of(&a, &b);
        for name in ["main", "f", "[f+0x7a]"] {
            assert!(naming.is_unsure(&key(name, false)), "{name}");
        }
        assert_eq!(Vec::from_iter(&naming.files), ["/bin/f"]);
        assert!(Naming::of(&b, &b).files.is_empty());
        // Some functions have none.
        let some = [
            ("/bin/f", "[f+0x7a]", 122, false),
            ("/bin/f", "f", 20, false),
        ];
        assert!(Naming::of(&a, &table(&some)).files.is_empty());
    }

    #[test]
    fn what_is_inlined_is_a_name_too() {
        let a = table(&[("one", "f", 10, false), ("one", "g", 10, true)]);
        let b = table(&[("one", "f", 10, false)]);
        assert!(Naming::of(&a, &b).is_unsure(&key("f", false)));
        assert!(Naming::of(&a, &a).files.is_empty());
    }
}
