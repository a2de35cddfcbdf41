//! Rules about waits.

use super::*;

#[test]
fn a_lock_has_a_holder() {
    let waits = [
        "__lll_lock_wait@libc.so.6",
        "pthread_mutex_lock@libc.so.6",
        "handle",
        "serve",
    ];
    let made = || {
        Made::new()
            .stack("web", LOCK, &waits, (50, 9 * SECOND))
            .runs("web", &["handle", "serve"], SECOND / 2)
            .stack(
                "gc",
                (State::BlockedSleep, "clock_nanosleep"),
                &["usleep@libc.so.6", "compact", "main"],
                (90, 8 * SECOND),
            )
    };
    let holder = Moments {
        wakers: vec![Waker {
            thread: "gc".to_owned(),
            functions: ["__lll_lock_wake", "pthread_mutex_unlock", "compact", "main"]
                .map(str::to_owned)
                .to_vec(),
            waited_in: waits.map(str::to_owned).to_vec(),
            count: 50,
            ns: 9 * SECOND,
        }],
        ..Moments::default()
    };
    let found = made().with(holder).finding("lock").unwrap();
    assert!(
        found.title.contains("handle()") && found.title.contains("compact()"),
        "{}",
        found.title
    );
    assert!(
        found
            .evidence
            .iter()
            .any(|it| it.contains("thread gc") && it.contains("sleeps on purpose")),
        "{:?}",
        found.evidence
    );
    assert!(made().finding("lock").is_some());
    // A pool that waits for work.
    let pool = [
        "futex_wait@libc.so.6",
        "pthread_cond_wait@libc.so.6",
        "take_job",
        "worker",
    ];
    let idle = Made::new().stack("pool-1", LOCK, &pool, (3, 80 * SECOND));
    let found = idle.findings();
    assert_eq!(found.iter().map(|it| it.id).collect::<Vec<_>>(), ["idle"]);
    // All of it was woken, and wants the condition's lock back.
    let herd = [
        "__lll_lock_wait@libc.so.6",
        "__pthread_mutex_cond_lock@libc.so.6",
        "pthread_cond_wait@libc.so.6",
        "worker",
    ];
    let herd = Made::new().stack("pool-1", LOCK, &herd, (300, 80 * SECOND));
    assert_eq!(herd.finding("lock"), None);
}

/// Runtimes build theirs from conditions.
#[test]
fn locks_of_runtimes_are_locks() {
    let asleep = ["__futex_wait@libc.so.6", "pthread_cond_wait@libc.so.6"];
    let waits = |outer: &[&str]| {
        Made::new()
            .stack("w-1", LOCK, &[&asleep[..], outer].concat(), (99, SECOND))
            .runs("w-2", &["work", "serve"], SECOND)
            .finding("lock")
    };
    let java = [
        "os::PlatformEvent::park@libjvm.so",
        "ObjectMonitor::EnterI@libjvm.so",
        "ObjectMonitor::enter@libjvm.so",
        "SharedRuntime::complete_monitor_locking_C@libjvm.so",
    ];
    let found = waits(&java).unwrap();
    assert_eq!(
        found.title,
        "Its threads wait for a Java monitor (synchronized)."
    );
    assert!(found.advice.iter().any(|it| it.contains("Thread.print")));
    let python = ["take_gil@libpython3.11.so", "PyEval_RestoreThread", "main"];
    assert!(waits(&python).unwrap().title.contains("Python's global"));
    let ruby = [
        "thread_sched_to_running@libruby.so",
        "rb_thread_io_blocking",
    ];
    assert!(waits(&ruby).unwrap().title.contains("Ruby's global"));
    // Object.wait(): not yet notified, and notified with all others.
    let wait = ["ObjectMonitor::wait@libjvm.so", "JVM_MonitorWait@libjvm.so"];
    assert_eq!(waits(&wait), None);
    let back = [
        "os::PlatformEvent::park@libjvm.so",
        "ObjectMonitor::ReenterI@libjvm.so",
        "ObjectMonitor::wait@libjvm.so",
        "JVM_MonitorWait@libjvm.so",
    ];
    assert_eq!(waits(&back), None);
    // A queue of its own.
    assert_eq!(waits(&["take_job", "serve"]), None);
}

