//! What the agent itself costs.

use std::collections::BTreeMap;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

use crate::host;

/// Figures of this process; what `/proc` does not tell is absent.
#[derive(Clone, Debug, Default)]
pub(super) struct Process {
    /// Release of the kernel.
    pub(super) kernel: String,
    /// CPU time in user space and in the kernel.
    pub(super) cpu_ns: Option<u64>,
    /// Resident memory.
    pub(super) resident_bytes: Option<u64>,
    /// Virtual memory.
    pub(super) virtual_bytes: Option<u64>,
    /// Start of the process in seconds since the Unix epoch.
    pub(super) started_unix_seconds: Option<f64>,
    /// Kernel memory of its BPF maps; absent where it has none.
    pub(super) map_bytes: Option<u64>,
    /// Open file descriptors.
    pub(super) open_fds: Option<u64>,
    /// The limit on them; absent where there is none.
    pub(super) max_fds: Option<u64>,
}

impl Process {
    /// The figures of now.
    #[must_use]
    pub(super) fn gather() -> Self {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let stat = Stat::parse(&stat);
        Self {
            kernel: host::kernel::release(),
            cpu_ns: stat.as_ref().map(Stat::cpu_ns),
            resident_bytes: stat
                .as_ref()
                .map(|it| it.resident_pages * page_size() as u64),
            virtual_bytes: stat.as_ref().map(|it| it.virtual_bytes),
            started_unix_seconds: stat.as_ref().and_then(Stat::started_unix_seconds),
            map_bytes: map_bytes(),
            open_fds: std::fs::read_dir("/proc/self/fd")
                .ok()
                // One is the folder that is being read.
                .map(|all| (all.count() as u64).saturating_sub(1)),
            max_fds: getrlimit(Resource::Nofile).current,
        }
    }
}

/// What the kernel says of every BPF map that this process has a descriptor of.
fn map_bytes() -> Option<u64> {
    let entries = std::fs::read_dir("/proc/self/fdinfo").ok()?;
    let maps: BTreeMap<u64, u64> = entries
        .flatten()
        .filter_map(|entry| map(&std::fs::read_to_string(entry.path()).ok()?))
        .collect();
    (!maps.is_empty()).then(|| maps.values().sum())
}

/// Id and memory of a BPF map, from the text that the kernel has of its descriptor; `None` if it is something else.
fn map(fdinfo: &str) -> Option<(u64, u64)> {
    let number = |key: &str| {
        let value = fdinfo.lines().find_map(|line| line.strip_prefix(key))?;
        value.trim().parse::<u64>().ok()
    };
    Some((number("map_id:")?, number("memlock:")?))
}

/// What is read of `/proc/self/stat` (proc_pid_stat(5)).
struct Stat {
    ticks: u64,
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name may contain blanks and parentheses; what follows the last one is fields from the third on.
        let (_, fields) = text.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            ticks: field(14)? + field(15)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }

    fn cpu_ns(&self) -> u64 {
        self.ticks * (1_000_000_000 / clock_ticks_per_second())
    }

    fn started_unix_seconds(&self) -> Option<f64> {
        let stat = std::fs::read_to_string("/proc/stat").ok()?;
        let booted = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
        let booted: f64 = booted.trim().parse().ok()?;
        Some(booted + self.start_ticks as f64 / clock_ticks_per_second() as f64)
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::{Process, Stat, map};

    #[test]
    fn figures_of_this_process() {
        let first = Process::gather();
        let resident = first.resident_bytes.unwrap();
        assert!((1 << 20..1 << 31).contains(&resident), "{resident}");
        assert!(first.virtual_bytes.unwrap() >= resident);
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        let age = now - first.started_unix_seconds.unwrap();
        assert!((-2.0..3600.0).contains(&age), "{age}");

        let files: Vec<_> = (0..7)
            .map(|_| std::fs::File::open("/dev/null").unwrap())
            .collect();
        let second = Process::gather();
        // Tests run side by side and open files of their own.
        assert!(second.open_fds.unwrap() >= files.len() as u64 + 3);
        assert!(second.open_fds.unwrap() <= second.max_fds.unwrap_or(u64::MAX));
        assert!(second.cpu_ns.unwrap() >= first.cpu_ns.unwrap());
    }

    #[test]
    fn a_name_with_blanks_and_parentheses() {
        let fields: Vec<String> = (4..=30).map(|number| number.to_string()).collect();
        let stat = Stat::parse(&format!("12 (a) b) (c) S {}", fields.join(" "))).unwrap();
        assert_eq!(stat.ticks, 14 + 15);
        assert_eq!(stat.start_ticks, 22);
        assert_eq!((stat.virtual_bytes, stat.resident_pages), (23, 24));
        assert!(Stat::parse("12 (a) S 1").is_none());
    }

    #[test]
    fn descriptors_of_maps_and_of_other_things() {
        let text = "pos:\t0\nflags:\t02000002\nmap_type:\t2\nkey_size:\t4\nmemlock:\t4504\nmap_id:\t31\nfrozen:\t0\n";
        assert_eq!(map(text), Some((31, 4_504)));
        // A program has the one but not the other.
        let text = "prog_type:\t26\nmemlock:\t8192\nprog_id:\t12\n";
        assert_eq!(map(text), None);
        assert_eq!(map("pos:\t0\n"), None);
    }
}
