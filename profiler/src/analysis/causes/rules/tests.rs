//! Each rule with evidence made for it, and the sentence that it makes of it.

use std::sync::Arc;

use super::*;
use crate::analysis::View;
use crate::analysis::causes::Causes;
use crate::model::{Bucket, ContainerIdentity, Runtime};
use crate::model::{
    CfsFigures, Container, Culprit, Delay, Frame, FrameKind, FrameTable, Histogram, Ledger, Stack,
    Window,
};

const MS: u64 = 1_000_000;

/// A container whose threads spent these times, in ms, with a stack for each: `work`, called by `main`.
fn container(frames: &mut FrameTable, times: &[(State, &str, u64, u64)]) -> Container {
    let mut frame = |name: &str| {
        frames.intern(Frame {
            function: name.into(),
            kind: FrameKind::User,
            module: None,
            address: 0,
            inlined: false,
            file: None,
            line: 0,
        })
    };
    let stack = vec![frame("work"), frame("main")];
    let mut container = Container {
        ledger: Some(Ledger::default()),
        ..Container::default()
    };
    for (state, syscall, count, ms) in times {
        container.time_ns.insert(*state, ms * MS);
        container.stacks.push(Stack {
            state: *state,
            pid: 1,
            thread: "t".into(),
            frames: stack.clone(),
            count: *count,
            time_ns: ms * MS,
            syscall: (!syscall.is_empty()).then(|| Arc::from(*syscall)),
            burnt_quota: false,
        });
    }
    container
}

/// What the rule with this id says about the first of the containers, in a recording of 10 s.
fn said(id: &str, frames: FrameTable, containers: Vec<Container>) -> Option<String> {
    let window = Window {
        duration_ns: 10_000 * MS,
        frames,
        rows: containers,
        ..Window::default()
    };
    let (view, order) = View::of(&window);
    let position = order.iter().position(|index| *index == 0).unwrap();
    let causes = Causes::of(&view);
    let evidence = causes.evidence(position);
    let rule = ALL.iter().find(|rule| rule.id == id).unwrap();
    let ns = (rule.ns)(&evidence);
    (ns > 0).then(|| (rule.words)(&evidence, ns))
}

/// The same for a container with these times alone.
fn said_of(id: &str, times: &[(State, &str, u64, u64)]) -> Option<String> {
    let mut frames = FrameTable::default();
    let container = container(&mut frames, times);
    said(id, frames, vec![container])
}

#[test]
fn throttled() {
    let mut frames = FrameTable::default();
    let mut it = container(
        &mut frames,
        &[
            (State::OnCpuUser, "", 120, 3_000),
            (State::RunQueue, "", 10, 2_000),
            (State::Throttled, "", 45, 20_000),
            (State::BlockedSleep, "", 1, 5_000),
        ],
    );
    assert_eq!(
        said("throttled", frames.clone(), vec![it.clone()]).unwrap(),
        "throttled 80.0% of the time its threads could run (20.0 s): by a quota of a cgroup below, or one that was lifted, \
         2.5 runnable threads; mostly in work()"
    );
    for (limited, words) in [
        (
            20_000,
            "by a limit on real-time threads (cpu.rt_runtime_us, kernel.sched_rt_runtime_us) or a deadline's budget, 2.5",
        ),
        (
            5_000,
            "25.0% of it by a limit on real-time threads (cpu.rt_runtime_us, kernel.sched_rt_runtime_us) or a deadline's budget, \
                 else by a quota of a cgroup below, or one that was lifted, 2.5",
        ),
    ] {
        it.ledger = Some(Ledger {
            limited_ns: limited * MS,
            ..Ledger::default()
        });
        let text = said("throttled", frames.clone(), vec![it.clone()]).unwrap();
        assert!(
            text.contains(&format!("(20.0 s): {words} runnable threads")),
            "{text}"
        );
    }
    it.ledger = Some(Ledger::default());
    it.cpu_quota_cores = Some(0.3);
    it.cfs = Some(CfsFigures {
        periods: 45,
        throttled_periods: 41,
        ..CfsFigures::default()
    });
    // What burnt the quota is said where it is not what was stopped.
    it.stacks[0].burnt_quota = true;
    let same = said("throttled", frames.clone(), vec![it.clone()]).unwrap();
    assert!(
        same.ends_with("; 41 of 45 periods; mostly in work()"),
        "{same}"
    );
    it.stacks[0].frames.remove(0);
    assert_eq!(
        said("throttled", frames, vec![it]).unwrap(),
        "throttled 80.0% of the time its threads could run (20.0 s): quota 0.30 CPU, 2.5 runnable threads; 41 of 45 \
         periods; mostly in work(); quota burnt mostly in main()"
    );
    assert_eq!(said_of("throttled", &[(State::Throttled, "", 0, 0)]), None);
}