#[test]
fn durable_writes_say_who_makes_them_and_who_else_writes() {
    let made = || {
        Made::new()
            .stack(
                "a",
                (State::BlockedDisk, "fsync"),
                &["fsync@libc.so.6", "append", "main"],
                (800, 8 * SECOND),
            )
            .runs("a", &["append", "main"], SECOND / 2)
    };
    let written = Limits {
        disk: Some(Disk {
            written: 3 << 20,
            ..Disk::default()
        }),
        ..Limits::default()
    };
    let found = made().with(written).findings();
    assert_eq!(
        (found[0].id, found[0].severity),
        ("disk", Severity::Critical)
    );
    assert!(
        found[0].advice[0].contains("append()"),
        "{:?}",
        found[0].advice
    );
    let reads = Made::new()
        .stack(
            "a",
            (State::BlockedDisk, "read"),
            &["read@libc.so.6", "load"],
            (8, SECOND / 20),
        )
        .runs("a", &["work"], 5 * SECOND);
    assert_eq!(reads.finding("disk"), None);
}

#[test]
fn a_peer_that_does_not_answer_is_named() {
    let made = || {
        Made::new()
            .stack(
                "app",
                POLLS,
                &["epoll_wait@libc.so.6", "main"],
                (50, 9 * SECOND),
            )
            .runs("app", &["render", "main"], SECOND / 5)
    };
    let slow = workload(Vec::new(), &[("10.0.0.9:8080", Waiting::Answer, 90, 400)]);
    let found = made().with(slow).findings();
    assert_eq!(
        (found[0].id, found[0].severity),
        ("network", Severity::Critical)
    );
    assert!(
        found[0].title.contains("10.0.0.9:8080"),
        "{}",
        found[0].title
    );
    // Where it is known whose address that is.
    let mut slow = workload(Vec::new(), &[("10.0.0.9:8080", Waiting::Answer, 90, 400)]);
    slow.peers[0].container = Some("prices".to_owned());
    let found = made().with(slow).finding("network").unwrap();
    assert_eq!(
        (found.title.as_str(), found.advice[0].as_str()),
        (
            "It waits for answers of prices (10.0.0.9:8080).",
            "ctprof doctor --container prices says why that is slow"
        )
    );
    // Nothing outstanding: it waits for whoever connects to it.
    let found = made().with(workload(Vec::new(), &[])).findings();
    assert!(
        found.iter().all(|it| it.severity == Severity::Info),
        "{found:?}"
    );
    // Quick answers are what it does.
    let quick = workload(Vec::new(), &[("10.0.0.9:6379", Waiting::Answer, 60, 2)]);
    let found = made().with(quick).finding("network").unwrap();
    assert_eq!(found.severity, Severity::Info);
}

#[test]
fn queues_of_listeners() {
    let full = |overflows| Workload {
        traffic: Some(Traffic {
            overflows,
            ..Traffic::default()
        }),
        ..workload(Vec::new(), &[])
    };
    let made = || Made::new().runs("a", &["serve"], SECOND / 10);
    let found = made().with(full(40)).findings();
    assert_eq!(
        (found[0].id, found[0].severity),
        ("network", Severity::Critical)
    );
    assert_eq!(made().with(full(0)).finding("network"), None);
    // Those of the host's namespace may be anybody's.
    let hosts = Workload {
        traffic: Some(Traffic {
            is_hosts: true,
            overflows: 40,
            ..Traffic::default()
        }),
        ..workload(Vec::new(), &[])
    };
    assert_eq!(made().with(hosts).finding("network"), None);
}

