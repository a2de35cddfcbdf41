//! Rules about quotas, CPUs and memory.

use super::*;

#[test]
fn a_quota_says_what_would_do() {
    let found = throttled().with(quota(50_000, true)).findings();
    let first = &found[0];
    assert_eq!((first.id, first.severity), ("quota", Severity::Critical));
    assert!(
        first.title.contains("0.5 CPU") && first.title.contains("75.0%"),
        "{}",
        first.title
    );
    // Two threads on average, and a tenth more than they had: no more than the host has.
    assert_eq!(first.advice[0], "docker update --cpus 2 app");
    assert!(
        first
            .evidence
            .iter()
            .any(|it| it.contains("95 of 100 periods"))
    );
    assert!(first.evidence.iter().any(|it| it.contains("render()")));
    let speedup = first.gain.as_ref().and_then(|it| it.speedup).unwrap();
    assert!((speedup - 4.0).abs() < 0.1, "{speedup}");
    // Stopped in bursts, but with quota to spare: no more work would come, only sooner.
    let bursts = Made::new()
        .runs("worker-1", &["render", "main"], 3 * SECOND)
        .stack(
            "worker-1",
            (State::Throttled, ""),
            &["render", "main"],
            (40, 3 * SECOND),
        )
        .periods(40, 100)
        .with(quota(50_000, true));
    let gain = bursts.finding("quota").unwrap().gain.unwrap();
    assert!(gain.text.contains("2.0 times as soon"), "{}", gain.text);
    assert_eq!(gain.speedup, None);
    // The one above is the one to change.
    let above = throttled()
        .with(quota(50_000, false))
        .finding("quota")
        .unwrap();
    assert!(
        above.advice[0].contains("cgroup above, /docker,"),
        "{:?}",
        above.advice
    );
}

#[test]
fn a_quota_that_hardly_stops_anything_is_none() {
    let made = Made::new()
        .runs("a", &["work"], 5 * SECOND)
        .stack("a", (State::Throttled, ""), &["work"], (2, SECOND / 50))
        .with(quota(100_000, true));
    assert_eq!(made.finding("quota"), None);
}

#[test]
fn threads_are_counted_by_what_the_runtime_says() {
    let go = Program {
        gomaxprocs: Some(8),
        ..program(Language::Go, &[])
    };
    let found = throttled()
        .with(quota(50_000, true))
        .with(workload(vec![go.clone()], &[]))
        .finding("parallelism")
        .unwrap();
    assert!(found.title.contains("8 threads"), "{}", found.title);
    assert!(
        found.advice[0].starts_with("GOMAXPROCS=1"),
        "{:?}",
        found.advice
    );
    // One that fits, and one that stops nobody.
    let fits = Program {
        gomaxprocs: Some(1),
        ..go.clone()
    };
    let made = throttled()
        .with(quota(50_000, true))
        .with(workload(vec![fits], &[]));
    assert_eq!(made.finding("parallelism"), None);
    let made = Made::new()
        .runs("a", &["work"], SECOND)
        .with(workload(vec![go], &[]));
    assert_eq!(made.finding("parallelism"), None);
}

#[test]
fn collectors_of_java_are_threads_as_well() {
    let java = program(
        Language::Java,
        &[("arguments", "-Xmx64m -XX:ParallelGCThreads=8")],
    );
    let made = Made::new()
        .runs(
            "GC Thread#1",
            &["G1ParEvacuateFollowersClosure"],
            4 * SECOND,
        )
        .stack(
            "GC Thread#2",
            (State::RunQueue, ""),
            &["G1ParEvacuateFollowersClosure"],
            (9, 4 * SECOND),
        )
        .delayed_by(Culprit::Siblings, 4 * SECOND)
        .with(workload(vec![java], &[]));
    let found = made.finding("parallelism").unwrap();
    assert_eq!(found.advice, ["-XX:ParallelGCThreads=2 in place of 8"]);
}

#[test]
fn pages_that_come_back_are_the_limits_doing() {
    let tight = Memory {
        limit: Some(64 << 20),
        is_own: true,
        used: 64 << 20,
        files: 60 << 20,
        limit_hits: 900,
        refaults: 40_000,
        major_faults: 300,
        ..Memory::default()
    };
    let made = || {
        Made::new().runs("a", &["scan", "main"], 2 * SECOND).stack(
            "a",
            (State::BlockedFault, ""),
            &["scan", "main"],
            (900, 6 * SECOND),
        )
    };
    let found = made().with(memory(tight.clone())).findings();
    assert_eq!(
        (found[0].id, found[0].severity),
        ("memory-limit", Severity::Critical)
    );
    assert!(found[0].evidence.iter().any(|it| it.contains("scan()")));
    // What the kernel says of it itself.
    let pressure = Psi {
        memory: Some(Stall {
            some_ns: 3 * SECOND,
            full_ns: SECOND,
        }),
        ..Psi::default()
    };
    let squeezed = made().with(memory(tight.clone())).with(pressure);
    let found = squeezed.finding("memory-limit").unwrap();
    let said = "memory.pressure: some 30.0%, full 10.0% of the time";
    assert!(found.evidence.iter().any(|it| it == said));
    // A cache that is full of pages that nobody needs again.
    let full = Memory {
        refaults: 3,
        major_faults: 0,
        ..tight
    };
    assert_eq!(made().with(memory(full)).finding("memory-limit"), None);
}

