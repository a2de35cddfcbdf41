//! Files of the controllers cpu, cpuset, memory and blkio or io (kernel: `Documentation/admin-guide/cgroup-v1`,
//! `Documentation/admin-guide/cgroup-v2.rst`).

use std::path::Path;

use super::{Cpu, Disk, Limits, Memory, Quota, Weight};
use crate::host::cgroup::{Hierarchy, Version, ancestors};
use crate::host::proc::read_optional;

/// From here on v1 means no limit: the largest number of pages there can be, in bytes.
const NO_LIMIT: u64 = 1 << 62;

/// What the files of a cgroup say; `None` when it is gone.
pub(super) fn read(hierarchy: &Hierarchy, path: &str) -> Option<Limits> {
    let (dir, _) = hierarchy.controller_dir("cpu", path)?;
    if !dir.is_dir() {
        return None;
    }
    Some(Limits {
        cpu: Cpu {
            quota: quota(hierarchy, path),
            weight: weight(hierarchy, path),
            cpus: cpus(hierarchy, path),
        },
        memory: memory(hierarchy, path),
        disk: disk(hierarchy, path),
    })
}

fn text(dir: &Path, file: &str) -> Option<String> {
    read_optional(&dir.join(file)).ok()?
}

fn number(dir: &Path, file: &str) -> Option<u64> {
    text(dir, file)?.trim().parse().ok()
}

/// The least quota of the cgroup and those above it.
fn quota(hierarchy: &Hierarchy, path: &str) -> Option<Quota> {
    let all = ancestors(path).filter_map(|above| {
        let (dir, version) = hierarchy.controller_dir("cpu", above)?;
        let (quota_us, period_us) = match version {
            Version::V1 => (
                number(&dir, "cpu.cfs_quota_us")?,
                number(&dir, "cpu.cfs_period_us")?,
            ),
            Version::V2 => {
                let limit = text(&dir, "cpu.max")?;
                let (quota, period) = limit.trim().split_once(' ')?;
                (quota.parse().ok()?, period.parse().ok()?)
            }
        };
        let burst = match version {
            Version::V1 => "cpu.cfs_burst_us",
            Version::V2 => "cpu.max.burst",
        };
        (quota_us > 0 && period_us > 0).then(|| Quota {
            quota_us,
            period_us,
            burst_us: number(&dir, burst).unwrap_or(0),
            cgroup: above.to_owned(),
            is_own: above == path,
        })
    });
    all.min_by(|a, b| a.cores().total_cmp(&b.cores()))
}

fn weight(hierarchy: &Hierarchy, path: &str) -> Option<Weight> {
    let (dir, version) = hierarchy.controller_dir("cpu", path)?;
    let (file, usual) = match version {
        Version::V1 => ("cpu.shares", 1024),
        Version::V2 => ("cpu.weight", 100),
    };
    let value = number(&dir, file)?;
    Some(Weight { value, usual })
}

/// The CPUs that a cpuset leaves it; `None` where these are all.
fn cpus(hierarchy: &Hierarchy, path: &str) -> Option<String> {
    let all = effective_cpus(hierarchy, "/");
    effective_cpus(hierarchy, path).filter(|own| Some(own) != all.as_ref())
}

/// Where the cgroup itself has no cpuset, that of the nearest above it counts.
fn effective_cpus(hierarchy: &Hierarchy, path: &str) -> Option<String> {
    ancestors(path).find_map(|above| {
        let (dir, version) = hierarchy.controller_dir("cpuset", above)?;
        let file = match version {
            Version::V1 => "cpuset.effective_cpus",
            Version::V2 => "cpuset.cpus.effective",
        };
        let list = text(&dir, file)?;
        let list = list.trim();
        let is_list = |text: &str| {
            text.bytes()
                .all(|it| it.is_ascii_digit() || b",-".contains(&it))
        };
        (!list.is_empty() && is_list(list)).then(|| list.to_owned())
    })
}

fn memory(hierarchy: &Hierarchy, path: &str) -> Option<Memory> {
    let (dir, version) = hierarchy.controller_dir("memory", path)?;
    let limits = ancestors(path).filter_map(|above| {
        let (dir, version) = hierarchy.controller_dir("memory", above)?;
        let file = match version {
            Version::V1 => "memory.limit_in_bytes",
            Version::V2 => "memory.max",
        };
        Some((
            number(&dir, file).filter(|limit| *limit < NO_LIMIT)?,
            above == path,
        ))
    });
    let limit = limits.min_by_key(|(limit, _)| *limit);
    let stat = text(&dir, "memory.stat")?;
    let mut memory = Memory {
        limit: limit.map(|(limit, _)| limit),
        is_own: limit.is_some_and(|(_, is_own)| is_own),
        ..Memory::default()
    };
    match version {
        Version::V1 => {
            memory.used = number(&dir, "memory.usage_in_bytes")?;
            memory.limit_hits = number(&dir, "memory.failcnt").unwrap_or(0);
            memory.oom_kills =
                text(&dir, "memory.oom_control").map_or(0, |control| value(&control, "oom_kill"));
            memory.files = value(&stat, "total_cache").saturating_sub(value(&stat, "total_shmem"));
            memory.refaults = value(&stat, "total_workingset_refault_anon")
                .saturating_add(value(&stat, "total_workingset_refault_file"));
            memory.major_faults = value(&stat, "total_pgmajfault");
        }
        Version::V2 => {
            let events = text(&dir, "memory.events").unwrap_or_default();
            memory.used = number(&dir, "memory.current")?;
            memory.high = number(&dir, "memory.high");
            memory.limit_hits = value(&events, "max");
            memory.high_hits = value(&events, "high");
            memory.oom_kills = value(&events, "oom_kill");
            memory.files = value(&stat, "file").saturating_sub(value(&stat, "shmem"));
            memory.refaults = value(&stat, "workingset_refault_anon")
                .saturating_add(value(&stat, "workingset_refault_file"));
            memory.major_faults = value(&stat, "pgmajfault");
        }
    }
    Some(memory)
}

