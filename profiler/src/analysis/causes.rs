//! Why a container is slow: the largest causes, in words, with their evidence.
//!
//! `rules` is the table of causes; this file gathers the evidence and puts causes in order.

mod rules;

use serde::Serialize;

use super::View;
use super::blame::{Blame, Blamed};
use super::stacks::StackRef;
use super::states::ViewState;
use super::summary::ContainerSummary;
use super::threads::{IdleThreads, ThreadGroups, Threads};
use crate::model::State;

/// Causes given for each container.
const MAX_CAUSES: usize = 3;

/// Below this share of the time of threads that are not idle, something is no cause.
const NOTABLE_PERCENT: u64 = 1;

/// One cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// Its rule.
    pub id: String,
    /// Thread time that it took.
    pub ns: u64,
    /// What happened, and the evidence for it.
    pub text: String,
}

/// What is known about one container.
#[derive(Debug)]
struct Evidence<'a> {
    container: &'a ContainerSummary,
    window_ns: u64,
    /// Position in the summary.
    position: usize,
    blame: &'a Blame,
    burnt: &'a Blame,
    idle: &'a IdleThreads,
}

impl Evidence<'_> {
    /// Time in a state without the waits of idle threads.
    fn ns(&self, state: State) -> u64 {
        let all = self.container.time_ns.get(&state).copied().unwrap_or(0);
        all.saturating_sub(self.idle.wait_ns(self.position, ViewState::of(state)))
    }

    /// Thread time without the waits of idle threads.
    fn active_ns(&self) -> u64 {
        State::ALL
            .into_iter()
            .fold(0, |sum, state| sum.saturating_add(self.ns(state)))
    }

    /// Time in which its threads ran, or could have run.
    fn runnable_ns(&self) -> u64 {
        [
            State::OnCpuUser,
            State::OnCpuKernel,
            State::RunQueue,
            State::Throttled,
        ]
        .into_iter()
        .fold(0, |sum, state| sum.saturating_add(self.ns(state)))
    }

    /// The function with most time in a state.
    fn blamed(&self, state: ViewState) -> Option<&Blamed> {
        self.blame.get(self.position, state)
    }

    /// The function that burnt most of the quota.
    fn burner(&self) -> Option<&Blamed> {
        self.burnt.get(self.position, ViewState::ON_CPU)
    }
}

/// Everything that causes are found from.
#[derive(Debug)]
pub struct Causes<'a> {
    view: &'a View,
    blame: Blame,
    burnt: Blame,
}

impl<'a> Causes<'a> {
    /// Gathers the evidence of a recording.
    #[must_use]
    pub fn of(view: &'a View) -> Self {
        let Threads { groups, idle } = &view.threads;
        let is_kernel = |container: usize| view.summary.containers[container].is_kernel();
        let burning = ThreadGroups::of(&view.burnt_quota);
        let none = IdleThreads::of(&view.burnt_quota, &burning, is_kernel);
        Self {
            view,
            blame: Blame::of(&view.stacks, groups, idle),
            burnt: Blame::of(&view.burnt_quota, &burning, &none),
        }
    }

    /// The largest causes of the container at this position, the one to look at first in front.
    #[must_use]
    pub fn largest(&self, position: usize) -> Vec<Cause> {
        ranked(&self.evidence(position))
    }

    fn evidence(&self, position: usize) -> Evidence<'_> {
        Evidence {
            container: &self.view.summary.containers[position],
            window_ns: self.view.summary.window_ns,
            position,
            blame: &self.blame,
            burnt: &self.burnt,
            idle: &self.view.threads.idle,
        }
    }

    /// Time that idle threads of this container waited.
    #[must_use]
    pub fn idle_ns(&self, position: usize) -> u64 {
        ViewState::ALL.into_iter().fold(0, |sum, state| {
            sum.saturating_add(self.view.threads.idle.wait_ns(position, state))
        })
    }

    /// The groups of threads.
    #[must_use]
    pub const fn groups(&self) -> &ThreadGroups {
        &self.view.threads.groups
    }

    /// Whether this stack is a wait of an idle thread.
    #[must_use]
    pub fn waits_idly(&self, stack: &StackRef<'_>) -> bool {
        let Threads { groups, idle } = &self.view.threads;
        idle.waits_idly(stack, groups)
    }
}

fn ranked(evidence: &Evidence<'_>) -> Vec<Cause> {
    let floor = (evidence.active_ns() / 100 * NOTABLE_PERCENT).max(1);
    let mut found: Vec<(u64, Cause)> = rules::ALL
        .iter()
        .filter_map(|rule| {
            let ns = (rule.ns)(evidence);
            let cause = || Cause {
                id: rule.id.to_owned(),
                ns,
                text: (rule.words)(evidence, ns),
            };
            (ns >= floor).then(|| (ns / rule.discount, cause()))
        })
        .collect();
    found.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    found
        .into_iter()
        .map(|(_, cause)| cause)
        .take(MAX_CAUSES)
        .collect()
}
