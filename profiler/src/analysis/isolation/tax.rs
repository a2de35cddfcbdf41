//! A row's time on the CPU by layer.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use super::classify::{Found, Function, classify};
use super::layers::{LAYERS, Layer, Payer};
use crate::analysis::summary::{CulpritKind, DelayedBy};
use crate::model::{Container, Frame, FrameKind, FrameTable, Stack, State, StateGroup};

/// What each frame of a table means.
#[derive(Debug)]
pub struct Functions(Vec<Function>);

impl Functions {
    /// Those of a table.
    #[must_use]
    pub fn of(table: &FrameTable) -> Self {
        let frames = table.frames().iter();
        Self(frames.map(|frame| function(table, frame)).collect())
    }

    /// Those of the frames that one row's samples in the kernel have.
    #[must_use]
    pub fn of_row(row: &Container, table: &FrameTable) -> Self {
        let mut known = vec![None; table.frames().len()];
        let stacks = row.stacks.iter();
        let samples = stacks.filter(|stack| stack.state == State::OnCpuKernel);
        for id in samples.flat_map(|stack| &stack.frames) {
            if let Some(known) = known.get_mut(id.0 as usize) {
                known.get_or_insert_with(|| function(table, table.frame(*id)));
            }
        }
        Self(known.into_iter().map(Option::unwrap_or_default).collect())
    }

    fn of_stack<'a>(&'a self, stack: &'a Stack) -> impl Iterator<Item = Function> + 'a {
        let frames = stack.frames.iter();
        frames.filter_map(|id| self.0.get(id.0 as usize).copied())
    }
}

fn function(table: &FrameTable, frame: &Frame) -> Function {
    if frame.kind != FrameKind::Kernel {
        return Function::default();
    }
    let module = frame.module.map(|id| &*table.module(id).path);
    Function::new(&frame.function, module.unwrap_or("[kernel]"))
}

/// The layer of each of a row's stacks, in their order.
#[must_use]
pub fn layers_of_stacks(row: &Container, functions: &Functions) -> Vec<Option<Layer>> {
    let is_sample = |stack: &&Stack| stack.state == State::OnCpuKernel;
    let filtered = row.stacks.iter().filter(is_sample).filter(|stack| {
        let mut functions = functions.of_stack(stack);
        functions.any(|function| function.is_filter())
    });
    // That a process has a filter is seen where its calls go through it.
    let filtered: HashSet<u32> = filtered.map(|stack| stack.pid).collect();
    // From 6.6 on, close(2) releases the file itself at once. Where a process has overlayfs's released so, what comes late is
    // what they let go of.
    let at_once = row.stacks.iter().filter(is_sample).filter(|stack| {
        let has = |is: fn(&Function) -> bool| functions.of_stack(stack).any(|it| is(&it));
        has(Function::is_release) && !has(Function::is_late_release)
    });
    let at_once: HashSet<u32> = at_once.map(|stack| stack.pid).collect();
    let layer = |stack: &Stack| {
        let found = classify(functions.of_stack(stack))?;
        match found {
            Found::Layer(layer) => Some(layer),
            Found::SlowEntry => filtered.contains(&stack.pid).then_some(Layer::Seccomp),
            Found::LateRelease => at_once.contains(&stack.pid).then_some(Layer::Overlayfs),
        }
    };
    let stacks = row.stacks.iter();
    stacks
        .map(|stack| is_sample(&stack).then(|| layer(stack)).flatten())
        .collect()
}

/// One layer's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LayerTime {
    /// The layer.
    pub layer: Layer,
    /// Its share of the row's exact time on the CPU.
    pub ns: u64,
    /// Samples.
    pub samples: u64,
}

/// What a filter adds to counted system calls, by what was measured on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Calibrated {
    /// System calls that ended.
    pub calls: u64,
    /// If the kernel knew all answers by the number of the call.
    pub least_ns: u64,
    /// If a short filter ran for each; a longer one takes longer.
    pub filtered_ns: u64,
}

/// What isolation costs a row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Isolation {
    /// Time on the CPU that was sampled: what the parts are parts of.
    pub sampled_ns: u64,
    /// Time in layers that only containers pay for.
    pub tax_ns: u64,
    /// Every layer that was seen, most time first.
    pub layers: Vec<LayerTime>,
    /// What seccomp costs by measured calls, apart from what was sampled; in `ctprof report --calibrate` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibrated: Option<Calibrated>,
    /// Time that a CPU quota stopped its threads for; absent where nobody tells it apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttled_ns: Option<u64>,
    /// Time that its threads could have run while others had the CPU: what the CPU controller's weights, among other things,
    /// decide on. Absent without a ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waited_for_others_ns: Option<u64>,
}

impl Isolation {
    /// What it costs this row; `None` where it was not sampled.
    #[must_use]
    pub fn of(row: &Container, functions: &Functions) -> Option<Self> {
        if row.samples == 0 {
            return None;
        }
        let mut sums: BTreeMap<Layer, (u64, u64)> = BTreeMap::new();
        for (stack, layer) in row.stacks.iter().zip(layers_of_stacks(row, functions)) {
            if let Some(layer) = layer {
                let sum = sums.entry(layer).or_default();
                sum.0 = sum.0.saturating_add(stack.time_ns);
                sum.1 = sum.1.saturating_add(stack.count);
            }
        }
        let mut layers: Vec<LayerTime> = sums
            .into_iter()
            .map(|(layer, (ns, samples))| LayerTime { layer, ns, samples })
            .collect();
        layers.sort_by_key(|it| (std::cmp::Reverse(it.ns), it.layer));
        let on_cpu = row.stacks.iter();
        let on_cpu = on_cpu.filter(|stack| stack.state.group() == StateGroup::OnCpu);
        let paid = layers
            .iter()
            .filter(|it| it.layer.row().payer == Payer::Container);
        Some(Self {
            sampled_ns: sum(on_cpu.map(|stack| stack.time_ns)),
            tax_ns: sum(paid.map(|it| it.ns)),
            throttled_ns: row.time_ns.get(&State::Throttled).copied(),
            waited_for_others_ns: None,
            calibrated: None,
            layers,
        })
    }

    /// The same, with how long the row waited while others had the CPU, out of who delayed it.
    #[must_use]
    pub fn beside(self, delayed_by: Option<&[DelayedBy]>) -> Self {
        // Threads of the kernel ask no weight, and siblings share one.
        let is_other =
            |it: &&DelayedBy| matches!(it.kind, CulpritKind::Container | CulpritKind::Host);
        let waited = |all: &[DelayedBy]| sum(all.iter().filter(is_other).map(|it| it.ns));
        Self {
            waited_for_others_ns: delayed_by.map(waited),
            ..self
        }
    }

    /// Samples in layers that only containers pay for.
    #[must_use]
    pub fn tax_samples(&self) -> u64 {
        let paid = self.by(Payer::Container);
        sum(paid.map(|it| it.samples))
    }

    /// The layers with this payer, most time first.
    pub fn by(&self, payer: Payer) -> impl Iterator<Item = &LayerTime> {
        let layers = self.layers.iter();
        layers.filter(move |it| LAYERS[it.layer as usize].payer == payer)
    }
}

fn sum(parts: impl Iterator<Item = u64>) -> u64 {
    parts.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests;