#[test]
fn names_that_do_not_come() {
    let asks = [
        "poll@libc.so.6",
        "__res_context_send@libc.so.6",
        "getaddrinfo@libc.so.6",
        "fetch",
        "main",
    ];
    let made = Made::new()
        .stack("app", (State::BlockedPoll, "poll"), &asks, (2, 9 * SECOND))
        .with(workload(
            Vec::new(),
            &[("10.0.0.2:53", Waiting::Name, 95, 0)],
        ));
    let found = made.findings();
    assert_eq!(
        (found[0].id, found[0].severity),
        ("dns", Severity::Critical)
    );
    assert!(found[0].title.contains("10.0.0.2:53"), "{}", found[0].title);
    assert!(
        found[0].evidence.iter().any(|it| it.contains("fetch()")),
        "{:?}",
        found[0].evidence
    );
    let none = Made::new().stack(
        "app",
        (State::BlockedPoll, "poll"),
        &["poll@libc.so.6", "main"],
        (2, 9 * SECOND),
    );
    assert_eq!(none.finding("dns"), None);
}

#[test]
fn an_event_loop_that_computes() {
    let made = |polls| {
        Made::new()
            .runs("node", &["sort_all", "main"], 5 * SECOND)
            .stack(
                "node",
                POLLS,
                &["epoll_wait@libc.so.6", "uv__io_poll", "main"],
                (polls, 5 * SECOND),
            )
    };
    let found = made(20).finding("event-loop").unwrap();
    assert_eq!(found.severity, Severity::Critical);
    assert!(found.title.contains("sort_all()"), "{}", found.title);
    // Short handlers, and then one that is not.
    assert_eq!(made(5_000).finding("event-loop"), None);
    let once = Moments {
        longest: vec![("node".to_owned(), SECOND / 10)],
        ..Moments::default()
    };
    let looks = |count| {
        Syscalls(vec![Syscall {
            name: "epoll_wait".to_owned(),
            count,
            ..Syscall::default()
        }])
    };
    // Looks that do not wait end stretches only where they are seen.
    assert_eq!(made(5_000).with(once.clone()).finding("event-loop"), None);
    let seen = made(5_000).with(once).with(looks(20_000));
    let found = seen.finding("event-loop").unwrap();
    assert_eq!(found.severity, Severity::Warning);
    // One that never waits, because there is always something to do.
    let busy = |count| {
        let node = Program {
            name: "node".to_owned(),
            ..program(Language::Node, &[])
        };
        Made::new()
            .runs("node", &["sort_all", "main"], 9 * SECOND)
            .with(looks(count))
            .with(workload(vec![node], &[]))
    };
    assert_eq!(
        busy(20).finding("event-loop").unwrap().severity,
        Severity::Critical
    );
    assert_eq!(busy(50_000).finding("event-loop"), None);
    // All threads have one name, and a helper of the runtime waits for its own timers.
    let timers = [
        "epoll_pwait@libc.so.6",
        "uv__io_poll",
        "node::WorkerThreadsTaskRunner::DelayedTaskScheduler::Start()::{lambda}",
        "start_thread@libc.so.6",
    ];
    let aside = made(20).stack("node", POLLS, &timers, (1, 10 * SECOND));
    assert!(aside.finding("event-loop").is_some());
}

#[test]
fn sleeps_in_steps_and_sleeps_of_nobody() {
    let sleep = |times, ns| {
        Made::new()
            .stack(
                "a",
                (State::BlockedSleep, "clock_nanosleep"),
                &["usleep@libc.so.6", "limit_rate", "main"],
                (times, ns),
            )
            .runs("a", &["work", "main"], SECOND / 5)
    };
    let found = sleep(400, 9 * SECOND).findings();
    assert_eq!((found[0].id, found[0].severity), ("sleep", Severity::Info));
    assert!(
        found[0].title.contains("limit_rate()"),
        "{}",
        found[0].title
    );
    // A heartbeat, and a shell that sleeps.
    assert_eq!(sleep(9, 9 * SECOND).finding("sleep"), None);
    assert_eq!(sleep(1, 10 * SECOND).finding("sleep"), None);
}
