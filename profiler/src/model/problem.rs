//! Why some frames have no names: every cause, counted once per process or file, for the report.

use std::collections::BTreeMap;

/// A cause for frames without names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Problem {
    /// `/proc/kallsyms` shows zeros only (`kptr_restrict`, no `CAP_SYSLOG`).
    KernelAddressesHidden,
    /// `/proc/kallsyms` could not be read.
    KernelSymbolsUnreadable,
    /// The process exited, or called `execve`, before its mappings were read.
    ProcessGone,
    /// The process' mappings or files may not be read.
    ProcessDenied,
    /// The process could not be looked at, or not once more, before the time for that was up: its list of mappings is very
    /// long, or its memory is locked.
    ProcessLate,
    /// More processes wanted to be looked at than could be.
    TooManyLooks,
    /// More processes than the limit.
    TooManyProcesses,
    /// More mapped files than the limit on open files.
    TooManyFiles,
    /// A process with more executable mappings than the limit.
    TooManyMappings,
    /// A mapped file could not be opened or read.
    FileUnreadable,
    /// A mapped file is on a file system that a process serves (FUSE): reading it could block forever.
    FileOnFuse,
    /// A mapped file, or a perf map, could not be read before the time for names was up.
    FileLate,
    /// Code of no file lies where a file's could have been, and its neighbours do not agree on what was there.
    TextMoved,
    /// Different files were mapped at one address in turn.
    Remapped,
    /// A mapped file has a damaged or absurd ELF structure.
    FileMalformed,
    /// A table of a mapped file is larger than the limit.
    FileTooLarge,
    /// Reading debug information or Go's tables took more CPU time, or more memory, than the limit.
    FileTooSlow,
    /// Debug information is larger than the limit; symbols without inlined functions were used.
    DebugInfoTooLarge,
    /// Debug information is damaged.
    DebugInfoMalformed,
    /// Debug information is packed in a way, or of a version, that is not read; or parts of it are in other files
    /// (`-gsplit-dwarf`, `dwz`).
    DebugInfoUnsupported,
    /// A file with separate debug information belongs to another build of its program.
    DebugFileForeign,
    /// No server of `DEBUGINFOD_URLS` has the debug information of a mapped file.
    ServersHaveNone,
    /// Servers have not sent all of the debug information of a mapped file by the time for names.
    ServersLate,
    /// A server could not be reached, or did not send all of the debug information of a mapped file.
    ServersFailed,
    /// What a server sent is not debug information of the mapped file.
    ServersForeign,
    /// What a server has is larger than the limit.
    ServersTooLarge,
    /// The symbol table in `.gnu_debugdata` is damaged, too large, or packed in a way that is not read.
    MiniDebugInfoUnreadable,
    /// A perf map is not a regular file (FIFO, device, folder).
    PerfMapNotRegular,
    /// A perf map is a symbolic link, or leads out of the container.
    PerfMapOutside,
    /// A perf map belongs to another user than its process.
    PerfMapForeignOwner,
    /// A perf map is larger than the limit; its end was read.
    PerfMapTooLarge,
    /// A perf map could not be read.
    PerfMapUnreadable,
    /// A process describes its JIT-compiled code in a jitdump file, for `perf inject`, and not in a perf map.
    JitDump,
    /// A mapped file has more frame descriptions than a table of them may have, or reading them took too long.
    UnwindTooLarge,
    /// The frame descriptions of a mapped file could not be read.
    UnwindUnreadable,
    /// Unwind tables take more memory than the limit, or there are too many.
    UnwindTooMany,
    /// A process has more executable mappings than are unwound by tables.
    UnwindTooManyMappings,
}

impl Problem {
    /// How many there are.
    const COUNT: usize = Self::UnwindTooManyMappings as usize + 1;

