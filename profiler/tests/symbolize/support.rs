//! Building programs, running them, and asking the symbolizer about them.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use ctprof::model::{Frame, FrameTable, ProcessKey};
use ctprof::symbolize::{Options, Symbolizer};

/// Ends the test early, with the reason on the terminal.
macro_rules! skip {
    ($($reason:tt)*) => {{
        eprintln!("skipped: {}", format_args!($($reason)*));
        return;
    }};
}
pub(crate) use skip;

/// The path of a fixture.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/symbolize")
        .join(name)
}

/// Whether a program can be run.
pub(crate) fn has(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .output()
        .or_else(|_| Command::new(program).arg("version").output())
        .is_ok()
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// What is missing to compile a program and to read the files that it maps.
pub(crate) fn needs() -> Option<&'static str> {
    if !has("cc") {
        return Some("no C compiler");
    }
    (!is_root()).then_some("not root: /proc/PID/map_files cannot be read")
}

/// Runs a command that has to succeed.
pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Compiles a fixture.
pub(crate) fn compile(compiler: &str, source: &str, output: &Path, flags: &[&str]) {
    run(Command::new(compiler)
        .arg(fixture(source))
        .args(flags)
        .arg("-o")
        .arg(output)
        .args(["-lpthread", "-ldl"]));
}

/// A running program that printed `name=hex` lines and `ready`.
pub(crate) struct Program {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    pub(crate) values: HashMap<String, u64>,
}

impl Program {
    pub(crate) fn start(path: &Path) -> Self {
        Self::spawn(&mut Command::new(path))
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut program = Self {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
            values: HashMap::new(),
        };
        program.wait_ready();
        program
    }

    /// Sends a line and waits until it is done.
    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
        self.wait_ready();
    }

    fn wait_ready(&mut self) {
        loop {
            let mut line = String::new();
            assert!(
                self.output.read_line(&mut line).unwrap() > 0,
                "program ended early"
            );
            match line.trim().split_once('=') {
                Some((name, value)) => {
                    let value = u64::from_str_radix(value, 16).unwrap();
                    self.values.insert(name.to_owned(), value);
                }
                None => {
                    assert_eq!(line.trim(), "ready");
                    return;
                }
            }
        }
    }

    pub(crate) fn value(&self, name: &str) -> u64 {
        self.values[name]
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn key(&self) -> ProcessKey {
        ProcessKey {
            pid: self.pid(),
            exec_id: 1,
        }
    }

    /// Ends the program and waits until it is gone.
    pub(crate) fn stop(&mut self) {
        drop(self.input.take());
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A symbolizer with default options.
pub(crate) fn symbolizer() -> Symbolizer {
    Symbolizer::new(Options::default())
}

/// The frames at one address, innermost first, and whether a thread starts there.
pub(crate) fn frames(
    symbolizer: &mut Symbolizer,
    key: ProcessKey,
    address: u64,
) -> (Vec<Frame>, bool) {
    let mut table = FrameTable::default();
    let resolved = symbolizer.user(key, &[address], &mut table);
    assert_eq!(resolved.len(), 1);
    let frames = resolved[0].frames.iter().map(|id| table.frame(*id).clone());
    (frames.collect(), resolved[0].is_root)
}

/// The function names at one address, innermost first.
pub(crate) fn names(symbolizer: &mut Symbolizer, key: ProcessKey, address: u64) -> Vec<String> {
    let (frames, _) = frames(symbolizer, key, address);
    frames
        .iter()
        .map(|frame| frame.function.to_string())
        .collect()
}

/// The path and build id of the module at one address.
pub(crate) fn module(
    symbolizer: &mut Symbolizer,
    key: ProcessKey,
    address: u64,
) -> (String, String) {
    let mut table = FrameTable::default();
    let resolved = symbolizer.user(key, &[address], &mut table);
    let module = table.frame(resolved[0].frames[0]).module.unwrap();
    let module = table.module(module);
    (module.path.to_string(), module.build_id.to_string())
}
