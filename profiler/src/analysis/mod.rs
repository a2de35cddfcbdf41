//! What a window says: pure functions of it, for whatever shows or compares windows. Imports `model` and the table of
//! `views`; `doctor` knows the views that it judges by.
//!
//! - `summary`: everything but the stacks, with labels, order, quantiles and culprits
//! - `stacks`, `names`: the stacks by name
//! - `states`: what time in a state means
//! - `threads`: which threads belong together, and which are idle
//! - `functions`: which functions have the time
//! - `blame`: which of them say something about a program
//! - `doctor`: what is wrong with a container
//! - `isolation`: what its isolation costs

pub mod blame;
pub mod doctor;
pub mod functions;
pub mod isolation;
pub mod names;
pub mod stacks;
pub mod states;
pub mod summary;
pub mod threads;

use crate::model::Window;
use doctor::Finding;
use isolation::{LAYERS, Layer, Payer};
use stacks::Stacks;
use summary::Summary;
use threads::Threads;

/// A window as everything that shows it sees it.
#[derive(Clone, Debug)]
pub struct View {
    /// Everything but the stacks.
    pub summary: Summary,
    /// The stacks by name.
    pub stacks: Stacks,
    /// Those on-CPU stacks among them that burnt a quota.
    pub burnt_quota: Stacks,
    /// Those stacks of threads in a system call, whose outermost frame is the call.
    pub calls: Stacks,
    /// Those stacks in which the isolation of containers takes time, layer by layer.
    pub isolation: Vec<(Layer, Stacks)>,
    /// The threads of all stacks.
    pub threads: Threads,
    /// What is wrong with each container of the summary, the worst first.
    pub findings: Vec<Vec<Finding>>,
}

impl View {
    /// The view of a window, and for each container of its summary the position in [`Window::rows`].
    #[must_use]
    pub fn of(window: &Window) -> (Self, Vec<usize>) {
        let (summary, order) = Summary::of(window);
        let stacks = Stacks::of(window, &order);
        let findings = doctor::examine(window, &summary, &order);
        let view = Self {
            findings,
            threads: Threads::of(&stacks, |position| summary.containers[position].is_kernel()),
            stacks,
            burnt_quota: Stacks::of_burnt_quota(window, &order),
            calls: Stacks::of_calls(window, &order),
            isolation: isolation_stacks(window, &order),
            summary,
        };
        (view, order)
    }

    /// The containers' labels, in order.
    #[must_use]
    pub fn labels(&self) -> Vec<&str> {
        self.summary
            .containers
            .iter()
            .map(|container| container.label.as_str())
            .collect()
    }
}

/// The stacks of each layer that only containers pay for, those with most time first.
fn isolation_stacks(window: &Window, order: &[usize]) -> Vec<(Layer, Stacks)> {
    let functions = isolation::Functions::of(&window.frames);
    let layers: Vec<_> = order
        .iter()
        .map(|index| isolation::layers_of_stacks(&window.rows[*index], &functions))
        .collect();
    let paid = LAYERS.iter().filter(|row| row.payer == Payer::Container);
    let mut all: Vec<(u64, Layer, Stacks)> = paid
        .map(|row| {
            let is_of_layer = |container: usize, stack: usize| {
                let layer = layers[container].get(stack).copied().flatten();
                layer == Some(row.layer)
            };
            let stacks = Stacks::of_part(window, order, is_of_layer);
            let ns = stacks.iter().map(|stack| stack.ns);
            (ns.fold(0, u64::saturating_add), row.layer, stacks)
        })
        .filter(|(ns, ..)| *ns > 0)
        .collect();
    all.sort_by_key(|(ns, layer, _)| (std::cmp::Reverse(*ns), *layer));
    all.into_iter()
        .map(|(_, layer, stacks)| (layer, stacks))
        .collect()
}
