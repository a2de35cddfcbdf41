//! The machine that figures are of.

use std::fmt;

use anyhow::Result;
use serde::{Deserialize, Serialize};

/// What has to be equal for figures of two runs to be compared without a word.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Machine {
    pub(super) cpu: String,
    pub(super) cpus: usize,
    pub(super) memory_bytes: u64,
    pub(super) kernel: String,
    /// Versions of what ctprof is compared with.
    pub(super) peers: Vec<String>,
}

impl Machine {
    pub(super) fn here() -> Result<Self> {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo")?;
        let meminfo = std::fs::read_to_string("/proc/meminfo")?;
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            let value = line.and_then(|line| line.split_once(':'));
            value.map(|(_, value)| value.trim().to_owned())
        };
        let memory = field(&meminfo, "MemTotal").unwrap_or_default();
        let kib: u64 = memory.trim_end_matches(" kB").parse().unwrap_or(0);
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
        Ok(Self {
            cpu: field(&cpuinfo, "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cpus: std::thread::available_parallelism()?.get(),
            memory_bytes: kib * 1024,
            kernel: kernel.trim().to_owned(),
            peers: super::peers::versions(),
        })
    }
}

impl fmt::Display for Machine {
    #[allow(clippy::cast_precision_loss, reason = "for people")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gib = self.memory_bytes as f64 / f64::from(1 << 30);
        write!(
            f,
            "{} x {}, {gib:.0} GiB, Linux {}",
            self.cpus, self.cpu, self.kernel
        )?;
        if !self.peers.is_empty() {
            write!(f, "; {}", self.peers.join(", "))?;
        }
        Ok(())
    }
}
