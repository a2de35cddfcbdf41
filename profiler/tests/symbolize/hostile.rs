//! Mapped files that their owner changes, or made absurd, while a process maps them.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ctprof::symbolize::Problem;

use crate::native::symbol;
use crate::support::{Program, compile, names, needs, skip, symbolizer};

struct Mapped {
    program: Program,
    library: PathBuf,
    _dir: tempfile::TempDir,
}

impl Mapped {
    /// A process that maps a library, as changed by `prepare`.
    fn start(prepare: impl FnOnce(&Path)) -> Result<Self, &'static str> {
        if let Some(reason) = needs() {
            return Err(reason);
        }
        let dir = tempfile::tempdir().unwrap();
        let (path, library) = (dir.path().join("program"), dir.path().join("evil.so"));
        compile("cc", "program.c", &path, &["-O1"]);
        compile("cc", "library.c", &library, &["-O1", "-shared", "-fPIC"]);
        prepare(&library);
        let mut program = Program::start(&path);
        program.tell(&format!("map {}", library.display()));
        Ok(Self {
            program,
            library,
            _dir: dir,
        })
    }

    /// The name of the byte at `offset` of the library, and what went wrong.
    fn name(&self, offset: u64) -> (String, Vec<(Problem, u64)>) {
        let mut symbolizer = symbolizer();
        let start = Instant::now();
        let address = self.program.value("mapped") + offset;
        let name = names(&mut symbolizer, self.program.key(), address).join(" ");
        assert!(
            start.elapsed() < Duration::from_secs(1),
            "{:?}",
            start.elapsed()
        );
        (name, symbolizer.problems().iter().collect())
    }

    fn writable(&self) -> File {
        OpenOptions::new().write(true).open(&self.library).unwrap()
    }
}

macro_rules! mapped {
    ($prepare:expr) => {
        match Mapped::start($prepare) {
            Ok(mapped) => mapped,
            Err(reason) => skip!("{reason}"),
        }
    };
}

/// Reading a truncated mapping would be SIGBUS: the whole recording would be lost.
#[test]
fn a_file_truncated_while_it_is_mapped() {
    let mapped = mapped!(|_| ());
    let file = mapped.writable();
    file.set_len(100).unwrap();
    assert_eq!(
        mapped.name(0x10),
        (
            "[evil.so+0x10]".to_owned(),
            vec![(Problem::FileMalformed, 1)]
        )
    );
    file.set_len(0).unwrap();
    assert_eq!(mapped.name(0x10), ("[evil.so+0x10]".to_owned(), vec![]));
}

/// A symbol table of nine gigabytes, most of it a hole: what the dynamic table names keeps its name.
#[test]
fn a_sparse_file_with_an_enormous_symbol_table() {
    let mut exported = 0;
    let mapped = mapped!(|library| {
        exported = symbol(library, "from_library");
        let bytes = std::fs::read(library).unwrap();
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let table = usize::try_from(word(40)).unwrap();
        let count = usize::from(u16::from_le_bytes(bytes[60..62].try_into().unwrap()));
        let is_symbols = |at: &usize| bytes[at + 4..at + 8] == 2u32.to_le_bytes();
        let section = (0..count)
            .map(|number| table + number * 64)
            .find(is_symbols)
            .unwrap();
        let file = OpenOptions::new().write(true).open(library).unwrap();
        file.write_all_at(&(9u64 << 30).to_le_bytes(), section as u64 + 32)
            .unwrap();
        file.set_len(10 << 30).unwrap();
    });
    let (name, problems) = mapped.name(0x10);
    assert_eq!(name, "[evil.so+0x10]");
    assert_eq!(problems, [(Problem::FileTooLarge, 1)]);
    assert_eq!(mapped.name(exported).0, "from_library");
}

/// Not ELF at all, as what a Windows emulator or a JIT compiler maps: no names, and nothing wrong.
#[test]
fn a_mapped_file_of_another_kind() {
    let mapped = mapped!(|library| std::fs::write(library, vec![b'M'; 8192]).unwrap());
    assert_eq!(mapped.name(0x123), ("[evil.so+0x123]".to_owned(), vec![]));
}

/// Control characters in a file's name do not reach the output.
#[test]
fn a_mapped_file_with_a_hostile_name() {
    let mut mapped = mapped!(|_| ());
    let hostile = mapped.library.with_file_name("a\x1b[2J;<b>");
    std::fs::write(&hostile, vec![b'M'; 8192]).unwrap();
    mapped.program.tell(&format!("map {}", hostile.display()));
    assert_eq!(mapped.name(0x10).0, "[a?[2J;<b>+0x10]");
}
