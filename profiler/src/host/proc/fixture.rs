//! Hosts for tests: `tests/fixtures/host/NAME.tree`, unpacked into a folder of its own.
//!
//! A tree is text: `=== PATH` starts a file, `=== PATH -> TARGET` is a symbolic link, `\0` in a file is NUL.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use super::Host;

pub(crate) struct Fixture {
    /// Removed with the fixture.
    _dir: tempfile::TempDir,
    pub(crate) host: Host,
}

impl Fixture {
    pub(crate) fn new(name: &str) -> Self {
        let manifest = env!("CARGO_MANIFEST_DIR");
        let tree =
            fs::read_to_string(format!("{manifest}/tests/fixtures/host/{name}.tree")).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let host = Host::new(dir.path());
        let fixture = Self { _dir: dir, host };
        for entry in tree.split("\n=== ").skip(1) {
            let (head, content) = entry.split_once('\n').unwrap_or((entry, ""));
            match head.split_once(" -> ") {
                Some((path, target)) => {
                    let path = fixture.host.at(path);
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    symlink(target, path).unwrap();
                }
                None if content.is_empty() => fixture.write(head, ""),
                None => {
                    let newline = if content.ends_with("\\0") { "" } else { "\n" };
                    let content = content.trim_end_matches('\n').replace("\\0", "\0");
                    fixture.write(head, &(content + newline));
                }
            }
        }
        fixture
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.host.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn remove(&self, path: &str) {
        fs::remove_dir_all(self.host.at(path)).unwrap();
    }

    /// Inode number of a file or folder.
    pub(crate) fn inode(&self, path: &str) -> u64 {
        fs::symlink_metadata(self.host.at(path)).unwrap().ino()
    }
}
