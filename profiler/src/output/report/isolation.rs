//! What a container's isolation costs, in a line.

use crate::analysis::isolation::{Isolation, LayerTime, Payer};
use crate::analysis::summary::ContainerSummary;
use crate::model::Runtime;
use crate::model::units::{counted, duration, percent};

/// A tax with less of the time on the CPU says nothing about why something is slow.
const NOTABLE: f64 = 0.01;
/// With fewer samples it is a matter of chance whether it is above that.
const FEW_SAMPLES: u64 = 10;
/// Layers below this share are not listed in a short report.
const NOTABLE_LAYER: f64 = 0.005;

/// Time on the CPU that only containers pay for, by layer; what others pay for, too, and what is nobody's, beside it.
pub(super) fn tax(container: &ContainerSummary, full: bool) -> Option<String> {
    // Processes in no container have nothing to be isolated by.
    let is_container = !matches!(container.runtime, Runtime::Host | Runtime::Kernel);
    let isolation = container.isolation.as_ref().filter(|_| is_container)?;
    let whole = isolation.sampled_ns;
    let is_notable = share(isolation.tax_ns, whole) >= NOTABLE;
    if isolation.tax_samples() < FEW_SAMPLES || !is_notable {
        return None;
    }
    let layers = list(isolation, Payer::Container, full);
    let mut parts = vec![format!(
        "{} of its CPU time ({}) is a container's: {layers}",
        percent(isolation.tax_ns, whole),
        duration(isolation.tax_ns)
    )];
    let everyone = list(isolation, Payer::Everyone, full);
    if !everyone.is_empty() {
        parts.push(format!("any process pays {everyone}"));
    }
    let apart = list(isolation, Payer::Apart, full);
    if !apart.is_empty() {
        parts.push(format!("apart from it {apart}"));
    }
    Some(parts.join("; "))
}

fn list(isolation: &Isolation, payer: Payer, full: bool) -> String {
    let whole = isolation.sampled_ns;
    let is_shown = |it: &&LayerTime| full || share(it.ns, whole) >= NOTABLE_LAYER;
    let layers = isolation.by(payer).filter(is_shown).map(|it| {
        let title = it.layer.row().title;
        format!("{title} {} ({})", percent(it.ns, whole), duration(it.ns))
    });
    layers.collect::<Vec<_>>().join(", ")
}

/// What the CPU controller took. Its weights are one of several things that decide how long a thread waits while others run.
pub(super) fn controller(container: &ContainerSummary) -> Option<String> {
    let isolation = container.isolation.as_ref()?;
    let mut parts = Vec::new();
    if let Some(ns) = isolation.throttled_ns.filter(|ns| *ns > 0) {
        parts.push(format!("a quota took {}", duration(ns)));
    }
    if let Some(ns) = isolation.waited_for_others_ns.filter(|ns| *ns > 0) {
        parts.push(format!(
            "{} waited while others had the CPU: weights decide on it, as do their load and where threads are placed",
            duration(ns)
        ));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// What seccomp costs by calibration.
pub(super) fn calibrated(container: &ContainerSummary) -> Option<String> {
    let it = container.isolation.as_ref()?.calibrated?;
    Some(format!(
        "{} under a seccomp filter cost {} if the kernel knew every answer, {} if a short filter ran for each (measured on \
         this host now, in place of what was sampled)",
        counted(it.calls, "system call"),
        duration(it.least_ns),
        duration(it.filtered_ns)
    ))
}

fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}
