//! Too little memory.

use super::super::model::{Change, Container, Expected, From, Situation, Truth};

pub(super) const SITUATIONS: &[Situation] = &[
    Situation {
        name: "go-gc",
        is: "Go garbage collection near GOMEMLIMIT",
        containers: &[Container::judged(
            "catalogue",
            &[
                "--memory=256m",
                "--env=GOMEMLIMIT=120MiB",
                "--env=GOMAXPROCS=2",
            ],
            &["/app/catalogue", "-live=100"],
        )],
        truth: &[Truth::Cores(0.3, 2.0), Truth::Work(50.0, 1e6)],
        expected: Expected::Finding {
            first: &["memory-limit"],
            evidence: &["GOMEMLIMIT", "garbage|GC|gcBgMarkWorker"],
            advice: &["GOMEMLIMIT"],
        },
        changes: &[Change::options(
            "catalogue",
            &["--env=GOMEMLIMIT=?400MiB", "--memory=?512m"],
        )],
        from: From::Work,
    },
    Situation {
        name: "mapped-limit",
        is: "160 MB mapped under a 64 MB limit",
        containers: &[Container::judged(
            "lookup",
            &["--memory=64m"],
            &["/app/lookup", "160"],
        )],
        truth: &[Truth::LimitHits(20.0), Truth::Work(1.0, 1e6)],
        expected: Expected::Finding {
            first: &["memory-limit"],
            evidence: &[r"64|67\.1", "lookup_rows", "fault|refault|reclaim"],
            advice: &[r"--memory[= ]\d+"],
        },
        changes: &[Change::options("lookup", &["--memory=?256m"])],
        from: From::Work,
    },
    Situation {
        name: "oom-kill",
        is: "OOM kill and restart",
        containers: &[Container::judged(
            "sessions",
            &["--memory=64m", "--restart=always"],
            &["/usr/bin/python3", "/app/sessions.py", "120"],
        )],
        truth: &[Truth::Killed(1)],
        expected: Expected::Finding {
            first: &["oom-killed"],
            evidence: &[r"64|67\.1", "kill"],
            advice: &[r"--memory[= ]\d+|memory limit"],
        },
        changes: &[Change::options("sessions", &["--memory=?256m"])],
        from: From::Work,
    },
];
