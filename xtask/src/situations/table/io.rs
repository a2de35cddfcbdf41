//! Disks.

use super::super::model::{Change, Container, Expected, From, Situation, Truth};

/// What threads that wait for a file to be durable have on their kernel stacks.
const SYNC: &[&str] = &["fsync", "sync_file"];

pub(super) const SITUATIONS: &[Situation] = &[
    Situation {
        name: "fsync",
        is: "log with fsync on overlayfs",
        containers: &[Container::judged("journal", &[], &["/app/journal", "1"])],
        truth: &[Truth::Waits(SYNC, 0.8), Truth::Cores(0.0, 0.6)],
        expected: Expected::Finding {
            first: &["disk"],
            evidence: &["fsync", "commit"],
            advice: &["batch|group|fewer|several"],
        },
        changes: &[Change::command("journal", &["/app/journal", "10"])],
        from: From::Work,
    },
    Situation {
        name: "fsync-writer",
        is: "the same beside a writer on the same disk",
        containers: &[
            Container::judged("journal", &[], &["/app/journal", "1"]),
            Container::beside("backup", &[], &["/app/bulk_writer"]),
        ],
        truth: &[Truth::Waits(SYNC, 0.8), Truth::Cores(0.0, 0.5)],
        expected: Expected::Finding {
            first: &["disk", "neighbour"],
            evidence: &["fsync", "backup"],
            advice: &["backup"],
        },
        changes: &[Change::without("backup")],
        from: From::Work,
    },
];
