//! A cgroup's own stall times, from its pressure files (kernel: `Documentation/accounting/psi.rst`).
//!
//! They are in cgroup v2 only: on a hybrid host, in the v2 folder at the cgroup's path.

use super::Hierarchy;
use crate::host::proc::read_optional;
use crate::model::{Psi, Stall};

impl Hierarchy {
    /// Stall times of the cgroup and all below it since it was created. A resource whose file is not there is
    /// absent; `None` when there is none at all: see [`Hierarchy::missing_pressure`] for the host's reason, or the
    /// cgroup is not in v2, is gone, or has them switched off (`cgroup.pressure`).
    #[must_use]
    pub fn pressure(&self, path: &str) -> Option<Psi> {
        let dir = self.unified_dir(path)?;
        let read = |file: &str| parse(&read_optional(&dir.join(file)).ok()??);
        let psi = Psi {
            cpu: read("cpu.pressure"),
            io: read("io.pressure"),
            memory: read("memory.pressure"),
        };
        (psi != Psi::default()).then_some(psi)
    }

    /// Why no cgroup of this host has stall times, and what to do; `None` where they exist.
    #[must_use]
    pub fn missing_pressure(&self) -> Option<String> {
        if self.unified_dir("/").is_none() {
            return Some(
                "the kernel keeps stall times in cgroup v2 alone, which is not mounted; try: mkdir -p \
                 /sys/fs/cgroup/unified && mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified"
                    .to_owned(),
            );
        }
        // The kernel makes this folder only when it counts (`psi_proc_init`).
        let counted = self
            .host
            .read("/proc/pressure/cpu")
            .is_ok_and(|text| text.is_some());
        (!counted).then(|| {
            "this kernel does not count stall times; boot it with psi=1 (it needs CONFIG_PSI)"
                .to_owned()
        })
    }
}

/// Stall times between two readings of the same cgroup: those of resources that both have. 0 where a counter went
/// backwards.
#[must_use]
pub fn pressure_between(start: Psi, end: Psi) -> Psi {
    let between = |start: Option<Stall>, end: Option<Stall>| {
        let (start, end) = (start?, end?);
        Some(Stall {
            some_ns: end.some_ns.saturating_sub(start.some_ns),
            full_ns: end.full_ns.saturating_sub(start.full_ns),
        })
    };
    Psi {
        cpu: between(start.cpu, end.cpu),
        io: between(start.io, end.io),
        memory: between(start.memory, end.memory),
    }
}

/// The totals, which are in microseconds; `None` unless both lines are there.
fn parse(text: &str) -> Option<Stall> {
    let total_ns = |kind: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(kind))?;
        let total = line
            .split(' ')
            .find_map(|field| field.strip_prefix("total="))?;
        total.parse::<u64>().ok()?.checked_mul(1000)
    };
    Some(Stall {
        some_ns: total_ns("some ")?,
        full_ns: total_ns("full ")?,
    })
}

#[cfg(test)]
mod tests {
    use super::{parse, pressure_between};
    use crate::model::{Psi, Stall};

    #[test]
    fn totals_in_microseconds() {
        let text = "some avg10=0.05 avg60=1.24 avg300=2.00 total=3951363547\n\
                    full avg10=0.00 avg60=0.00 avg300=0.00 total=17\n";
        assert_eq!(
            parse(text),
            Some(Stall {
                some_ns: 3_951_363_547_000,
                full_ns: 17_000,
            })
        );
        for bad in [
            "",
            "some avg10=0.05 avg60=1.24 avg300=2.00 total=1\n",
            "some total=x\nfull total=1\n",
            "some total=18446744073709551615\nfull total=1\n",
        ] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn fuzz_pressure() {
        let text = "some avg10=0.05 avg60=1.24 avg300=2.00 total=3951363547\n\
                    full avg10=0.00 avg60=0.00 avg300=0.00 total=17\n";
        crate::fuzz::fuzz(&[text], |bytes| {
            let text = String::from_utf8_lossy(bytes);
            if let Some(stall) = parse(&text) {
                assert!(text.contains(&format!("{}", stall.some_ns / 1000)));
                assert_eq!(stall.full_ns % 1000, 0);
            }
        });
    }

    #[test]
    fn windows_have_what_both_readings_have() {
        let stall = |some_ns, full_ns| Some(Stall { some_ns, full_ns });
        let start = Psi {
            cpu: stall(10, 5),
            io: None,
            memory: stall(7, 7),
        };
        let end = Psi {
            cpu: stall(25, 4),
            io: stall(1, 1),
            memory: None,
        };
        assert_eq!(
            pressure_between(start, end),
            Psi {
                cpu: stall(15, 0),
                io: None,
                memory: None,
            }
        );
    }
}
