//! What programs do to themselves.

use super::super::model::{Change, Container, Expected, From, Situation, Truth};

pub(super) const SITUATIONS: &[Situation] = &[
    Situation {
        name: "python-regex",
        is: "Python prefork with a bad regular expression under 1 CPU",
        containers: &[Container::judged(
            "signup",
            &["--cpus=1"],
            &["/usr/bin/python3", "/app/prefork.py", "4", "bad"],
        )],
        truth: &[Truth::Cores(0.3, 1.1)],
        expected: Expected::Finding {
            first: &["cpu-bound", "quota"],
            // Debian's Python has no names for functions that are not exported, such as those of regular expressions.
            evidence: &["sre|validate|functions of python3"],
            advice: &["sre_|_sre|regular expression|validate|--cpus"],
        },
        changes: &[Change::options("signup", &["--cpus=?2"])],
        from: From::Work,
    },
    Situation {
        name: "node-blocked",
        is: "Node event loop blocked",
        containers: &[
            Container::judged("reports", &[], &["@node", "/app/reports.js", "here"]),
            Container::beside(
                "load",
                &[],
                &[
                    "/app/load",
                    "-url=http://reports:8080/",
                    "-clients=2",
                    "-think=10ms",
                ],
            ),
        ],
        truth: &[Truth::Cores(0.1, 1.2)],
        expected: Expected::Finding {
            first: &["event-loop"],
            evidence: &["event loop|main thread", r"\d+ ?ms|\d s"],
            advice: &["worker_threads|worker thread|perf-basic-prof"],
        },
        changes: &[Change::command(
            "reports",
            &["@node", "/app/reports.js", "worker"],
        )],
        from: From::Work,
    },
    Situation {
        name: "entrypoint",
        is: "slow entrypoint",
        containers: &[
            Container::beside("db", &[], &["/usr/bin/python3", "/app/late.py", "60"]),
            Container::judged("app", &[], &["/bin/bash", "/app/entrypoint.sh", "db"]),
        ],
        truth: &[
            Truth::Waits(&["nanosleep"], 0.7),
            Truth::Cores(0.0, 0.2),
            Truth::Work(0.0, 0.0),
        ],
        expected: Expected::Finding {
            first: &["sleep"],
            evidence: &["sleep", "bash|entrypoint"],
            advice: &["sleep|wait"],
        },
        changes: &[],
        from: From::Birth,
    },
    Situation {
        name: "short-lived",
        is: "shell loop of short processes",
        containers: &[Container::judged(
            "rotate",
            &[],
            &["/bin/bash", "/app/rotate.sh", "processes"],
        )],
        truth: &[Truth::Births(100.0), Truth::Cores(0.2, 2.0)],
        expected: Expected::Finding {
            first: &["short-lived"],
            evidence: &["sed|cut|expr", r"\d+ (processes )?(per|a) second|/s"],
            advice: &["process|builtin"],
        },
        changes: &[Change::command(
            "rotate",
            &["/bin/bash", "/app/rotate.sh", "builtins"],
        )],
        from: From::Work,
    },
    Situation {
        name: "epoll-spin",
        is: "epoll that spins, with 1-byte writes",
        containers: &[Container::judged(
            "relay",
            &[],
            &["/app/relay", "1", "spin", "0"],
        )],
        truth: &[Truth::Cores(0.4, 2.0), Truth::Threads(2)],
        expected: Expected::Finding {
            first: &["syscall-storm"],
            evidence: &["epoll_wait", "write", "poll_events|send_events|1 byte"],
            advice: &["batch|buffer|larger|time-?out|block"],
        },
        changes: &[Change::command(
            "relay",
            &["/app/relay", "64", "block", "0"],
        )],
        from: From::Work,
    },
    Situation {
        name: "rate-limit",
        is: "rate limit by a sleep in a function of its own",
        containers: &[Container::judged("sender", &[], &["/app/limiter", "10"])],
        truth: &[Truth::Waits(&["nanosleep"], 0.8), Truth::Work(50.0, 100.0)],
        expected: Expected::Finding {
            first: &["sleep"],
            evidence: &["wait_for_token", "sleep"],
            advice: &["wait_for_token|sleep"],
        },
        changes: &[Change::command("sender", &["/app/limiter", "0"])],
        from: From::Work,
    },
];
