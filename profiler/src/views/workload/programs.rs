//! What the programs of a row are: what they run on, and how they were told to divide their work.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use std::os::unix::fs::OpenOptionsExt as _;

use super::go::{self, GoProgram};
use crate::host::Host;

/// Longest value of a setting that is kept.
const MAX_VALUE: usize = 200;

/// Most settings of a program.
const MAX_SETTINGS: usize = 16;

/// Environment variables that say how work is divided. No other is read: environments hold secrets.
const VARIABLES: [&str; 17] = [
    "GOMAXPROCS",
    "GOMEMLIMIT",
    "GOGC",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "_JAVA_OPTIONS",
    "JAVA_OPTS",
    "NODE_OPTIONS",
    "UV_THREADPOOL_SIZE",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "TOKIO_WORKER_THREADS",
    "WEB_CONCURRENCY",
    "DOTNET_PROCESSOR_COUNT",
    "MALLOC_ARENA_MAX",
];

/// Those of them that hold several options, of which only these are kept.
const OPTIONS: [&str; 5] = [
    "-XX:",
    "-Xm",
    "--max-old-space-size",
    "--max-semi-space-size",
    "--v8-pool-size",
];

/// What a program runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// Nothing that is known here.
    #[default]
    Native,
    /// Go's runtime.
    Go,
    /// A Java virtual machine.
    Java,
    /// Node.js.
    Node,
    /// CPython.
    Python,
    /// Ruby.
    Ruby,
    /// PHP.
    Php,
}

/// One program of a row: all of its processes that were told the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Program {
    /// Name of its processes.
    pub name: String,
    /// What it runs on.
    pub language: Language,
    /// Its version, where the program tells; else empty.
    pub version: String,
    /// Settings that say how its work is divided, by name.
    pub settings: Vec<(String, String)>,
    /// Threads that may run Go code at once: the runtime's own figure.
    pub gomaxprocs: Option<u32>,
    /// CPUs that it may run on by its affinity.
    pub cpus: u32,
    /// Workload.
    pub processes: u64,
    /// Threads of the one that has most.
    pub threads: u64,
    /// Bytes of files that the one with most has mapped as data.
    pub mapped: u64,
}

impl Program {
    /// What a process is; `None` when it is gone, or in between two programs.
    pub(super) fn read(host: &Host, pid: u32) -> Option<Self> {
        let text = |file: &str| host.read(format!("/proc/{pid}/{file}")).ok()?;
        let status = text("status")?;
        let maps = text("maps")?;
        let exe = std::fs::read_link(host.at(format!("/proc/{pid}/exe"))).ok()?;
        let base = exe.file_name()?.to_string_lossy().into_owned();
        let mut language = language(&base, &maps);
        let mut program = Self {
            name: clean(&host.comm(pid)?),
            cpus: count_cpus(field(&status, "Cpus_allowed_list:")?),
            threads: field(&status, "Threads:")?.parse().ok()?,
            processes: 1,
            mapped: mapped(&maps),
            ..Self::default()
        };
        if language == Language::Native
            && let Some(go) = open(&host.at(format!("/proc/{pid}/exe"))).and_then(GoProgram::read)
        {
            language = Language::Go;
            let start = first_mapping(&maps, &exe.to_string_lossy());
            let at = start.and_then(|start| go.gomaxprocs_at(start));
            program.gomaxprocs = at
                .and_then(|at| word(host, pid, at))
                .filter(|procs| (1..=1 << 20).contains(procs));
            program.version = go.version;
        }
        program.language = language;
        program.settings = settings(&text("environ")?, &host.cmdline(pid));
        Some(program)
    }

    /// What may have changed since: threads, and the program itself where the process has called `execve`.
    pub(super) fn look_again(&mut self, host: &Host, pid: u32) {
        let name = host.comm(pid).map(|name| clean(&name));
        if name.as_ref().is_some_and(|name| *name != self.name) {
            if let Some(now) = Self::read(host, pid) {
                *self = now;
            }
            return;
        }
        let status = host.read(format!("/proc/{pid}/status")).ok().flatten();
        let threads = status.as_deref().and_then(|it| field(it, "Threads:"));
        if let Some(threads) = threads.and_then(|it| it.parse().ok()) {
            self.threads = self.threads.max(threads);
        }
    }

