//! What `/proc/PID` says about a process, read through one descriptor of its folder, so that a reused pid
//! cannot mix two processes.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::symbolize::safe_open::{Refused, hold_folder};

/// Largest text read from `/proc/PID`: 65,530 mappings (the kernel's default limit) with long paths.
const MAX_TEXT: u64 = 32 << 20;

/// Most threads that are asked whether they have ended.
const MAX_ENDED: usize = 256;

/// Kernel thread, in the flags of `/proc/PID/stat` (`PF_KTHREAD` in the kernel's `sched.h`).
const PF_KTHREAD: u64 = 0x0020_0000;

/// What tells two program images apart: another process with the same pid differs in `start_time`, the same
/// process after `execve` in the addresses, which are random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ImageIdentity {
    start_time: u64,
    start_code: u64,
    start_stack: u64,
}

/// Facts of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) identity: ImageIdentity,
    pub(crate) kernel_thread: bool,
    /// The thread has ended, and waits for the others of its process or for its parent.
    pub(crate) has_ended: bool,
}

impl Stat {
    /// The process is inside `execve`: it has its new memory, but not its new program. The kernel sets these addresses
    /// last (`load_elf_binary`); it shows 1 to those who may not see them, and 0 for a process without memory.
    pub(crate) const fn is_in_exec(&self) -> bool {
        !self.kernel_thread && !self.has_ended && self.identity.start_code == 0
    }
}

/// Facts of `/proc/PID/status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    /// Process id as the process sees it: innermost PID namespace.
    pub(crate) namespace_pid: u32,
    /// Real, effective, saved and file-system user id.
    pub(crate) uids: Vec<u32>,
}

/// The open folder `/proc/PID`, or that of another thread where the first one has ended.
#[derive(Debug)]
pub(crate) struct ProcFolder {
    fd: OwnedFd,
    number: u32,
    /// When the process was born, where this is not the folder of its first thread.
    born: Option<u64>,
}

impl ProcFolder {
    /// The folder through which the memory of a process can be seen.
    ///
    /// A thread that has ended has no memory any more. The first thread stays in `/proc` until the last one has ended,
    /// and says nothing then; each of the others has a folder like a process' (`/proc/TID`, which is not listed).
    pub(crate) fn of_process(proc_root: &Path, pid: u32) -> Result<Self, Refused> {
        let first = Self::open(proc_root, pid, None)?;
        let stat = first.stat()?;
        if !stat.has_ended {
            return Ok(first);
        }
        let born = Some(stat.identity.start_time);
        let others = proc_root.join(format!("{pid}/task"));
        let others = std::fs::read_dir(others).map_err(|_| Refused::Missing)?;
        others
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|tid| *tid != pid)
            .take(MAX_ENDED)
            .filter_map(|tid| Self::open(proc_root, tid, born).ok())
            .find(|folder| folder.stat().is_ok_and(|stat| !stat.has_ended))
            .ok_or(Refused::Missing)
    }

    pub(crate) fn open(proc_root: &Path, number: u32, born: Option<u64>) -> Result<Self, Refused> {
        Ok(Self {
            fd: hold_folder(&proc_root.join(number.to_string()))?,
            number,
            born,
        })
    }

    /// The number that the folder is named after.
    pub(crate) const fn number(&self) -> u32 {
        self.number
    }

    pub(crate) fn stat(&self) -> Result<Stat, Refused> {
        let mut stat = parse_stat(&self.read("stat")?).ok_or(Refused::Failed)?;
        if let Some(born) = self.born {
            stat.identity.start_time = born;
        }
        Ok(stat)
    }

    pub(crate) fn status(&self) -> Result<Status, Refused> {
        parse_status(&self.read("status")?).ok_or(Refused::Failed)
    }

    /// The text of `maps`; empty for kernel threads and for processes that are exiting.
    pub(crate) fn maps(&self) -> Result<String, Refused> {
        self.read("maps")
    }

    pub(crate) fn mountinfo(&self) -> Result<String, Refused> {
        self.read("mountinfo")
    }

    /// The process' root folder, in its own mount namespace.
    pub(crate) fn root(&self) -> Result<OwnedFd, Refused> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(
            self.fd.as_fd(),
            "root",
            flags,
            Mode::empty(),
        )?)
    }

    fn read(&self, name: &str) -> Result<String, Refused> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(self.fd.as_fd(), name, flags, Mode::empty())?;
        let mut bytes = Vec::new();
        File::from(fd)
            .take(MAX_TEXT)
            .read_to_end(&mut bytes)
            .map_err(|error| match error.raw_os_error() {
                Some(code) => rustix::io::Errno::from_raw_os_error(code).into(),
                None => Refused::Failed,
            })?;
        Ok(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        })
    }
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The name is in parentheses and may contain any character, so count from its last one.
    let after_name = &text[text.rfind(')')? + 1..];
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    // proc(5) numbers fields from 1; the state, field 3, comes first here.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(Stat {
        identity: ImageIdentity {
            start_time: field(22)?,
            start_code: field(26)?,
            start_stack: field(28)?,
        },
        kernel_thread: field(9)? & PF_KTHREAD != 0,
        has_ended: matches!(fields.first(), Some(&("Z" | "X"))),
    })
}

fn parse_status(text: &str) -> Option<Status> {
    let values = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_ascii_whitespace()
            .map(|word| word.parse::<u32>().ok())
            .collect::<Option<Vec<u32>>>()
    };
    Some(Status {
        // Of the process, whichever thread this is. Kernels without PID namespaces have no such line; then there is only
        // one id.
        namespace_pid: *values("NStgid:").or_else(|| values("Tgid:"))?.last()?,
        uids: values("Uid:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_survives_a_hostile_name() {
        let line = "7 (a) S 1 ) b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 100 200 300 \
                    4096 8192 140720000 0 0";
        let stat = parse_stat(line).unwrap();
        assert_eq!(
            stat.identity,
            ImageIdentity {
                start_time: 12345,
                start_code: 4096,
                start_stack: 140_720_000
            }
        );
        assert!(!stat.kernel_thread);
        assert_eq!(parse_stat("7 (a"), None);
    }

    #[test]
    fn status_gives_the_innermost_pid() {
        let text = "Name:\tnode\nTgid:\t4242\nPid:\t4243\nUid:\t1000\t1000\t1000\t1000\nNStgid:\t4242\t17\t1\n";
        let status = parse_status(text).unwrap();
        assert_eq!(
            status,
            Status {
                namespace_pid: 1,
                uids: vec![1000; 4]
            }
        );
    }

    #[test]
    fn own_facts_are_consistent() {
        let me = ProcFolder::of_process(Path::new("/proc"), std::process::id()).unwrap();
        assert_eq!(me.stat().unwrap(), me.stat().unwrap());
        assert!(!me.stat().unwrap().kernel_thread);
        assert!(me.maps().unwrap().contains("[vdso]"));
        assert_eq!(
            ProcFolder::of_process(Path::new("/proc"), u32::MAX).unwrap_err(),
            Refused::Missing
        );
    }
}
