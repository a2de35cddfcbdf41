//! Somebody on the network does not answer soon.

use super::Rule;
use crate::analysis::doctor::finding::{Confidence, Finding, Severity};
use crate::analysis::doctor::patient::Patient;
use crate::analysis::doctor::waits::Spent;
use crate::model::units;
use crate::views::workload::{Peer, Waiting, Workload};

pub(super) const RULE: Rule = Rule {
    id: "network",
    about: "it waits for a peer: for an answer, or for a connection",
    when: "something is outstanding for 10% of its active time; a warning where a peer took 50 ms, or takes no connection",
    judge,
};

pub(super) const BACKLOG: Rule = Rule {
    id: "network",
    about: "connections come faster than it accepts them, or segments are lost",
    when: "the queue of a listener overflowed, or 2% of segments were sent again",
    judge: judge_backlog,
};

/// From here on somebody who waits for it notices.
const SLOW_MS: u64 = 50;

fn judge(patient: &Patient<'_>) -> Option<Finding> {
    let ns = patient.network_ns();
    let share = patient.share(ns);
    if !patient.is_notable(ns) || share < 0.1 {
        return None;
    }
    let processes = patient.workload();
    let peers: Vec<&Peer> = processes
        .map_or(&[][..], |it| &it.peers)
        .iter()
        .filter(|it| it.waiting != Waiting::Name)
        .collect();
    let worst = peers.first().copied();
    let looks = processes.map_or(0, |it| it.looks);
    let is_slow =
        worst.is_none_or(|it| it.longest_ms >= SLOW_MS || it.waiting == Waiting::Connection);
    let severity = match share {
        // Whose turn it is, nobody has seen.
        _ if looks == 0 => Severity::Info,
        0.5.. if is_slow => Severity::Critical,
        _ if is_slow => Severity::Warning,
        _ => Severity::Info,
    };
    let whom = worst.map_or_else(|| "a peer".to_owned(), Peer::called);
    let title = match worst.map(|it| it.waiting) {
        Some(Waiting::Connection) => format!("It waits for {whom} to take its connection."),
        Some(_) => format!("It waits for answers of {whom}."),
        None => "It waits on sockets: for a peer that answers, or for work.".to_owned(),
    };
    let is_meant = |_: &crate::model::Stack, spent| spent == Spent::Network;
    let mut evidence: Vec<String> = peers
        .iter()
        .take(3)
        .map(|peer| words(peer, looks))
        .collect();
    if patient.ns(Spent::Network) > 0 {
        evidence.push(format!(
            "threads slept {} in calls on sockets (ledger)",
            units::duration(patient.ns(Spent::Network))
        ));
    }
    evidence.extend(
        patient
            .mostly(is_meant)
            .map(|words| format!("mostly {words}")),
    );
    if let Some(traffic) = processes.and_then(|it| it.traffic)
        && traffic.retransmitted > 0
    {
        evidence.push(format!(
            "{} segments sent again of {} (its network namespace)",
            units::count(traffic.retransmitted),
            units::count(traffic.sent)
        ));
    }
    let mut advice = match worst.map(|it| it.waiting) {
        Some(Waiting::Connection) => vec![format!(
            "see whether {whom} is there, lets connections through, and accepts them as fast as they come: its backlog may be full (listen(), net.core.somaxconn); set a time limit for connecting"
        )],
        None => vec!["ctprof doctor looks at its sockets, and says which".to_owned()],
        _ => vec![
            match worst.and_then(|it| it.container.as_ref()) {
                Some(name) => {
                    let kind = if name.starts_with('/') {
                        "--cgroup"
                    } else {
                        "--container"
                    };
                    format!("ctprof doctor {kind} {name} says why that is slow")
                }
                None => {
                    format!("look at {whom}: ctprof doctor on its container says why it is slow")
                }
            },
            "ask it for several things at once, or keep what it answered".to_owned(),
        ],
    };
    let crowded = worst.and_then(|it| crowded(patient, it));
    if let Some(crowded) = &crowded {
        advice.insert(0, format!("a larger backlog in {whom}'s call of listen(), net.core.somaxconn at least as large, and connections accepted sooner"));
        evidence.push(crowded.clone());
    }
    let speedup = 1.0 / (1.0 - share).max(0.02);
    Some(
        Finding::new(RULE.id, severity, title)
            .about(ns, share)
            .sure(if worst.is_some() {
                Confidence::Certain
            } else {
                Confidence::Possible
            })
            .shown_by(evidence)
            .advising(advice)
            .gaining(
                format!("up to {speedup:.1} times as much work a second if answers came at once"),
                None,
            ),
    )
}

