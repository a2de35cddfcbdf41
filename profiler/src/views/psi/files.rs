//! A cgroup's own stall times, from its pressure files (kernel: `Documentation/accounting/psi.rst`).
//!
//! They are in cgroup v2 only: on a hybrid host, in the v2 folder at the cgroup's path.

use super::{Psi, Stall};
use crate::host::cgroup::Hierarchy;
use crate::host::proc::read_optional;

/// Stall times of the cgroup and all below it since it was created. A resource whose file is not there is absent;
/// `None` when there is none at all: see [`missing`] for the host's reason, or the cgroup is not in v2, is gone, or has
/// them switched off (`cgroup.pressure`).
pub(super) fn read(hierarchy: &Hierarchy, path: &str) -> Option<Psi> {
    let dir = hierarchy.unified_dir(path)?;
    let read = |file: &str| parse(&read_optional(&dir.join(file)).ok()??);
    let psi = Psi {
        cpu: read("cpu.pressure"),
        io: read("io.pressure"),
        memory: read("memory.pressure"),
    };
    (psi != Psi::default()).then_some(psi)
}

/// Why no cgroup of this host has stall times, and what to do; `None` where they exist.
pub(super) fn missing(hierarchy: &Hierarchy) -> Option<String> {
    if hierarchy.unified_dir("/").is_none() {
        return Some(
            "the kernel keeps stall times in cgroup v2 alone, which is not mounted; try: mkdir -p \
             /sys/fs/cgroup/unified && mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified"
                .to_owned(),
        );
    }
    // The kernel makes this folder only when it counts (`psi_proc_init`).
    let counted = hierarchy
        .host()
        .read("/proc/pressure/cpu")
        .is_ok_and(|text| text.is_some());
    (!counted).then(|| {
        "this kernel does not count stall times; boot it with psi=1 (it needs CONFIG_PSI)"
            .to_owned()
    })
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
    use super::{missing, parse, read};
    use crate::host::cgroup::Hierarchy;
    use crate::host::proc::fixture::Fixture;
    use crate::views::psi::{Psi, Stall};

    const WEB: &str = "/docker/fe5215765b75d118956d04673775e556590714c3bdaa76c21f888cb4a2cc4182";

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
    fn stall_times_are_in_v2_where_the_kernel_counts_them() {
        let fixture = Fixture::new("docker-hybrid");
        let hierarchy = Hierarchy::detect(&fixture.host).unwrap();
        let stall = |some_ns, full_ns| Some(Stall { some_ns, full_ns });
        assert_eq!(missing(&hierarchy), None);
        assert_eq!(
            read(&hierarchy, WEB),
            Some(Psi {
                cpu: stall(5_000_017_000, 1_250_000_000),
                io: stall(3_000, 0),
                // Switched off, or a kernel without it: no file.
                memory: None,
            })
        );
        assert_eq!(read(&hierarchy, "/bench/a"), None, "not in v2");

        let fixture = Fixture::new("containerd-v2");
        let hierarchy = Hierarchy::detect(&fixture.host).unwrap();
        assert_eq!(read(&hierarchy, "/kubepods.slice"), None);
        assert_eq!(
            missing(&hierarchy).unwrap(),
            "this kernel does not count stall times; boot it with psi=1 (it needs CONFIG_PSI)"
        );

        fixture.write("/proc/self/cgroup", "1:cpu:/\n");
        let v1 = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        fixture.write("/proc/self/mountinfo", v1);
        let hierarchy = Hierarchy::detect(&fixture.host).unwrap();
        assert_eq!(read(&hierarchy, "/"), None);
        let cause = missing(&hierarchy).unwrap();
        assert!(cause.contains("mount -t cgroup2"), "{cause}");
    }
}
