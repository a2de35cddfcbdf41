//! A program without symbols, and what is said of it.

use super::server::Server;
use crate::support::{Program, compile, frames, module, run, symbolizer};
use ctprof::symbolize::debuginfod::{Keep, Servers, Settings};
use ctprof::symbolize::{Options, Problem, Symbolizer};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A program that runs without symbols, and its debug information, which is nowhere on this host.
pub(super) struct Stripped {
    pub(super) program: Program,
    pub(super) build_id: String,
    pub(super) debug: Vec<u8>,
    pub(super) dir: tempfile::TempDir,
}

impl Stripped {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (path, debug) = (dir.path().join("program"), dir.path().join("debug"));
        let flags = ["-O2", "-g", "-rdynamic", "-Wl,--build-id=sha1"];
        compile("cc", "program.c", &path, &flags);
        let mut objcopy = Command::new("objcopy");
        run(objcopy.arg("--only-keep-debug").arg(&path).arg(&debug));
        run(Command::new("strip").arg("-s").arg(&path));
        let bytes = std::fs::read(&debug).unwrap();
        std::fs::remove_file(&debug).unwrap();
        let program = Program::start(&path);
        let address = program.value("alpha");
        let (_, build_id) = module(&mut symbolizer(), program.key(), address);
        assert_eq!(build_id.len(), 40);
        Self {
            program,
            build_id,
            debug: bytes,
            dir,
        }
    }

    pub(super) fn settings(&self, servers: &[&Server]) -> Settings {
        Settings {
            servers: servers
                .iter()
                .map(|server| server.url.parse().unwrap())
                .collect(),
            folders: Vec::new(),
            cache: Some(self.dir.path().join("cache")),
            timeout: Duration::from_secs(30),
            max_bytes: 1 << 30,
            max_time: Duration::from_secs(60),
        }
    }

    /// Where its debug information is kept.
    pub(super) fn kept(&self) -> PathBuf {
        let cache = self.dir.path().join("cache");
        cache.join(&self.build_id).join("debuginfo")
    }

    /// What its addresses are called, with lines, and what went wrong.
    pub(super) fn named(&self, settings: Settings) -> Named {
        self.named_within(settings, Duration::from_secs(60))
    }

    pub(super) fn named_within(&self, settings: Settings, time: Duration) -> Named {
        let symbolizer = Symbolizer::new(Options {
            debuginfod: Some(Arc::new(Servers::new(settings, Keep::OnDisk))),
            ..Options::default()
        });
        self.named_by(symbolizer, time)
    }

    pub(super) fn named_by(&self, mut symbolizer: Symbolizer, time: Duration) -> Named {
        let key = self.program.key();
        symbolizer.observe(key);
        let addresses = [
            self.program.value("alpha"),
            self.program.value("hidden"),
            self.program.value("inlined") - 1,
        ];
        let began = Instant::now();
        let wanted = BTreeMap::from([(key, addresses.to_vec())]);
        symbolizer.read_ahead(&wanted, Some(began + time));
        let took = began.elapsed();
        let names = addresses.map(|address| {
            let (frames, _) = frames(&mut symbolizer, key, address);
            let frames = frames.iter();
            frames
                .map(|frame| (frame.function.to_string(), frame.line))
                .collect()
        });
        Named {
            names,
            problems: symbolizer.problems().iter().collect(),
            took,
        }
    }
}

/// Of `alpha`, which is exported, of `hidden`, which is not, and of what was inlined into `outer`.
pub(super) struct Named {
    pub(super) names: [Vec<(String, u32)>; 3],
    pub(super) problems: Vec<(Problem, u64)>,
    pub(super) took: Duration,
}

impl Named {
    pub(super) fn expect_all(&self) {
        assert_eq!(self.problems, []);
        let [alpha, hidden, inlined] = &self.names;
        let functions = |frames: &[(String, u32)]| {
            let names = frames.iter().map(|(name, _)| name.clone());
            names.collect::<Vec<String>>().join(" ")
        };
        assert_eq!(functions(alpha), "alpha");
        assert_eq!(functions(hidden), "hidden");
        assert!(hidden[0].1 > 0, "{hidden:?}");
        let expected = [("inner", 21), ("middle", 26), ("outer", 30)];
        let expected = expected.map(|(name, line)| (name.to_owned(), line));
        assert_eq!(*inlined, expected);
    }

    /// What is exported has its name all the same.
    pub(super) fn expect_only_exported(&self, problem: Problem) {
        assert_eq!(self.problems, [(problem, 1)]);
        let [alpha, hidden, inlined] = &self.names;
        assert_eq!(alpha[0].0, "alpha");
        assert!(hidden[0].0.starts_with("[program+0x"), "{hidden:?}");
        assert_eq!(inlined[0].0, "outer");
    }
}