/// What says that a peer does not accept connections as fast as they come. The kernel answers for it, so that a connection
/// may be there from here, and what is sent on it is sent again and again.
fn crowded(patient: &Patient<'_>, peer: &Peer) -> Option<String> {
    let name = peer.container.as_ref()?;
    let owner = patient.all.iter().find(|it| it.name == *name)?;
    let theirs = owner.views.measured.get::<Workload>()?;
    let port = peer.address.rsplit(':').next()?;
    let is_meant = |at: &str| at.rsplit(':').next() == Some(port);
    let full = theirs.full.iter().find(|(at, _)| is_meant(at));
    if let Some((at, looks)) = full.filter(|(_, looks)| looks * 10 >= theirs.looks) {
        return Some(format!(
            "the queue (backlog) of its listener {at} was full in {looks} of {} looks",
            theirs.looks
        ));
    }
    let overflows = theirs.traffic.filter(|it| !it.is_hosts)?.overflows;
    (overflows >= 3).then(|| {
        format!(
            "{} connections found a queue (backlog) of {name} full (ListenOverflows)",
            units::count(overflows)
        )
    })
}

fn words(peer: &Peer, looks: u64) -> String {
    let what = match peer.waiting {
        Waiting::Connection => "a connection to",
        Waiting::Answer => "an answer of",
        Waiting::Name => "a name from",
    };
    let longest = match peer.longest_ms {
        0 => String::new(),
        ms => format!(
            ", for up to {}",
            units::duration(ms.saturating_mul(1_000_000))
        ),
    };
    format!(
        "{what} {} was outstanding in {} of {looks} looks at its sockets{longest}",
        peer.called(),
        peer.looks
    )
}

fn judge_backlog(patient: &Patient<'_>) -> Option<Finding> {
    let processes = patient.workload()?;
    let traffic = processes.traffic.filter(|it| !it.is_hosts);
    let overflows = traffic.map_or(0, |it| it.overflows);
    let full = processes.full.iter().max_by_key(|(_, looks)| *looks);
    let is_full = full.is_some_and(|(_, looks)| looks * 10 >= processes.looks);
    if overflows >= 3 || is_full && processes.looks >= 5 {
        let at = full.map_or_else(|| "a listener".to_owned(), |(at, _)| at.clone());
        let full = full.map(|(at, looks)| {
            format!(
                "the queue of {at} was full in {looks} of {} looks",
                processes.looks
            )
        });
        return Some(
            Finding::new(
                RULE.id,
                Severity::Critical,
                format!("Connections to {at} come faster than it accepts them: its queue (backlog) is full."),
            )
            .about(0, 0.99)
            .sure(Confidence::Certain)
            .shown_by((overflows > 0).then(|| format!("{} connections found the queue full (ListenOverflows)", units::count(overflows))))
            .shown_by(full)
            .advising([
                "a larger backlog in its call of listen(), and net.core.somaxconn at least as large (docker run --sysctl net.core.somaxconn=4096)".to_owned(),
                "accept sooner: a thread that does nothing else, or more workers".to_owned(),
            ]),
        );
    }
    let traffic = traffic?;
    let is_lossy =
        traffic.retransmitted >= 20 && traffic.retransmitted.saturating_mul(50) >= traffic.sent;
    is_lossy.then(|| {
        Finding::new(
            RULE.id,
            Severity::Warning,
            format!("{} of its TCP segments are sent again.", units::percent(traffic.retransmitted, traffic.sent)),
        )
        .about(0, 0.1)
        .shown_by([
            format!("{} of {} segments sent again, {} time-outs (its network namespace)", units::count(traffic.retransmitted), units::count(traffic.sent), units::count(traffic.timeouts)),
        ])
        .advising(["look for what loses them between the two: a full queue, a limit of the rate, a bad link".to_owned()])
    })
}