    /// The value of a setting.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&str> {
        let found = self.settings.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Whether the runtime itself looks at the quota of its cgroup: Go from 1.25 on.
    #[must_use]
    pub fn minds_quota(&self) -> bool {
        go::minor(&self.version).is_some_and(|minor| minor >= 25)
    }

    /// `server (go1.22.3, GOMAXPROCS 8, 12 threads)`.
    pub(super) fn words(&self) -> String {
        let mut parts = vec![match (self.language, self.version.as_str()) {
            (Language::Native, _) => String::new(),
            (Language::Go, "") => "Go".to_owned(),
            (Language::Java, "") => "Java".to_owned(),
            (Language::Node, "") => "Node".to_owned(),
            (Language::Python, "") => "Python".to_owned(),
            (Language::Ruby, "") => "Ruby".to_owned(),
            (Language::Php, "") => "PHP".to_owned(),
            (_, version) => version.to_owned(),
        }];
        parts.extend(self.gomaxprocs.map(|procs| format!("GOMAXPROCS {procs}")));
        let settings = self
            .settings
            .iter()
            .filter(|(name, _)| name != "GOMAXPROCS");
        parts.extend(settings.map(|(name, value)| format!("{name} {value}")));
        if self.processes > 1 {
            parts.push(format!("{} processes", self.processes));
        }
        parts.push(match self.threads {
            1 => "1 thread".to_owned(),
            threads => format!("{threads} threads"),
        });
        parts.retain(|it| !it.is_empty());
        format!("{} ({})", self.name, parts.join(", "))
    }

    /// Whether two processes were told the same.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let told = |it: &Self| {
            (
                it.name.clone(),
                it.language,
                it.settings.clone(),
                it.gomaxprocs,
            )
        };
        told(self) == told(other)
    }
}

/// The value of a line of `/proc/PID/status`.
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = status.lines().filter_map(|line| line.strip_prefix(name));
    lines.next().map(str::trim)
}

fn clean(text: &str) -> String {
    crate::model::text::printable(text, MAX_VALUE)
}

/// A file that may be anything by now: nothing is waited for.
fn open(path: &Path) -> Option<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .ok()?;
    file.metadata().is_ok_and(|it| it.is_file()).then_some(file)
}

fn word(host: &Host, pid: u32, address: u64) -> Option<u32> {
    let memory = open_memory(host, pid)?;
    let mut bytes = [0; 4];
    memory.read_exact_at(&mut bytes, address).ok()?;
    Some(u32::from_ne_bytes(bytes))
}

/// The memory of a process, to read.
pub(super) fn open_memory(host: &Host, pid: u32) -> Option<File> {
    File::open(host.at(format!("/proc/{pid}/mem"))).ok()
}

/// Where the first mapping of this file begins.
fn first_mapping(maps: &str, path: &str) -> Option<u64> {
    let line = maps.lines().find(|line| line.ends_with(path))?;
    let (start, _) = line.split_once('-')?;
    u64::from_str_radix(start, 16).ok()
}

/// Bytes of files that are mapped, but for code.
fn mapped(maps: &str) -> u64 {
    let sizes = maps.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (range, rights) = (fields.next()?, fields.next()?);
        let path = fields.nth(3)?;
        let (start, end) = range.split_once('-')?;
        let hex = |text| u64::from_str_radix(text, 16).ok();
        let is_data = path.starts_with('/') && !rights.contains('x') && !path.contains(".so");
        is_data.then(|| hex(end)?.checked_sub(hex(start)?))?
    });
    sizes.fold(0, u64::saturating_add)
}

