//! What the programs cost, as the kernel measures it.

use std::os::fd::OwnedFd;
use std::time::Duration;

use aya::sys::{Stats, enable_stats};

use super::{Kernel, describe};
use crate::{Error, Result};

/// One loaded program.
#[derive(Clone, Debug)]
pub struct ProgramFigures {
    /// Its name in the kernel.
    pub name: String,
    /// Instructions that the verifier walked through; `None` where the kernel does not say (before 5.16).
    pub verified: Option<u32>,
    /// Times it ran since statistics are on.
    pub runs: u64,
    /// Time it took in them.
    pub time: Duration,
}

/// The kernel measures BPF programs while this lives: all of them, for two readings of the clock a run.
#[derive(Debug)]
pub struct Statistics {
    /// They are on while this is open.
    _on: OwnedFd,
}

impl Statistics {
    /// Switches them on.
    ///
    /// # Errors
    /// The kernel refuses: it needs CAP_SYS_ADMIN, and Linux 5.8.
    pub fn enable() -> Result<Self> {
        let on = enable_stats(Stats::RunTime).map_err(|error| {
            Error::Unsupported(format!(
                "cannot switch BPF statistics on: {}; it needs CAP_SYS_ADMIN",
                describe(&error)
            ))
        })?;
        Ok(Self { _on: on })
    }
}

impl Kernel {
    /// Every loaded program with what it has cost so far.
    #[must_use]
    pub fn programs(&self) -> Vec<ProgramFigures> {
        self.ebpf
            .programs()
            .filter_map(|(name, program)| {
                let info = program.info().ok()?;
                Some(ProgramFigures {
                    name: name.to_owned(),
                    verified: info.verified_instruction_count(),
                    runs: info.run_count(),
                    time: info.run_time(),
                })
            })
            .collect()
    }
}
