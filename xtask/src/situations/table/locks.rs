//! Threads that wait for each other.

use super::super::model::{Change, Container, Expected, From, Situation, Truth};

pub(super) const SITUATIONS: &[Situation] = &[
    Situation {
        name: "cpp-lock",
        is: "C++ lock held by one thread",
        containers: &[Container::judged("search", &[], &["/app/reindex", "held"])],
        truth: &[Truth::Waits(&["futex"], 0.5), Truth::Threads(4)],
        expected: Expected::Finding {
            first: &["lock"],
            evidence: &["handle_request", "rebuild_index"],
            advice: &["lock"],
        },
        changes: &[Change::command("search", &["/app/reindex", "copied"])],
        from: From::Work,
    },
    Situation {
        name: "go-mutex",
        is: "Go mutex held during a sleep",
        containers: &[Container::judged(
            "prices",
            &[],
            &["/app/refresh", "inside"],
        )],
        // Goroutines that wait are not threads: the mutex shows in the work alone, eight goroutines of which could do
        // 3000 pieces a second.
        truth: &[Truth::Cores(0.0, 0.3), Truth::Work(10.0, 600.0)],
        expected: Expected::Finding {
            first: &["lock", "sleep"],
            evidence: &[r"fetchFromUpstream|\.refresh|Mutex|Sleep"],
            advice: &["lock|mutex|sleep"],
        },
        changes: &[Change::command("prices", &["/app/refresh", "outside"])],
        from: From::Work,
    },
    Situation {
        name: "java-monitor",
        is: "Java monitor, with 8 GC threads on 2 CPUs",
        containers: &[Container::judged(
            "ledger",
            &["--memory=512m"],
            &[
                "@java",
                "-XX:+UseParallelGC",
                "-XX:ParallelGCThreads=8",
                "-Xmx64m",
                "-jar",
                "/app/ledger.jar",
                "6",
                "shared",
            ],
        )],
        truth: &[Truth::Waits(&["futex"], 0.9), Truth::Cores(0.2, 1.5)],
        expected: Expected::Finding {
            first: &["lock"],
            evidence: &["worker-", "monitor|Ledger"],
            advice: &["lock|monitor|synchronized"],
        },
        changes: &[Change::command(
            "ledger",
            &[
                "@java",
                "-XX:+UseParallelGC",
                "-XX:ParallelGCThreads=2",
                "-Xmx64m",
                "-jar",
                "/app/ledger.jar",
                "6",
                "apart",
            ],
        )],
        from: From::Work,
    },
];