    /// Every one, in order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::KernelAddressesHidden,
        Self::KernelSymbolsUnreadable,
        Self::ProcessGone,
        Self::ProcessDenied,
        Self::ProcessLate,
        Self::TooManyLooks,
        Self::TooManyProcesses,
        Self::TooManyFiles,
        Self::TooManyMappings,
        Self::FileUnreadable,
        Self::FileOnFuse,
        Self::FileLate,
        Self::TextMoved,
        Self::Remapped,
        Self::FileMalformed,
        Self::FileTooLarge,
        Self::FileTooSlow,
        Self::DebugInfoTooLarge,
        Self::DebugInfoMalformed,
        Self::DebugInfoUnsupported,
        Self::DebugFileForeign,
        Self::ServersHaveNone,
        Self::ServersLate,
        Self::ServersFailed,
        Self::ServersForeign,
        Self::ServersTooLarge,
        Self::MiniDebugInfoUnreadable,
        Self::PerfMapNotRegular,
        Self::PerfMapOutside,
        Self::PerfMapForeignOwner,
        Self::PerfMapTooLarge,
        Self::PerfMapUnreadable,
        Self::JitDump,
        Self::UnwindTooLarge,
        Self::UnwindUnreadable,
        Self::UnwindTooMany,
        Self::UnwindTooManyMappings,
    ];

    /// The one with this [`id`](Self::id).
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|problem| problem.id() == id)
    }

    /// Name in machine-readable output.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::KernelAddressesHidden => "kernel_addresses_hidden",
            Self::KernelSymbolsUnreadable => "kernel_symbols_unreadable",
            Self::ProcessGone => "process_gone",
            Self::ProcessDenied => "process_denied",
            Self::ProcessLate => "process_late",
            Self::TooManyLooks => "too_many_looks",
            Self::TooManyProcesses => "too_many_processes",
            Self::TooManyFiles => "too_many_files",
            Self::TooManyMappings => "too_many_mappings",
            Self::FileUnreadable => "file_unreadable",
            Self::FileOnFuse => "file_on_fuse",
            Self::FileLate => "file_late",
            Self::TextMoved => "text_moved",
            Self::Remapped => "remapped",
            Self::FileMalformed => "file_malformed",
            Self::FileTooLarge => "file_too_large",
            Self::FileTooSlow => "file_too_slow",
            Self::DebugInfoTooLarge => "debug_info_too_large",
            Self::DebugInfoMalformed => "debug_info_malformed",
            Self::DebugInfoUnsupported => "debug_info_unsupported",
            Self::DebugFileForeign => "debug_file_foreign",
            Self::ServersHaveNone => "debuginfod_has_none",
            Self::ServersLate => "debuginfod_late",
            Self::ServersFailed => "debuginfod_failed",
            Self::ServersForeign => "debuginfod_foreign",
            Self::ServersTooLarge => "debuginfod_too_large",
            Self::MiniDebugInfoUnreadable => "mini_debug_info_unreadable",
            Self::PerfMapNotRegular => "perf_map_not_regular",
            Self::PerfMapOutside => "perf_map_outside",
            Self::PerfMapForeignOwner => "perf_map_foreign_owner",
            Self::PerfMapTooLarge => "perf_map_too_large",
            Self::PerfMapUnreadable => "perf_map_unreadable",
            Self::JitDump => "jit_dump",
            Self::UnwindTooLarge => "unwind_too_large",
            Self::UnwindUnreadable => "unwind_unreadable",
            Self::UnwindTooMany => "unwind_too_many",
            Self::UnwindTooManyMappings => "unwind_too_many_mappings",
        }
    }

    /// One line for people: the cause and, where there is one, the remedy.
    #[must_use]
    pub const fn explain(self) -> &'static str {
        match self {
            Self::KernelAddressesHidden => {
                "kernel addresses are hidden: run as root or set kernel.kptr_restrict to 0 or 1"
            }
            Self::KernelSymbolsUnreadable => "/proc/kallsyms cannot be read",
            Self::ProcessGone => "processes exited before their mappings could be read",
            Self::ProcessDenied => "processes may not be inspected: run as root",
            Self::ProcessLate => {
                "processes took too long to look at: their lists of mappings are very long, or their memory is locked"
            }
            Self::TooManyLooks => "more processes started than could be looked at",
            Self::TooManyProcesses => "more processes than ctprof keeps mappings of",
            Self::TooManyFiles => "more mapped files than may be held open: raise `ulimit -n`",
            Self::TooManyMappings => "a process has more executable mappings than ctprof keeps",
            Self::FileUnreadable => "mapped files could not be read",
            Self::FileOnFuse => {
                "mapped files on FUSE are not read: their server could block ctprof"
            }
            Self::FileLate => {
                "mapped files could not be read before the time for names was up: `record --names-within` gives more"
            }
            Self::TextMoved => {
                "code of no file between mapped files: text that a program moved (to huge pages), or compiled code; its neighbours do not say which"
            }
            Self::Remapped => {
                "addresses at which a process had one file and then another: whose code it was cannot be told"
            }
            Self::FileMalformed => "mapped files are not well-formed ELF files",
            Self::FileTooLarge => {
                "mapped files have symbol tables above the size limit: exported functions have names, others may not"
            }
            Self::FileTooSlow => {
                "mapped files whose tables took too much time or memory to read were left out"
            }
            Self::DebugInfoTooLarge => "debug information above the size limit was left out",
            Self::DebugInfoMalformed => {
                "debug information is damaged: inlined functions are missing"
            }
            Self::DebugInfoUnsupported => {
                "debug information is of a kind that ctprof does not read (split or dwz files, other packing): inlined functions may be missing"
            }
            Self::DebugFileForeign => {
                "files with debug information belong to another build of their program: install those of this build"
            }
            Self::ServersHaveNone => {
                "no server in DEBUGINFOD_URLS has debug information of mapped files: add one that has"
            }
            Self::ServersLate => {
                "debug information had not come from DEBUGINFOD_URLS when the time for names was up: `record --names-within` gives more"
            }
            Self::ServersFailed => {
                "servers in DEBUGINFOD_URLS could not be reached, or did not send all of a file: -vv says which and why"
            }
            Self::ServersForeign => {
                "servers in DEBUGINFOD_URLS sent something else than debug information of the file: remove those (-vv says which)"
            }
            Self::ServersTooLarge => {
                "servers in DEBUGINFOD_URLS have debug information above the size limit (DEBUGINFOD_MAXSIZE, 2 GB at most), or above the room on this disk"
            }
            Self::MiniDebugInfoUnreadable => {
                "symbol tables in .gnu_debugdata could not be unpacked: exported functions have names, others may not"
            }
            Self::PerfMapNotRegular => "perf maps that are not regular files were left out",
            Self::PerfMapOutside => "perf maps that are symbolic links were left out",
            Self::PerfMapForeignOwner => "perf maps that belong to another user were left out",
            Self::PerfMapTooLarge => {
                "perf maps above the size limit: code compiled early on has no name, only their end was read"
            }
            Self::PerfMapUnreadable => "perf maps could not be read",
            Self::JitDump => {
                "JIT-compiled code is described in jitdump files, which ctprof does not read: have a perf map written instead \
                 (node --perf-basic-prof, python -X perf, java -XX:+DumpPerfMapAtExit or jcmd PID Compiler.perfmap)"
            }
            Self::UnwindTooLarge => {
                "mapped files have more frame descriptions than are read: their stacks are unwound by frame pointers"
            }
            Self::UnwindUnreadable => {
                "mapped files have damaged frame descriptions: their stacks are unwound by frame pointers"
            }
            Self::UnwindTooMany => {
                "unwind tables of all files would take more memory than the limit: some are unwound by frame pointers"
            }
            Self::UnwindTooManyMappings => {
                "processes have more executable mappings than are unwound by tables"
            }
        }
    }
}

/// How often each [`Problem`] occurred: counted once for each process or file that has it, not for each frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(BTreeMap<Problem, u64>);

impl Problems {
    /// Counts one more.
    pub fn add(&mut self, problem: Problem) {
        *self.0.entry(problem).or_default() += 1;
    }

    /// Adds those of another.
    pub fn merge(&mut self, other: &Self) {
        for (problem, count) in other.iter() {
            *self.0.entry(problem).or_default() += count;
        }
    }

    /// Occurrences of one problem.
    #[must_use]
    pub fn count(&self, problem: Problem) -> u64 {
        self.0.get(&problem).copied().unwrap_or(0)
    }

    /// The problems that occurred, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Problem, u64)> + '_ {
        self.0.iter().map(|(problem, count)| (*problem, *count))
    }

    /// Nothing went wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::Problem;

    #[test]
    fn every_problem_is_in_the_table_at_its_place() {
        for (number, problem) in Problem::ALL.into_iter().enumerate() {
            assert_eq!(problem as usize, number);
            assert_eq!(Problem::from_id(problem.id()), Some(problem));
        }
    }
}
