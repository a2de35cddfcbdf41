//! What the kernel says of processes as it happens: births, programs, mappings of code, ends.

use std::sync::Arc;

/// One record, at `at_ns` of `CLOCK_MONOTONIC`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SideBand {
    /// When.
    pub at_ns: u64,
    /// Process id in the initial PID namespace.
    pub pid: u32,
    /// What.
    pub what: Happened,
}

/// What happened to a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// It was forked from another process, and maps what that one maps.
    Forked {
        /// That process.
        parent: u32,
    },
    /// It called `execve`: nothing of what it mapped is left.
    Executed,
    /// It mapped code.
    Mapped(MappedCode),
    /// Its first thread ended.
    Ended,
}

/// An executable mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedCode {
    /// First address.
    pub start: u64,
    /// The address after the last one.
    pub end: u64,
    /// Offset of `start` in the file.
    pub offset: u64,
    /// Which file.
    pub file: CodeFile,
    /// Its path as the process sees it, or the kernel's word for what is no file: `//anon`, `[vdso]`.
    pub path: Arc<str>,
}

/// What tells files with one path apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CodeFile {
    /// The build id that is in it.
    BuildId(Arc<[u8]>),
    /// Where it is: device, inode and the inode's generation. All 0 for what is no file.
    Inode {
        /// Major and minor number of the device.
        device: (u32, u32),
        /// Number of the inode.
        inode: u64,
        /// How often that number was given.
        generation: u64,
    },
}