#[test]
fn a_heap_without_room_is_the_limits_doing() {
    let made = || {
        Made::new()
            .runs(
                "app",
                &[
                    "runtime.scanobject",
                    "runtime.gcDrain",
                    "runtime.gcBgMarkWorker",
                ],
                6 * SECOND,
            )
            .runs("app", &["main.handle", "main.main"], 2 * SECOND)
    };
    let go = program(Language::Go, &[("GOMEMLIMIT", "40MiB")]);
    let found = made().with(workload(vec![go], &[])).findings();
    assert_eq!(
        (found[0].id, found[0].severity),
        ("memory-limit", Severity::Critical)
    );
    assert!(
        found[0].advice[0].starts_with("GOMEMLIMIT=80MiB"),
        "{:?}",
        found[0].advice
    );
    assert_eq!(made().findings()[0].id, "garbage");
    let little = Made::new().runs("app", &["runtime.gcDrain"], SECOND).runs(
        "app",
        &["main.handle"],
        9 * SECOND,
    );
    assert_eq!(little.findings()[0].id, "cpu-bound");
}

#[test]
fn who_was_killed_comes_first() {
    let killed = Moments {
        oom_kills: 1,
        ..Moments::default()
    };
    let found = throttled()
        .with(quota(50_000, true))
        .with(killed)
        .findings();
    assert_eq!(
        (found[0].id, found[0].severity),
        ("oom-killed", Severity::Critical)
    );
    assert_eq!(
        throttled()
            .with(memory(Memory::default()))
            .finding("oom-killed"),
        None
    );
}

#[test]
fn a_neighbour_is_named() {
    let held_up = |ns| {
        Made::new()
            .runs("a", &["work"], 2 * SECOND)
            .stack("a", (State::RunQueue, ""), &["work"], (900, ns))
            .delayed_by(Culprit::Elsewhere("batch".to_owned()), ns)
    };
    let found = held_up(8 * SECOND).findings();
    assert_eq!(
        (found[0].id, found[0].severity),
        ("neighbour", Severity::Critical)
    );
    assert!(found[0].title.contains("batch"), "{}", found[0].title);
    assert_eq!(held_up(SECOND / 10).finding("neighbour"), None);
    // Its own threads are no neighbour.
    let own = Made::new()
        .runs("a", &["work"], 2 * SECOND)
        .stack("a", (State::RunQueue, ""), &["work"], (900, 8 * SECOND))
        .delayed_by(Culprit::Siblings, 8 * SECOND);
    assert_eq!(own.finding("neighbour"), None);
    // Pinned beside it.
    let pinned = Limits {
        cpu: Cpu {
            cpus: Some("0".to_owned()),
            weight: Some(Weight {
                value: 64,
                usual: 1024,
            }),
            quota: None,
        },
        ..Limits::default()
    };
    let found = held_up(8 * SECOND)
        .with(pinned)
        .finding("neighbour")
        .unwrap();
    assert!(
        found.advice[0].contains("--cpuset-cpus"),
        "{:?}",
        found.advice
    );
}

#[test]
fn a_host_that_is_too_small() {
    let made = |busy_ns| {
        let mut made = Made::new().runs("a", &["work"], 4 * SECOND).stack(
            "a",
            (State::RunQueue, ""),
            &["work"],
            (900, 9 * SECOND),
        );
        for name in ["b", "c", "d", "e"] {
            made = made.delayed_by(Culprit::Elsewhere(name.to_owned()), 9 * SECOND / 4);
        }
        *made.row().time_ns.entry(State::OnCpuKernel).or_default() += busy_ns;
        made
    };
    // Two CPUs have 20 s.
    let found = made(15 * SECOND).finding("host").unwrap();
    assert!(found.title.contains("2 CPUs"), "{}", found.title);
    assert_eq!(made(5 * SECOND).finding("host"), None);
}

#[test]
fn a_hypervisor_that_takes_the_cpus() {
    let made = |hypervisor_ns, interrupts_ns| {
        Made::new()
            .runs("app", &["render", "main"], 5 * SECOND)
            .stolen(hypervisor_ns, interrupts_ns)
            .finding("host")
    };
    // Of ten seconds on two CPUs.
    assert_eq!(made(SECOND / 2, SECOND), None);
    let found = made(2 * SECOND, 0).unwrap();
    assert_eq!(
        (found.severity, found.title.as_str()),
        (
            Severity::Warning,
            "The hypervisor takes 10.0% of the host's CPU time for other machines."
        )
    );
    let found = made(5 * SECOND, 0).unwrap();
    assert_eq!(found.severity, Severity::Critical);
    let found = made(0, 5 * SECOND).unwrap();
    assert!(found.title.starts_with("Interrupts take 25.0%"));
    // Who does nothing misses nothing.
    let idle = Made::new().stolen(5 * SECOND, 0).finding("host");
    assert_eq!(idle, None);
}
