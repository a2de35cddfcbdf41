//! Too little of a CPU: quotas, weights, CPU sets.

use super::super::model::{Change, Container, Expected, From, Situation, Truth};

pub(super) const SITUATIONS: &[Situation] = &[
    Situation {
        name: "go-quota",
        is: "Go server with GOMAXPROCS 8 under 0.5 CPU",
        containers: &[
            Container::judged(
                "api",
                &["--cpus=0.5", "--env=GOMAXPROCS=8"],
                &["/app/api", "-hash=4000"],
            ),
            Container::beside("load", &[], &["/app/load", "-clients=4", "-think=15ms"]),
        ],
        truth: &[Truth::Throttled(0.5, 1.0), Truth::Cores(0.4, 0.55)],
        expected: Expected::Finding {
            first: &["quota", "parallelism"],
            evidence: &[r"0\.5", "periods", "renderPage", "GOMAXPROCS|8 "],
            advice: &[r"--cpus[= ][0-9.]+", r"GOMAXPROCS[= ]\d"],
        },
        changes: &[Change::options(
            "api",
            &["--cpus=?1.5", "--env=GOMAXPROCS=?2"],
        )],
        from: From::Work,
    },
    Situation {
        name: "quota-bursts",
        is: "60 idle threads and bursts under 0.5 CPU",
        containers: &[Container::judged(
            "batch",
            &["--cpus=0.5"],
            &["/app/bursts", "60", "2", "60", "300"],
        )],
        truth: &[
            Truth::Throttled(0.15, 0.9),
            Truth::Cores(0.1, 0.45),
            Truth::Threads(61),
        ],
        expected: Expected::Finding {
            first: &["quota"],
            evidence: &[r"0\.5", "periods", "process_batch"],
            advice: &[r"--cpus[= ][0-9.]+"],
        },
        changes: &[Change::options("batch", &["--cpus=?2"])],
        from: From::Work,
    },
    Situation {
        name: "weight",
        is: "CPU hog beside weight 64",
        containers: &[
            Container::judged(
                "pricing",
                &["--cpu-shares=64"],
                &["/app/pricing", "1", "100"],
            ),
            Container::beside("hog", &[], &["/app/pricing", "2", "100", "quiet"]),
        ],
        truth: &[Truth::Cores(0.02, 0.4), Truth::Throttled(0.0, 0.0)],
        expected: Expected::Finding {
            first: &["neighbour"],
            evidence: &["hog", "64"],
            advice: &[r"--cpu-shares[= ]\d+|weight"],
        },
        changes: &[Change::options("pricing", &["--cpu-shares=?1024"])],
        from: From::Work,
    },
    Situation {
        name: "pinned",
        is: "two containers pinned to one CPU",
        containers: &[
            Container::judged(
                "pricing",
                &["--cpuset-cpus=1"],
                &["/app/pricing", "1", "100"],
            ),
            Container::beside(
                "ranking",
                &["--cpuset-cpus=1"],
                &["/app/pricing", "1", "100", "quiet"],
            ),
        ],
        truth: &[Truth::Cores(0.25, 0.6), Truth::Throttled(0.0, 0.0)],
        expected: Expected::Finding {
            first: &["neighbour"],
            evidence: &["ranking", "CPU 1|CPUs: 1|cpuset|CPU set|pinned"],
            advice: &["--cpuset-cpus"],
        },
        changes: &[Change::options("pricing", &["--cpuset-cpus=0"])],
        from: From::Work,
    },
    Situation {
        name: "rust-cpu",
        is: "Rust -O without frame pointers, one busy thread",
        containers: &[Container::judged("verify", &[], &["/app/checksum", "1"])],
        truth: &[Truth::Cores(0.3, 1.05), Truth::Threads(1)],
        expected: Expected::Finding {
            first: &["cpu-bound"],
            evidence: &["checksum_rows", "one thread|thread checksum"],
            advice: &["checksum_rows|thread"],
        },
        changes: &[],
        from: From::Work,
    },
];
