//! What its isolation costs.

use super::Rule;
use crate::analysis::doctor::finding::{Confidence, Finding, Severity};
use crate::analysis::doctor::patient::Patient;
use crate::analysis::doctor::waits::Spent;
use crate::analysis::isolation::{Layer, LayerTime, Payer};
use crate::model::units;

pub(super) const RULE: Rule = Rule {
    id: "isolation",
    about: "CPU time that it has only because it is a container: layers of files, virtual network, filters, cgroups",
    when: "a layer was seen, and it used 2% of a CPU; a warning from 30% of its CPU time on",
    judge,
};

fn judge(patient: &Patient<'_>) -> Option<Finding> {
    let tax = patient.summary.isolation.as_ref()?;
    let ns = patient.ns(Spent::Runs);
    let layers = || {
        let paid = tax.layers.iter();
        paid.filter(|it| it.layer.row().payer == Payer::Container)
    };
    let largest = layers().next()?;
    if ns < patient.window_ns / 50 || tax.sampled_ns == 0 {
        return None;
    }
    let part = tax.tax_ns as f64 / tax.sampled_ns as f64;
    let named = layers().take(4);
    let named: Vec<String> = named
        .map(|it| {
            let share = units::percent(it.ns, tax.sampled_ns);
            format!("{} {share}", it.layer.row().title)
        })
        .collect();
    let severity = if part >= 0.3 {
        Severity::Warning
    } else {
        Severity::Info
    };
    let change = match largest.layer {
        Layer::Overlayfs if part >= 0.05 => {
            Some("a volume for the files that it works on (docker run -v …)")
        }
        Layer::Network | Layer::Netfilter if part >= 0.05 => {
            Some("the host's network (docker run --network host, hostNetwork: true)")
        }
        Layer::Seccomp if part >= 0.05 => {
            Some("a shorter seccomp profile, or none that looks at arguments")
        }
        _ => None,
    };
    let speedup = 1.0 / (1.0 - part).max(0.1);
    Some(
        Finding::new(
            RULE.id,
            severity,
            format!(
                "Being a container costs it {} of its CPU time: {}.",
                units::percent(tax.tax_ns, tax.sampled_ns),
                named.join(", ")
            ),
        )
        .about(tax.tax_ns, patient.share((ns as f64 * part) as u64))
        .sure(Confidence::Likely)
        .shown_by([format!(
            "by the kernel's functions in {} of samples on the CPU (docs/isolation.md)",
            units::duration(tax.sampled_ns)
        )])
        .shown_by(of_network(patient, layers()))
        .advising(change.map(str::to_owned))
        .gaining(
            format!("{speedup:.2} times as much work for the same CPU time outside a container"),
            Some(speedup),
        ),
    )
}

/// What the virtual network of a container costs that has one and uses it: people who ask want to hear that it is little, too.
fn of_network<'t>(
    patient: &Patient<'_>,
    mut layers: impl Iterator<Item = &'t LayerTime>,
) -> Option<String> {
    let traffic = patient.workload()?.traffic?;
    if traffic.is_hosts || traffic.sent < 100 {
        return None;
    }
    let tax = patient.summary.isolation.as_ref()?;
    let ns = layers
        .find(|it| it.layer == Layer::Network)
        .map_or(0, |it| it.ns);
    (ns.saturating_mul(100) < tax.sampled_ns).then(|| {
        format!(
            "its virtual network (bridge, veth) costs it {}: the host's network would bring nothing",
            units::percent(ns, tax.sampled_ns)
        )
    })
}
