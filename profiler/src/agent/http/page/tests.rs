//! Names that a container controls, and what a row says.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{page, table};
use crate::model::{
    Container, ContainerIdentity, Delayer, Group, GroupKey, Loss, Reading, Runtime, State,
    Unavailable, ViewId,
};

fn group(name: &str, runtime: Runtime, seconds: &[(State, f64)]) -> Group {
    let id = if runtime == Runtime::Docker {
        "4f1c0dd1"
    } else {
        ""
    };
    Group {
        key: GroupKey {
            container: name.to_owned(),
            ..GroupKey::default()
        },
        alive: true,
        figures: Container {
            identity: ContainerIdentity {
                id: id.to_owned(),
                name: name.to_owned(),
                runtime,
                image: if id.is_empty() {
                    String::new()
                } else {
                    "registry/shop:2".to_owned()
                },
                cgroup: format!("/docker/{name}"),
                ..ContainerIdentity::default()
            },
            threads: Some(4),
            time_ns: seconds
                .iter()
                .map(|(state, s)| (*state, (s * 1e9) as u64))
                .collect(),
            ..Container::default()
        },
        findings: Vec::new(),
        delayed_by: Vec::new(),
    }
}

fn reading(groups: Vec<Group>) -> Reading {
    Reading {
        uptime: Duration::from_secs(11_520),
        groups,
        ..Reading::default()
    }
}

#[test]
fn a_row_adds_up_and_links_to_its_profiles() {
    let mut web = group(
        "web",
        Runtime::Docker,
        &[
            (State::OnCpuUser, 25.0),
            (State::RunQueue, 40.0),
            (State::Throttled, 10.0),
            (State::BlockedPoll, 25.0),
        ],
    );
    web.figures.cpu_quota_cores = Some(0.5);
    web.delayed_by = vec![
        (Delayer::Row("batch".to_owned()), 30_000_000_000),
        (Delayer::Other, 10_000_000_000),
    ];
    let idle = group("idle", Runtime::Docker, &[(State::BlockedPoll, 400.0)]);
    let mut gone = group("gone", Runtime::Docker, &[(State::OnCpuUser, 1.0)]);
    gone.alive = false;
    let html = table(&reading(vec![idle, gone, web]), true);
    let row = html.lines().find(|line| line.contains(">web<")).unwrap();
    for part in [
        "registry/shop:2 · quota 0.50 CPU",
        "<td>4<td>25.0 s<td>40.0 s<td>10.0 s<td>50.0%",
        "<i class=s2 style=\"width:40.0%\" title=\"run queue: 40.0 s, 40.0%\">",
        "batch 75.0%",
        "href=\"/flamegraph?container=web&amp;seconds=10\"",
    ] {
        assert!(row.contains(part), "no {part} in {row}");
    }
    let position = |name: &str| html.find(&format!("\">{name}<")).unwrap();
    assert!(position("web") < position("gone") && position("gone") < position("idle"));
    let row = html.lines().find(|line| line.contains(">gone<")).unwrap();
    assert!(row.contains("<td>ended<") && !row.contains("href"), "{row}");
    assert!(
        !table(&reading(vec![group("a", Runtime::Docker, &[])]), false).contains("href=\"/flame")
    );
}

#[test]
fn hostile_names_stay_text() {
    let name = "\"><script>alert(1)</script>\n'&\u{202e}ü";
    let mut hostile = group(name, Runtime::Docker, &[(State::OnCpuUser, 1.0)]);
    hostile.figures.identity.image = name.to_owned();
    hostile.delayed_by = vec![(Delayer::Row(name.to_owned()), 1)];
    let long = group(&"x".repeat(10_000), Runtime::Docker, &[]);
    let mut reading = reading(vec![hostile, long]);
    reading.lost = BTreeMap::from([(Loss::EventDropped, 3)]);
    reading.unavailable.push(Unavailable {
        view: ViewId::read(name.to_owned()),
        cause: name.to_owned(),
    });
    let html = page(&table(&reading, true), true);
    assert!(!html.contains("<script"), "{html}");
    assert!(!html.contains('\u{202e}'));
    assert!(html.contains(
        "container=%22%3E%3Cscript%3Ealert%281%29%3C%2Fscript%3E%0A%27%26%E2%80%AE%C3%BC&amp;"
    ));
    assert!(html.len() < 40_000, "{}", html.len());
    assert_eq!(html.matches("<tr").count(), 3);
}

/// Names that two containers have are told apart by id.
#[test]
fn a_name_twice_is_linked_by_id() {
    let html = table(
        &reading(vec![
            group("web", Runtime::Docker, &[]),
            group("web", Runtime::Docker, &[]),
        ]),
        true,
    );
    assert!(html.contains("container=4f1c0dd1&amp;") && !html.contains("container=web"));
}

/// Writes a page to look at: `CTPROF_TEST_PAGE=page.html cargo test --lib page`.
#[test]
fn a_page_to_look_at() {
    let Some(path) = std::env::var_os("CTPROF_TEST_PAGE") else {
        return;
    };
    use State::*;
    let mut web = group(
        "web",
        Runtime::Docker,
        &[
            (OnCpuUser, 498.0),
            (OnCpuKernel, 44.0),
            (RunQueue, 1583.0),
            (Throttled, 915.0),
            (BlockedPoll, 1000.0),
        ],
    );
    web.figures.cpu_quota_cores = Some(0.5);
    web.delayed_by = vec![
        (Delayer::Row("batch".to_owned()), 729_000_000_000),
        (Delayer::Row("web".to_owned()), 649_000_000_000),
    ];
    let mut batch = group(
        "batch",
        Runtime::Docker,
        &[
            (OnCpuUser, 1274.0),
            (OnCpuKernel, 15.0),
            (RunQueue, 711.0),
            (BlockedSleep, 1000.0),
        ],
    );
    batch.delayed_by = vec![(Delayer::Row("web".to_owned()), 500_000_000_000)];
    let db = group(
        "db",
        Runtime::Docker,
        &[
            (OnCpuUser, 36.0),
            (OnCpuKernel, 33.0),
            (RunQueue, 12.7),
            (BlockedDisk, 111.4),
            (BlockedLock, 5000.0),
            (BlockedNet, 14_000.0),
        ],
    );
    let mut old = group(
        "migrate-1f",
        Runtime::Docker,
        &[(OnCpuUser, 2.0), (BlockedDisk, 0.5)],
    );
    old.alive = false;
    let host = group(
        "host",
        Runtime::Host,
        &[
            (OnCpuUser, 20.0),
            (OnCpuKernel, 30.0),
            (RunQueue, 2.0),
            (BlockedPoll, 40_000.0),
        ],
    );
    let ssh = group("ssh.service", Runtime::Systemd, &[(BlockedPoll, 11_520.0)]);
    let mut reading = reading(vec![host, web, batch, db, old, ssh]);
    reading.groups_ended = 1;
    std::fs::write(path, page(&table(&reading, true), true)).unwrap();
}