fn disk(hierarchy: &Hierarchy, path: &str) -> Option<Disk> {
    if let Some((dir, Version::V1)) = hierarchy.controller_dir("blkio", path) {
        let bytes = text(&dir, "blkio.throttle.io_service_bytes_recursive")?;
        let requests = text(&dir, "blkio.throttle.io_serviced_recursive")?;
        return Some(Disk {
            read: by_device(&bytes, "Read"),
            written: by_device(&bytes, "Write"),
            reads: by_device(&requests, "Read"),
            writes: by_device(&requests, "Write"),
        });
    }
    let (dir, _) = hierarchy.controller_dir("io", path)?;
    let stat = text(&dir, "io.stat")?;
    let sum = |key: &str| {
        let fields = stat.split_ascii_whitespace();
        let values = fields.filter_map(|field| field.strip_prefix(key)?.strip_prefix('='));
        values
            .filter_map(|value| value.parse::<u64>().ok())
            .fold(0, u64::saturating_add)
    };
    Some(Disk {
        read: sum("rbytes"),
        written: sum("wbytes"),
        reads: sum("rios"),
        writes: sum("wios"),
    })
}

/// The value of a line `KEY VALUE`; 0 without one.
fn value(text: &str, key: &str) -> u64 {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let found = lines.find(|(name, _)| *name == key);
    found
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0)
}

/// The sum over devices of lines `MAJOR:MINOR KIND VALUE`.
fn by_device(text: &str, kind: &str) -> u64 {
    let values = text.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (device, of, value) = (fields.next()?, fields.next()?, fields.next()?);
        (device.contains(':') && of == kind).then(|| value.parse::<u64>().ok())?
    });
    values.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::{by_device, read, value};
    use crate::host::cgroup::Hierarchy;
    use crate::host::proc::fixture::Fixture;

    #[test]
    fn lines_of_pairs_and_devices() {
        assert_eq!(
            value("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", "oom_kill"),
            3
        );
        assert_eq!(value("oom_kill x\n", "oom_kill"), 0);
        let text = "8:0 Read 100\n8:0 Write 7\n8:16 Read 5\n8:0 Total 107\nTotal 112\n";
        assert_eq!(
            (by_device(text, "Read"), by_device(text, "Write")),
            (105, 7)
        );
    }

    #[test]
    fn limits_of_cgroup_v2_are_the_least_on_the_way_up() {
        let fixture = Fixture::new("containerd-v2");
        let put = |path: &str, text: &str| {
            fixture.write(&format!("/sys/fs/cgroup/shop{path}"), text);
        };
        put("/cpu.max", "50000 100000\n");
        put("/web/cpu.max", "200000 100000\n");
        put("/web/cpu.weight", "50\n");
        put("/web/cpuset.cpus.effective", "0-1\n");
        put("/memory.max", "67108864\n");
        put("/web/memory.max", "max\n");
        put("/web/memory.high", "max\n");
        put("/web/memory.current", "60000000\n");
        put(
            "/web/memory.events",
            "low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\n",
        );
        put(
            "/web/memory.stat",
            "anon 40000000\nfile 20000000\nshmem 5000000\nworkingset_refault_anon 1\nworkingset_refault_file 2\npgmajfault 9\n",
        );
        put(
            "/web/io.stat",
            "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n8:16 rbytes=1 wbytes=2 rios=3 wios=4\n",
        );
        let hierarchy = Hierarchy::detect(&fixture.host).unwrap();
        let limits = read(&hierarchy, "/shop/web").unwrap();
        let quota = limits.cpu.quota.unwrap();
        assert_eq!((quota.cgroup.as_str(), quota.is_own), ("/shop", false));
        assert!((quota.cores() - 0.5).abs() < 1e-9);
        assert_eq!(limits.cpu.weight.unwrap().value, 50);
        assert_eq!(limits.cpu.cpus.as_deref(), Some("0-1"));
        let memory = limits.memory.unwrap();
        assert_eq!((memory.limit, memory.is_own), (Some(67_108_864), false));
        assert_eq!((memory.used, memory.files), (60_000_000, 15_000_000));
        assert_eq!(
            (memory.limit_hits, memory.oom_kills, memory.refaults),
            (12, 1, 3)
        );
        assert_eq!(memory.major_faults, 9);
        let disk = limits.disk.unwrap();
        assert_eq!(
            (disk.read, disk.written, disk.reads, disk.writes),
            (11, 22, 4, 6)
        );
        assert_eq!(read(&hierarchy, "/shop/gone"), None);
    }
}