fn language(exe: &str, maps: &str) -> Language {
    let has = |library: &str| {
        let names = maps.lines().filter_map(|line| line.rsplit('/').next());
        names.into_iter().any(|name| name.starts_with(library))
    };
    match exe {
        "java" => Language::Java,
        "node" | "nodejs" => Language::Node,
        "php" | "php-fpm" => Language::Php,
        "ruby" => Language::Ruby,
        exe if exe.starts_with("python") => Language::Python,
        exe if exe.starts_with("php") => Language::Php,
        exe if exe.starts_with("ruby") => Language::Ruby,
        _ if has("libjvm.so") => Language::Java,
        _ if has("libnode.so") => Language::Node,
        _ if has("libpython3") => Language::Python,
        _ if has("libruby") => Language::Ruby,
        _ => Language::Native,
    }
}

/// What the environment and the command line say of how work is divided.
fn settings(environ: &str, cmdline: &[String]) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let is_option = |word: &&str| OPTIONS.iter().any(|option| word.starts_with(option));
    for (name, value) in environ.split('\0').filter_map(|it| it.split_once('=')) {
        if !VARIABLES.contains(&name) {
            continue;
        }
        let value = if name.ends_with("OPTIONS") || name.ends_with("OPTS") {
            let words: Vec<&str> = value.split_whitespace().filter(is_option).collect();
            words.join(" ")
        } else {
            value.to_owned()
        };
        if !value.is_empty() {
            found.push((name.to_owned(), clean(&value)));
        }
    }
    let words = cmdline.iter().skip(1).map(String::as_str);
    let words: Vec<&str> = words
        .take_while(|it| *it != "-jar")
        .filter(is_option)
        .collect();
    if !words.is_empty() {
        found.push((ARGUMENTS.to_owned(), clean(&words.join(" "))));
    }
    found.sort_unstable();
    found.truncate(MAX_SETTINGS);
    found
}

/// The name of what comes from the command line.
pub const ARGUMENTS: &str = "arguments";

/// CPUs in a list of the kernel's, as `0-3,7`.
#[must_use]
pub fn count_cpus(list: &str) -> u32 {
    let parts = list.split(',').filter_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        last.checked_sub(first)?.checked_add(1)
    });
    parts.fold(0, u32::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::{
        ARGUMENTS, Language, Program, count_cpus, first_mapping, language, mapped, settings,
    };
    use crate::host::Host;

    #[test]
    fn lists_of_cpus() {
        assert_eq!(count_cpus("0-3,7"), 5);
        assert_eq!(count_cpus("5"), 1);
        assert_eq!(count_cpus("3-1,x,0-4294967295"), 0);
    }

    #[test]
    fn programs_are_known_by_their_files() {
        let maps = "7f00-7f01 r-xp 00000000 08:01 5   /usr/lib/jvm/lib/server/libjvm.so\n";
        assert_eq!(language("launcher", maps), Language::Java);
        assert_eq!(language("python3.11", ""), Language::Python);
        assert_eq!(language("nodemon", ""), Language::Native);
        let data = "1000-3000 r--s 00000000 08:01 5   /data/rows\n4000-5000 r-xp 0 08:01 6 /bin/x\n6000-7000 rw-p 0 00:00 0 \n";
        assert_eq!(mapped(data), 0x2000);
        assert_eq!(
            first_mapping("7f00-7f01 r-xp 0 08:01 5   /bin/x\n", "/bin/x"),
            Some(0x7f00)
        );
    }

    #[test]
    fn only_what_says_how_work_is_divided_is_read() {
        let environ = "PATH=/bin\0GOMAXPROCS=8\0PASSWORD=x\0JAVA_TOOL_OPTIONS=-Dsecret=1 -Xmx64m -XX:+UseG1GC\0";
        let line = ["java", "-Xms1m", "-Dkey=secret", "-jar", "-Xmx9g"].map(str::to_owned);
        assert_eq!(
            settings(environ, &line),
            [
                ("GOMAXPROCS", "8"),
                ("JAVA_TOOL_OPTIONS", "-Xmx64m -XX:+UseG1GC"),
                (ARGUMENTS, "-Xms1m"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn this_program_is_one() {
        let program = Program::read(&Host::default(), std::process::id()).unwrap();
        assert_eq!(program.language, Language::Native);
        assert!(program.threads > 0 && program.cpus > 0);
        assert!(Program::read(&Host::default(), u32::MAX).is_none());
    }
}
