//! What an agent can be told, and by whom: flags before the environment before a file before the default.
//!
//! - `table`: every setting; flags, variables, keys of the file, help and docs/agent.md follow from it
//! - `values`: how their values are read
//! - `layers`: who sets what
//! - `file`: the file, with its line numbers
//!
//! clap parses the flags, `toml` the file, `humantime` the times. The layers are put together by hand, not by clap's `env` and
//! serde's derive. Those need two more structs with every setting in them, optional, as each layer may leave it out; and
//! a table would stay for what a derive has no place for: whether a reload changes the setting, and its row in docs/agent.md.
//! Errors would say less, too: clap does not tell that a wrong value came from a variable and takes an empty variable for a value, and
//! serde suggests no near key. About 150 lines of `layers` and `file` would go, and as many come.

mod file;
mod layers;
mod table;
#[cfg(test)]
mod tests;
mod values;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::collect::Unwind;
use crate::model::{Grouping, ViewId};
pub(crate) use file::{at, read_text};
pub use layers::{Changes, Layers, Resolved};
pub use table::{Kind, Setting, TABLE};

/// What an agent is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Address to serve HTTP at.
    pub listen: SocketAddr,
    /// By what rows are told apart.
    pub grouping: Grouping,
    /// Labels beside those that tell rows apart.
    pub labels: Labels,
    /// Views that are measured because somebody asked.
    pub views: BTreeSet<ViewId>,
    /// Views that are measured because nobody said not to.
    pub standing: BTreeSet<ViewId>,
    /// Let the kernel measure what BPF programs cost.
    pub bpf_statistics: bool,
    /// Most rows.
    pub max_containers: usize,
    /// Most series of one answer.
    pub max_series: usize,
    /// Culprits that each row names; the others are summed up.
    pub top_culprits: usize,
    /// How long a row that ended still appears.
    pub linger: Duration,
    /// Record profiles on demand.
    pub profiles: bool,
    /// Recordings at once.
    pub max_profiles: usize,
    /// How user stacks of recordings are unwound.
    pub unwind: Unwind,
    /// Longest recording.
    pub max_profile_time: Duration,
    /// How often containers are looked at for what is wrong with them; zero for never.
    pub doctor_every: Duration,
    /// TLS and passwords.
    pub web_config: Option<PathBuf>,
    /// Names by which requests may call this host, beside its own.
    pub web_host: Vec<String>,
    /// Give up system calls.
    pub seccomp: bool,
    /// How messages are written.
    pub log_format: LogFormat,
    /// The kernel's type information, if not where the kernel publishes it.
    pub btf: Option<PathBuf>,
}

/// Labels that metrics may have beside those that tell rows apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// The image reference.
    pub image: bool,
    /// What runs it: `docker`, `containerd`, `systemd`, …
    pub runtime: bool,
}

/// How messages are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}
