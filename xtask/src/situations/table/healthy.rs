//! Containers with which nothing is wrong, however suspicious they look.

use super::super::model::{Container, Expected, From, Situation, Truth};

/// One that takes so much CPU and is never stopped by a quota.
const fn calm(
    name: &'static str,
    is: &'static str,
    containers: &'static [Container],
    truth: &'static [Truth],
) -> Situation {
    Situation {
        name,
        is,
        containers,
        truth,
        expected: Expected::Healthy { evidence: &[] },
        changes: &[],
        from: From::Work,
    }
}

const IDLE: &[Truth] = &[Truth::Cores(0.0, 0.05)];
const MODERATE: &[Truth] = &[Truth::Cores(0.005, 0.6), Truth::Throttled(0.0, 0.05)];

/// A client that asks this address now and then.
const fn client(command: &'static [&'static str]) -> Container {
    Container::beside("load", &[], command)
}

pub(super) const SITUATIONS: &[Situation] = &[
    calm(
        "redis-idle",
        "redis without a client",
        &[
            Container::judged(
                "redis",
                &[],
                &["@redis-server", "--save", "", "--protected-mode", "no"],
            ),
            Container::beside("tick", &[], &["/app/ticker"]),
        ],
        IDLE,
    ),
    calm(
        "redis-moderate",
        "redis under moderate load",
        &[
            Container::judged(
                "redis",
                &[],
                &["@redis-server", "--save", "", "--protected-mode", "no"],
            ),
            Container::beside(
                "load",
                &[],
                &["/usr/bin/python3", "/app/redis_load.py", "redis"],
            ),
        ],
        MODERATE,
    ),
    calm(
        "nginx-idle",
        "nginx without a client",
        &[
            Container::judged("web", &[], &["@nginx", "-c", "/app/nginx.conf"]),
            Container::beside("tick", &[], &["/app/ticker"]),
        ],
        IDLE,
    ),
    calm(
        "nginx-moderate",
        "nginx under moderate load",
        &[
            Container::judged("web", &["--cpus=1"], &["@nginx", "-c", "/app/nginx.conf"]),
            client(&[
                "/app/load",
                "-url=http://web:8080/",
                "-clients=8",
                "-think=10ms",
            ]),
        ],
        MODERATE,
    ),
    calm(
        "postgres-idle",
        "PostgreSQL without a client",
        &[Container::judged(
            "db",
            &["--memory=512m"],
            &["/bin/bash", "/app/postgres.sh", "@postgres"],
        )],
        IDLE,
    ),
    calm(
        "go-calm",
        "Go server at a tenth of its quota, GOMAXPROCS fitting",
        &[
            Container::judged(
                "api",
                &["--cpus=1", "--env=GOMAXPROCS=1"],
                &["/app/api", "-hash=100"],
            ),
            client(&["/app/load", "-clients=4", "-think=20ms"]),
        ],
        MODERATE,
    ),
    calm(
        "go-idle",
        "Go program with a tick per second",
        &[Container::judged(
            "ticker",
            &["--cpus=0.5"],
            &["/app/ticker"],
        )],
        IDLE,
    ),
    calm(
        "go-memory",
        "Go with room below GOMEMLIMIT",
        &[Container::judged(
            "catalogue",
            &["--memory=512m", "--env=GOMEMLIMIT=450MiB"],
            &["/app/catalogue", "-live=40", "-pause=5ms"],
        )],
        MODERATE,
    ),
    calm(
        "java-calm",
        "Java service with a heap that fits",
        &[Container::judged(
            "service",
            &["--memory=512m", "--cpus=2"],
            &[
                "@java",
                "-Xmx128m",
                "-XX:+UseSerialGC",
                "-jar",
                "/app/service.jar",
            ],
        )],
        &[Truth::Cores(0.0, 0.5), Truth::Throttled(0.0, 0.05)],
    ),
    calm(
        "node-calm",
        "Node server with short handlers",
        &[
            Container::judged("web", &[], &["@node", "/app/short.js"]),
            client(&[
                "/app/load",
                "-url=http://web:8080/",
                "-clients=4",
                "-think=20ms",
            ]),
        ],
        MODERATE,
    ),
    calm(
        "python-worker",
        "Python worker with CPU to spare",
        &[Container::judged(
            "worker",
            &["--cpus=1"],
            &["/usr/bin/python3", "/app/jobs.py", "0.05"],
        )],
        &[Truth::Cores(0.005, 0.6), Truth::Throttled(0.0, 0.05)],
    ),
    calm(
        "queue",
        "worker that waits for a job most of the day",
        &[Container::judged(
            "worker",
            &[],
            &["/usr/bin/python3", "/app/jobs.py", "4"],
        )],
        IDLE,
    ),
    calm(
        "cron",
        "a process each few seconds",
        &[Container::judged(
            "cron",
            &[],
            &["/bin/bash", "/app/cron.sh"],
        )],
        IDLE,
    ),
    calm(
        "shell",
        "shell that sleeps",
        &[
            Container::judged("shell", &[], &["/bin/bash", "-c", "sleep 1000000 & wait"]),
            Container::beside("tick", &[], &["/app/ticker"]),
        ],
        IDLE,
    ),
    calm(
        "log",
        "log without fsync",
        &[Container::judged("journal", &[], &["/app/journal", "0"])],
        &[Truth::Cores(0.0, 0.3), Truth::Work(200.0, 600.0)],
    ),
    calm(
        "page-cache",
        "memory limit full of clean pages",
        &[Container::judged(
            "archive",
            &["--memory=64m"],
            &["/usr/bin/python3", "/app/archive.py", "200"],
        )],
        &[
            Truth::LimitHits(1.0),
            Truth::Cores(0.0, 0.3),
            Truth::Work(5.0, 10.5),
        ],
    ),
    calm(
        "batch",
        "batch that is busy inside its quota, on a CPU of its own",
        &[Container::judged(
            "pricing",
            &["--cpus=1.5", "--cpuset-cpus=1"],
            &["/app/pricing", "1", "70"],
        )],
        &[Truth::Cores(0.3, 0.9), Truth::Throttled(0.0, 0.05)],
    ),
    calm(
        "threads",
        "pool of 50 idle threads",
        &[Container::judged(
            "pool",
            &["--cpus=1"],
            &["/app/bursts", "50", "1", "5", "200"],
        )],
        &[
            Truth::Threads(51),
            Truth::Cores(0.0, 0.2),
            Truth::Throttled(0.0, 0.05),
        ],
    ),
    calm(
        "epoll",
        "epoll server with large writes",
        &[Container::judged(
            "relay",
            &[],
            &["/app/relay", "65536", "block", "5"],
        )],
        &[Truth::Cores(0.0, 0.4), Truth::Work(500.0, 15000.0)],
    ),
    calm(
        "sharing",
        "two containers that share a CPU without being in each other's way",
        &[
            Container::judged(
                "pricing",
                &["--cpuset-cpus=1"],
                &["/app/pricing", "1", "15"],
            ),
            Container::beside(
                "ranking",
                &["--cpuset-cpus=1"],
                &["/app/pricing", "1", "15", "quiet"],
            ),
        ],
        &[Truth::Cores(0.05, 0.3)],
    ),
    calm(
        "fast-dependency",
        "client of a dependency that is fast",
        &[
            Container::beside("prices", &[], &["/app/api"]),
            Container::judged(
                "shop",
                &[],
                &["/usr/bin/python3", "/app/shop.py", "prices", "30"],
            ),
        ],
        &[Truth::Cores(0.0, 0.3), Truth::Work(15.0, 40.0)],
    ),
    calm(
        "memory-room",
        "mapped file that fits into its limit",
        &[Container::judged(
            "lookup",
            &["--memory=400m"],
            &["/app/lookup", "100"],
        )],
        &[Truth::LimitHits(0.0), Truth::Work(100.0, 1e5)],
    ),
    calm(
        "light-lock",
        "lock that is taken often and held briefly",
        &[Container::judged(
            "search",
            &["--cpus=2"],
            &["/app/reindex", "light"],
        )],
        &[Truth::Cores(0.01, 0.6), Truth::Threads(4)],
    ),
];