#[test]
fn run_queue() {
    let times = [
        (State::RunQueue, "", 10, 2_000),
        (State::OnCpuUser, "", 1, 10),
    ];
    for (culprit, words) in [
        (Culprit::Siblings, "its own threads ran"),
        (Culprit::Row(1), "noisy ran"),
        (Culprit::Row(2), "processes of the host ran"),
        (Culprit::Host, "processes of the host ran"),
        (Culprit::Kernel, "kernel threads ran"),
        (Culprit::Elsewhere("batch".into()), "batch ran"),
        (Culprit::Idle, "a CPU woke up from idle"),
    ] {
        let mut frames = FrameTable::default();
        let mut it = container(&mut frames, &times);
        it.ledger = Some(Ledger {
            delayed_by: vec![
                Delay {
                    culprit,
                    ns: 1_560 * MS,
                },
                Delay {
                    culprit: Culprit::Unknown,
                    ns: 440 * MS,
                },
            ],
            run_queue_latency: Histogram {
                count: 100,
                sum_ns: 2_000 * MS,
                max_ns: 11 * MS,
                buckets: vec![Bucket {
                    from_ns: 4 * MS,
                    to_ns: 5 * MS,
                    count: 100,
                }],
            },
            ..Ledger::default()
        });
        let named = |name: &str, runtime: Runtime| Container {
            identity: ContainerIdentity {
                name: name.into(),
                runtime,
                ..ContainerIdentity::default()
            },
            ..Container::default()
        };
        let others = [
            named("noisy", Runtime::Docker),
            named("host", Runtime::Host),
        ];
        let said = said("run_queue", frames, [vec![it], others.to_vec()].concat());
        let expected = format!(
            "waited 2.00 s for a CPU: 78.0% while {words}; p99 4.50 ms, max 11.0 ms; mostly in work()"
        );
        assert_eq!(said.unwrap(), expected);
    }
    // Measured without a matrix and a histogram.
    let said = said_of("run_queue", &times).unwrap();
    assert_eq!(said, "waited 2.00 s for a CPU: mostly in work()");
}

#[test]
fn blocked_for_a_reason() {
    for (id, state, syscall, count, expected) in [
        (
            "disk",
            State::BlockedDisk,
            "fsync",
            412,
            "blocked on disk for 800 ms: slept 412 times in fsync",
        ),
        (
            "page_fault",
            State::BlockedFault,
            "",
            75,
            "waited 800 ms in page faults: ",
        ),
        (
            "lock",
            State::BlockedLock,
            "futex",
            1,
            "waited 800 ms for locks or other threads: slept 1 time in futex",
        ),
        (
            "net",
            State::BlockedNet,
            "recvfrom",
            3,
            "waited 800 ms on sockets: slept 3 times in recvfrom",
        ),
        (
            "pipe",
            State::BlockedPipe,
            "read",
            3,
            "waited 800 ms on pipes: slept 3 times in read",
        ),
        (
            "child",
            State::BlockedChild,
            "wait4",
            3,
            "waited 800 ms for child processes: slept 3 times in wait4",
        ),
        (
            "other",
            State::BlockedOther,
            "",
            3,
            "blocked for other reasons for 800 ms: ",
        ),
        (
            "poll",
            State::BlockedPoll,
            "epoll_wait",
            3,
            "waited 800 ms for events: slept 3 times in epoll_wait",
        ),
        (
            "sleep",
            State::BlockedSleep,
            "clock_nanosleep",
            3,
            "slept 800 ms on purpose: slept 3 times in clock_nanosleep",
        ),
    ] {
        let times = [(state, syscall, count, 800), (State::OnCpuUser, "", 1, 100)];
        let separator = if syscall.is_empty() { "" } else { "; " };
        assert_eq!(
            said_of(id, &times).unwrap(),
            format!("{expected}{separator}mostly in work()")
        );
        assert_eq!(said_of(id, &[(State::RunQueue, "", 1, 1)]), None, "{id}");
    }
}

#[test]
fn waits_of_idle_threads_are_no_cause() {
    let mut frames = FrameTable::default();
    let mut it = container(
        &mut frames,
        &[
            (State::BlockedLock, "futex", 10, 3_000),
            (State::OnCpuUser, "", 10, 1_000),
        ],
    );
    let idle = Stack {
        thread: "pool".into(),
        time_ns: 90_000 * MS,
        ..it.stacks[0].clone()
    };
    it.stacks.push(idle);
    it.time_ns.insert(State::BlockedLock, 93_000 * MS);
    let said = said("lock", frames, vec![it]).unwrap();
    assert!(said.starts_with("waited 3.00 s for locks"), "{said}");
}

#[test]
fn on_cpu() {
    let times = |user, kernel, poll| {
        [
            (State::OnCpuUser, "", 1, user),
            (State::OnCpuKernel, "", 1, kernel),
            (State::BlockedPoll, "", 1, poll),
        ]
    };
    assert_eq!(
        said_of("on_cpu", &times(4_500, 500, 5_000)).unwrap(),
        "ran for 5.00 s: 10.0% of it in the kernel; mostly in work()"
    );
    assert_eq!(
        said_of("on_cpu", &times(4_500, 499, 5_001)),
        None,
        "less than half"
    );
    assert_eq!(
        said_of("on_cpu", &times(900, 99, 0)),
        None,
        "too little to notice in 10 s"
    );
}

#[test]
fn lost_time_comes_first_and_small_change_not_at_all() {
    let mut frames = FrameTable::default();
    let container = container(
        &mut frames,
        &[
            (State::OnCpuUser, "", 1, 2_000),
            (State::RunQueue, "", 1, 99),
            (State::BlockedDisk, "", 1, 1_000),
            (State::BlockedNet, "", 1, 1_801),
            (State::BlockedPoll, "", 1, 5_100),
        ],
    );
    let window = Window {
        duration_ns: 10_000 * MS,
        frames,
        rows: vec![container],
        ..Window::default()
    };
    let (view, _) = View::of(&window);
    let causes = Causes::of(&view).largest(0);
    let ids: Vec<(&str, u64)> = causes
        .iter()
        .map(|it| (it.id.as_str(), it.ns / MS))
        .collect();
    // Half of net is less than disk, a tenth of poll least; the run queue is below a percent of 10 s.
    assert_eq!(ids, [("disk", 1_000), ("net", 1_801), ("poll", 5_100)]);
}
