//! Tools that ctprof is compared with: where they are, or how to get them.

use std::path::PathBuf;
use std::process::Command;

use crate::{cmd, paths};

/// A tool, and the package or command that brings it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    Bpftrace,
    Perf,
    Strace,
    /// Two programs of one package: from `perf script` to a flame graph.
    Inferno,
    Go,
}

const ALL: [Peer; 5] = [
    Peer::Bpftrace,
    Peer::Perf,
    Peer::Strace,
    Peer::Inferno,
    Peer::Go,
];

impl Peer {
    fn name(self) -> &'static str {
        match self {
            Self::Bpftrace => "bpftrace",
            Self::Perf => "perf",
            Self::Strace => "strace",
            Self::Inferno => "inferno-flamegraph",
            Self::Go => "go",
        }
    }

    /// How to get it.
    fn comes_from(self) -> &'static str {
        match self {
            Self::Bpftrace => "apt-get install bpftrace",
            Self::Perf => "apt-get install linux-perf",
            Self::Strace => "apt-get install strace",
            Self::Inferno => "cargo install inferno --root target/tools",
            Self::Go => "https://go.dev/dl",
        }
    }

    /// Where it is: in `PATH`, or among the tools in cargo's target folder.
    pub(super) fn path(self) -> Option<PathBuf> {
        let own = paths::target().join("tools/bin").join(self.name());
        cmd::find(self.name()).or_else(|| own.is_file().then_some(own))
    }

    /// Why nothing can be compared with it, with the way out.
    pub(super) fn lacks(self) -> Option<String> {
        let name = self.name();
        let from = self.comes_from();
        (self.path().is_none()).then(|| format!("{name} is not installed: `{from}`"))
    }

    fn version(self) -> Option<String> {
        let mut command = Command::new(self.path()?);
        command.arg(if self == Self::Go {
            "version"
        } else {
            "--version"
        });
        let text = cmd::output(&mut command).ok()?;
        let line = text.lines().next()?;
        let mut words = line.split_whitespace();
        let number = words.find(|word| word.contains(|it: char| it.is_ascii_digit()))?;
        Some(format!("{} {number}", self.name()))
    }
}

/// Those that are installed here, with their versions.
pub(super) fn versions() -> Vec<String> {
    ALL.into_iter().filter_map(Peer::version).collect()
}
