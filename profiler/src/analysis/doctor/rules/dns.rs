//! Addresses of names come late, or not at all.

use super::Rule;
use crate::analysis::doctor::finding::{Confidence, Finding, Severity};
use crate::analysis::doctor::patient::Patient;
use crate::analysis::doctor::waits::Spent;
use crate::model::units;
use crate::views::workload::Waiting;

pub(super) const RULE: Rule = Rule {
    id: "dns",
    about: "it waits for the addresses of names",
    when: "it does for 10% of its active time; critical from 50% on",
    judge,
};

fn judge(patient: &Patient<'_>) -> Option<Finding> {
    let ns = patient.name_ns();
    let share = patient.share(ns);
    if !patient.is_notable(ns) || share < 0.1 {
        return None;
    }
    let severity = if share >= 0.5 {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let processes = patient.workload();
    let peers = processes.map_or(&[][..], |it| &it.peers).iter();
    let servers: Vec<_> = peers.filter(|it| it.waiting == Waiting::Name).collect();
    let server = servers.first().map(|it| it.called());
    let looks = processes.map_or(0, |it| it.looks);
    let is_meant = |_: &crate::model::Stack, spent| spent == Spent::Name;
    let whom = server.as_ref().map_or_else(
        || "its name server".to_owned(),
        |it| format!("the name server {it}"),
    );
    Some(
        Finding::new(RULE.id, severity, format!("It waits for {whom}."))
            .about(ns, share)
            .sure(Confidence::Certain)
            .shown_by(servers.iter().map(|it| format!("a question to {} was outstanding in {} of {looks} looks at its sockets", it.called(), it.looks)))
            .shown_by((patient.ns(Spent::Name) > 0).then(|| format!("threads waited {} for names (ledger)", units::duration(patient.ns(Spent::Name)))))
            .shown_by(patient.mostly(is_meant).map(|words| format!("asked for {words}")))
            .advising([
                "a name server that answers: /etc/resolv.conf of the container (docker run --dns …; dnsPolicy, dnsConfig in Kubernetes)".to_owned(),
                "fewer questions: full names with a dot at the end, options ndots:1 timeout:1, a cache near it".to_owned(),
            ])
            .gaining(format!("up to {:.1} times as much work a second if names came at once", 1.0 / (1.0 - share).max(0.02)), None),
    )
}
