//! What a window says: pure functions of it, for whatever shows or compares windows. Imports `model` only.
//!
//! - `summary`: everything but the stacks, with labels, order, quantiles and culprits
//! - `stacks`, `names`: the stacks by name
//! - `states`: what time in a state means
//! - `threads`: which threads belong together, and which are idle
//! - `blame`, `functions`: which functions have the time
//! - `causes`: why a container is slow

pub mod blame;
pub mod causes;
pub mod functions;
pub mod names;
pub mod stacks;
pub mod states;
pub mod summary;
pub mod threads;

use crate::model::Window;
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
    /// The threads of all stacks.
    pub threads: Threads,
}

impl View {
    /// The view of a window, and for each container of its summary the position in [`Window::rows`].
    #[must_use]
    pub fn of(window: &Window) -> (Self, Vec<usize>) {
        let (summary, order) = Summary::of(window);
        let stacks = Stacks::of(window, &order);
        let view = Self {
            threads: Threads::of(&stacks, |position| summary.containers[position].is_kernel()),
            stacks,
            burnt_quota: Stacks::of_burnt_quota(window, &order),
            calls: Stacks::of_calls(window, &order),
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
