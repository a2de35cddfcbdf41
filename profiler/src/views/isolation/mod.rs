//! What isolation costs, sampled for as long as the agent runs. Recordings tell it from their own samples:
//! [`crate::analysis::isolation`].
//!
//! - `plan`: what is asked of the kernel half
//! - `functions`: which addresses of the kernel say something
//! - `run`: samples while the session goes on
//! - `kept`: what they add up to, by row

mod functions;
mod kept;
mod plan;
mod run;

use std::collections::BTreeMap;

use plan::IsolationPlan;

use ctprof_ebpf::views::isolation::abi::{LOSSES, Lost};

use super::recorder::{Prepared, Running, Scope};
use super::{About, Clean, Kept, RowView, Standing};
use crate::analysis::isolation::Layer;
use crate::collect::Hooks;
use crate::model::metric::{Kind, Metric, OfRow, Value, label};
use crate::model::units::duration;
use crate::model::{Container, Figures, Loss, Op, Sums, Unavailable, ViewId, ViewLoss};

/// Time on the CPU by layer, in ns: samples times their period.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sampled(pub BTreeMap<Layer, u64>);

/// The ring of samples was full: their time is missing.
const DROPPED: Loss = Loss::OfView(&ViewLoss {
    name: LOSSES[Lost::Sample as usize],
    meaning: None,
});

impl Sums for Sampled {
    fn combine(&mut self, other: &Self, op: Op) {
        for (layer, ns) in &other.0 {
            op.on(self.0.entry(*layer).or_default(), *ns);
        }
    }
}

impl Figures for Sampled {
    const VIEW: ViewId = ViewId::new("isolation");
}

impl RowView for Sampled {
    const TITLE: &'static str = "isolation";
    const ABOUT: About = About::Threads;
    const HOOKS: Option<&'static dyn Hooks> = Some(&IsolationPlan::LEAST);
    const LOSSES: &'static [Loss] = &[DROPPED];
    const STANDING: Option<&'static Standing> = Some(&Standing {
        setting: "no-isolation",
        help: "Sample nothing for what isolation costs, which otherwise is done 19 times a second and CPU",
        hooks: |env, event| Ok(Box::new(IsolationPlan::of(env, event)?)),
    });
    const METRICS: &'static [Metric<OfRow>] = &[Metric {
        name: "ctprof_isolation_cpu_seconds_total",
        help: "Time on the CPU that isolation costs, by what it is spent on; sampled 19 times a second and CPU",
        kind: Kind::Counter,
        unit: "seconds",
        labels: &[label(
            "layer",
            "`overlayfs`, `network`, `netfilter`, `seccomp`, `memory`, `cpu_bandwidth`, `cgroup_accounting`, \
             `user_namespaces`, `block_throttling`, `bpf`; `lsm`, which any process pays for; apart from these `softirq`, \
             whosesoever it is, and `ctprof`",
        )],
        view: Some("isolation"),
        source: |row, emit| {
            for (layer, ns) in row.measured.get::<Self>().iter().flat_map(|it| &it.0) {
                emit(&[layer.id()], Value::Nanoseconds(*ns));
            }
        },
    }];

    type Record = Vec<(String, u64)>;

    fn record(&self) -> Self::Record {
        let layers = self.0.iter();
        layers
            .map(|(layer, ns)| (layer.id().to_owned(), *ns))
            .collect()
    }

    fn restore(record: Self::Record, _: Clean) -> Option<Self> {
        let layers = record.into_iter().map(|(id, ns)| {
            let layer = Layer::all().find(|layer| layer.id() == id)?;
            Some((layer, ns))
        });
        layers.collect::<Option<_>>().map(Self)
    }

    type Summary = BTreeMap<&'static str, u64>;

    fn summary(&self, _: Option<u64>) -> Self::Summary {
        let layers = self.0.iter();
        layers.map(|(layer, ns)| (layer.id(), *ns)).collect()
    }

    fn line(&self, _: Option<u64>) -> Option<String> {
        let layers = self.0.iter().filter(|(_, ns)| **ns > 0);
        let layers = layers.map(|(layer, ns)| format!("{} {}", layer.row().title, duration(*ns)));
        let layers: Vec<String> = layers.collect();
        (!layers.is_empty()).then(|| layers.join(", "))
    }

    fn kept() -> Option<Box<dyn Kept>> {
        Some(Box::<kept::KeptSamples>::default())
    }

    fn prepare(_: &Scope<'_>) -> Prepared {
        Ok(Box::new(InStacks))
    }
}

/// Recordings have it in their stacks.
struct InStacks;

impl Running for InStacks {
    fn start(&mut self, _: &[&str]) {}

    fn give(&mut self, _: &mut [Container]) -> Vec<Unavailable> {
        Vec::new()
    }
}
