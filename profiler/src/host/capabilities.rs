//! What this process is allowed to do.

use super::Host;
use crate::{Error, Result};

/// One capability that ctprof can use. Numbers are from `include/uapi/linux/capability.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    bit: u32,
    /// Name as in capabilities(7).
    pub name: &'static str,
    /// What it is needed for.
    pub reason: &'static str,
    /// Whether recording is impossible without it.
    pub required: bool,
    /// When it is needed.
    pub usage: Use,
}

/// When a capability is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// To attach, and to record stacks: an agent that records no profiles gives it up once it is attached.
    Attaching,
    /// As long as something is measured: for what is born meanwhile.
    Always,
}

impl Capability {
    /// Its number.
    #[must_use]
    pub const fn bit(&self) -> u32 {
        self.bit
    }
}

/// Stands in for `CAP_BPF` and `CAP_PERFMON`, which were split off from it in Linux 5.8.
pub const SYS_ADMIN: u32 = 21;

/// Every capability that ctprof can use.
pub const ALL: &[Capability] = &[
    Capability {
        bit: 39,
        name: "CAP_BPF",
        reason: "to load BPF programs",
        required: true,
        usage: Use::Attaching,
    },
    Capability {
        bit: 38,
        name: "CAP_PERFMON",
        reason: "to sample CPUs and read kernel memory",
        required: true,
        usage: Use::Attaching,
    },
    Capability {
        bit: 19,
        name: "CAP_SYS_PTRACE",
        reason: "to read the memory maps and binaries of other users' processes",
        required: false,
        usage: Use::Always,
    },
    Capability {
        bit: 2,
        name: "CAP_DAC_READ_SEARCH",
        reason: "to read container runtimes' files and binaries inside containers",
        required: false,
        usage: Use::Always,
    },
    Capability {
        bit: 34,
        name: "CAP_SYSLOG",
        reason: "to read kernel symbol addresses",
        required: false,
        usage: Use::Attaching,
    },
];

/// The effective capabilities of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities(u64);

impl Capabilities {
    /// Reads the effective set from `/proc/self/status`.
    ///
    /// # Errors
    /// `/proc` is not mounted.
    pub fn of_self(host: &Host) -> Result<Self> {
        let status = host.read("/proc/self/status").ok().flatten();
        status.as_deref().and_then(parse).ok_or_else(|| {
            Error::Unsupported("cannot read /proc/self/status; is /proc mounted?".to_owned())
        })
    }

    /// Whether the capability is there.
    #[must_use]
    pub const fn has(self, capability: &Capability) -> bool {
        let split_off = capability.bit == 38 || capability.bit == 39;
        self.0 >> capability.bit & 1 == 1 || split_off && self.0 >> SYS_ADMIN & 1 == 1
    }

    /// The capabilities of [`ALL`] that are not there.
    pub fn missing(self) -> impl Iterator<Item = &'static Capability> {
        ALL.iter().filter(move |capability| !self.has(capability))
    }
}

fn parse(status: &str) -> Option<Capabilities> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok().map(Capabilities)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn an_ordinary_user_lacks_all() {
        let none = parse("Name:\tx\nCapEff:\t0000000000000000\n").unwrap();
        assert_eq!(none.missing().count(), 5);
    }

    #[test]
    fn sys_admin_stands_in_for_the_two_split_off() {
        let lacks = |text: &str| {
            let missing = parse(text).unwrap();
            let required = missing.missing().filter(|it| it.required);
            required.map(|it| it.name).collect::<Vec<_>>()
        };
        assert!(lacks("CapEff:\t0000000000200000\n").is_empty());
        assert_eq!(lacks("CapEff:\t0000008000000000\n"), ["CAP_PERFMON"]);
    }
}
