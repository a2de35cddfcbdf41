//! Readings as an agent would give them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ctprof::analysis::isolation::Layer;
use ctprof::model::{
    Bucket, CfsFigures, Container, ContainerIdentity, Delayer, Fixed, Group, GroupKey, Histogram,
    Latency, LatencyBucket, Ledger, Loss, ProgramCost, Reading, Runtime, State, Stolen,
    Unavailable,
};
use ctprof::views::isolation::Sampled;
use ctprof::views::psi::{Psi, Stall};
use ctprof::views::syscalls::{Syscall, Syscalls};
use ctprof_ebpf::histogram;

/// A histogram of these values, counted as the kernel half does.
pub(crate) fn durations(values: &[u64]) -> Histogram {
    let mut counts: BTreeMap<usize, u64> = BTreeMap::new();
    for value in values {
        *counts.entry(histogram::bucket(*value)).or_default() += 1;
    }
    let bucket = |(index, count): (&usize, &u64)| {
        let (from_ns, to_ns) = histogram::bounds(*index);
        Bucket {
            from_ns,
            to_ns,
            count: *count,
        }
    };
    Histogram {
        count: values.len() as u64,
        sum_ns: values.iter().sum(),
        max_ns: values.iter().copied().max().unwrap_or(0),
        buckets: counts.iter().map(bucket).collect(),
    }
}

fn latency(values: &[u64]) -> Latency {
    let it = durations(values);
    let bucket = |bucket: &Bucket| LatencyBucket {
        from_ns: bucket.from_ns,
        to_ns: bucket.to_ns,
        count: bucket.count,
        sum_ns: 0,
    };
    Latency {
        count: it.count,
        sum_ns: it.sum_ns,
        buckets: it.buckets.iter().map(bucket).collect(),
    }
}

/// A row with a ledger in which nothing has happened yet.
pub(crate) fn quiet(name: &str, runtime: Runtime) -> Group {
    let fixed = [Fixed::Host, Fixed::Kernel]
        .into_iter()
        .find(|fixed| fixed.runtime() == runtime);
    let cgroup = match fixed {
        Some(_) => String::new(),
        None => format!("/{runtime}/{name}"),
    };
    Group {
        key: fixed.map_or_else(
            || GroupKey {
                container: name.to_owned(),
                ..GroupKey::default()
            },
            GroupKey::fixed,
        ),
        alive: true,
        figures: Container {
            identity: ContainerIdentity {
                name: name.to_owned(),
                runtime,
                cgroup,
                ..ContainerIdentity::default()
            },
            ledger: Some(Ledger::default()),
            ..Container::default()
        },
        delayed_by: Vec::new(),
        findings: Vec::new(),
    }
}

/// A container under a quota of half a CPU, with everything.
pub(crate) fn limited() -> Group {
    let mut group = quiet("web", Runtime::Docker);
    group.key.pod = "web-7f9c".into();
    group.key.namespace = "shop".into();
    group.delayed_by = vec![
        (Delayer::Row("noisy".into()), 3_000_000_000),
        (Delayer::Other, 250_000_000),
    ];
    group.findings = vec![("disk", "warning"), ("quota", "critical")];
    let it = &mut group.figures;
    it.identity.id = "c0ffee".repeat(10);
    it.identity.image = "shop/web:1.4".into();
    it.cpu_quota_cores = Some(0.5);
    it.threads = Some(8);
    it.time_ns = State::ALL
        .into_iter()
        .zip((1..).map(|n| n * 1_500_000_000))
        .collect();
    it.ledger = Some(Ledger {
        threads_born: 10,
        threads_exited: 2,
        voluntary_switches: 1_000,
        involuntary_switches: 300,
        migrations: 17,
        run_queue_latency: durations(&[500, 4_095, 4_096, 1_000_000, 3_000_000_000, 9_000_000_000]),
        throttle_duration: durations(&[50_000_000, 51_000_000]),
        ..Ledger::default()
    });
    let stall = |some_ns| {
        Some(Stall {
            some_ns,
            full_ns: some_ns / 2,
        })
    };
    it.measured.insert(Psi {
        cpu: stall(8_000_000_000),
        io: stall(2_000_000),
        memory: None,
    });
    it.cfs = Some(CfsFigures {
        usage_ns: Some(4_500_000_000),
        periods: 100,
        throttled_periods: 41,
        throttled_ns: 3_210_000_000,
        throttled_local_ns: None,
        bursts: 0,
        burst_ns: 0,
    });
    it.measured.insert(Syscalls(vec![
        Syscall {
            name: "read".into(),
            count: 4,
            errors: [("EAGAIN".to_owned(), 1)].into(),
            total_ns: Some(2_000_000),
            latency: latency(&[900, 1_000_000, 999_100]),
            ..Syscall::default()
        },
        Syscall {
            name: "getpid".into(),
            abi: "i386".into(),
            count: 1,
            ..Syscall::default()
        },
    ]));
    let layers = [
        (Layer::Overlayfs, 1_500_000_000),
        (Layer::Memory, 52_631_578),
    ];
    it.measured.insert(Sampled(layers.into()));
    group
}

/// Three rows, losses, a view that is missing.
pub(crate) fn small() -> Reading {
    Reading {
        uptime: Duration::from_millis(90_500),
        groups: vec![
            limited(),
            quiet("host", Runtime::Host),
            quiet("kernel", Runtime::Kernel),
        ],
        total_ns: [(State::OnCpuUser, 7_000_000_000), (State::Throttled, 1)].into(),
        groups_ended: 5,
        groups_refused: 1,
        stolen: Some(Stolen {
            hypervisor_ns: 1_000_000_000,
            interrupts_ns: 2_500_000_000,
        }),
        lost: [(Loss::EventDropped, 3), (Loss::ScopeFull, 0)].into(),
        unavailable: vec![Unavailable {
            view: ctprof::model::ViewId::THROTTLED_EXACT,
            cause: "no clock".into(),
        }],
        programs: vec![
            program("sched_switch", Some((10, Duration::from_micros(7)))),
            // The kernel cuts names: two programs may share one.
            program("sched_switch", Some((5, Duration::from_micros(3)))),
            program("cgroup_mkdir", None),
        ],
    }
}

fn program(name: &str, runs: Option<(u64, Duration)>) -> ProgramCost {
    ProgramCost {
        name: name.to_owned(),
        verified_instructions: Some(1_000),
        runs,
    }
}

/// As many containers, each with all that a container without system calls has.
pub(crate) fn large(containers: usize) -> Arc<Reading> {
    let mut reading = small();
    reading.groups.extend((0..containers).map(|number| {
        let mut group = limited();
        group.figures.measured.remove::<Syscalls>();
        group.key.container = format!("container-{number}");
        group.delayed_by = (0..6)
            .map(|culprit| {
                let name = format!("container-{culprit}");
                (Delayer::Row(name), 1_234_567_891 * culprit)
            })
            .collect();
        group
    }));
    Arc::new(reading)
}
