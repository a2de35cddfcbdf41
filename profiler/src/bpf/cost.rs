//! What the programs cost, as the kernel measures it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
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

    /// How often a loaded program should have run and did not, because the CPU was inside it already: `recursion_misses`
    /// of `struct bpf_prog_info`, which the kernel counts since 5.12.
    #[must_use]
    pub fn missed_runs(&self) -> u64 {
        let programs = self.ebpf.programs();
        let loaded = programs.filter_map(|(_, program)| program.fd().ok());
        loaded.filter_map(|fd| missed_runs(fd.as_fd())).sum()
    }
}

/// Command of `bpf(2)`, and the place of `recursion_misses` among the 8-byte fields of `struct bpf_prog_info`
/// (`linux/bpf.h`); aya keeps the record to itself.
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const RECURSION_MISSES: usize = 26;

/// `None` where the kernel does not know the field.
fn missed_runs(program: BorrowedFd<'_>) -> Option<u64> {
    /// Its part of `union bpf_attr`.
    #[repr(C)]
    struct Info {
        fd: u32,
        length: u32,
        record: u64,
    }
    let mut record = [0_u64; RECURSION_MISSES + 1];
    let mut info = Info {
        fd: program.as_raw_fd().cast_unsigned(),
        length: u32::try_from(size_of_val(&record)).ok()?,
        record: record.as_mut_ptr() as u64,
    };
    // SAFETY: the kernel writes at most `length` bytes to the record, which lives through the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            OBJ_GET_INFO_BY_FD,
            &raw mut info,
            size_of::<Info>(),
        )
    };
    (done == 0).then_some(record[RECURSION_MISSES])
}
