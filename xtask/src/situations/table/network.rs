//! Waiting for somebody else.

use super::super::model::{Change, Container, Expected, From, Situation, Truth};

pub(super) const SITUATIONS: &[Situation] = &[
    Situation {
        name: "slow-dependency",
        is: "slow HTTP dependency",
        containers: &[
            Container::beside(
                "prices",
                &["--ip=10.213.47.80"],
                &["/app/api", "-sleep=200ms"],
            ),
            Container::judged(
                "shop",
                &[],
                &["/usr/bin/python3", "/app/shop.py", "prices", "5"],
            ),
        ],
        truth: &[Truth::Cores(0.0, 0.1), Truth::Waits(&["recvmsg"], 0.7)],
        expected: Expected::Finding {
            first: &["network"],
            evidence: &[r"prices \(10\.213\.47\.80:8080\)"],
            advice: &["ctprof doctor --container prices"],
        },
        changes: &[Change::command("prices", &["/app/api", "-sleep=20ms"])],
        from: From::Work,
    },
    Situation {
        name: "silent-dns",
        is: "silent DNS server",
        containers: &[
            Container::beside(
                "dns-old",
                &["--ip=10.213.47.53"],
                &["/usr/bin/python3", "/app/dns.py", "silent"],
            ),
            Container::beside(
                "dns-new",
                &["--ip=10.213.47.54"],
                &["/usr/bin/python3", "/app/dns.py", "answers"],
            ),
            Container::judged(
                "frontend",
                &["--volume=/app/silent.conf:/etc/resolv.conf:ro"],
                &["/app/resolve", "backend.example"],
            ),
        ],
        truth: &[Truth::Waits(&["poll"], 0.8), Truth::Cores(0.0, 0.05)],
        expected: Expected::Finding {
            first: &["dns"],
            evidence: &[
                r"10\.213\.47\.53",
                "resolve_backend|getaddrinfo|port 53|:53",
            ],
            advice: &[r"--dns|resolv\.conf|nameserver|name server"],
        },
        changes: &[Change::options(
            "frontend",
            &["--volume=/app/good.conf:/etc/resolv.conf:ro"],
        )],
        from: From::Work,
    },
    Situation {
        name: "backlog",
        is: "listen backlog that overflows",
        containers: &[
            Container::beside(
                "upstream",
                &["--ip=10.213.47.81"],
                &["/app/backlog", "serve", "1"],
            ),
            Container::judged(
                "gateway",
                &[],
                &["/app/backlog", "gather", "upstream", "20"],
            ),
        ],
        truth: &[
            Truth::Overflows("upstream", 0.3),
            Truth::Waits(&["poll"], 0.7),
        ],
        expected: Expected::Finding {
            first: &["network"],
            evidence: &[r"upstream \(10\.213\.47\.81:8080\)", "backlog"],
            advice: &["somaxconn"],
        },
        changes: &[Change::command(
            "upstream",
            &["/app/backlog", "serve", "128"],
        )],
        from: From::Work,
    },
    Situation {
        name: "bridge",
        is: "bridge against host network: no difference",
        containers: &[
            Container::judged("api", &["--ip=10.213.47.82"], &["/app/api", "-hash=500"]),
            Container::beside(
                "load",
                &["--network=host"],
                &[
                    "/app/load",
                    "-url=http://10.213.47.82:8080/",
                    "-clients=2",
                    "-think=10ms",
                ],
            ),
        ],
        truth: &[Truth::Cores(0.02, 0.8), Truth::Throttled(0.0, 0.0)],
        expected: Expected::Healthy {
            evidence: &["bridge|veth|virtual network|network namespace"],
        },
        changes: &[
            Change::options("api", &["--network=host", "--ip="]),
            Change::command(
                "load",
                &[
                    "/app/load",
                    "-url=http://10.213.47.1:8080/",
                    "-clients=2",
                    "-think=10ms",
                ],
            ),
        ],
        from: From::Work,
    },
];
