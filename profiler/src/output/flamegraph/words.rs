//! What a graph says about itself: title, caption, legend, and why there is nothing to see.

use inferno::flamegraph::color::Color;

use super::colour::{self, Class};
use super::graph::Graph;
use super::tree::Tree;
use crate::analysis::View;
use crate::analysis::states::ViewState;
use crate::analysis::summary::{ContainerSummary, Summary};
use crate::analysis::threads::IDLE_BELOW_PERCENT;
use crate::model::StateGroup;
use crate::model::units;
use crate::output::notes;

/// The title: what, whose, how long.
pub(super) fn title(graph: Graph, view: &View, containers: &[usize]) -> String {
    let summary = &view.summary;
    let times = times_ns(graph, view);
    let seen: Vec<usize> = containers
        .iter()
        .copied()
        .filter(|position| times[*position] > 0)
        .collect();
    let containers = if seen.is_empty() { containers } else { &seen };
    let of_all = |one: &dyn Fn(usize) -> u64| {
        containers
            .iter()
            .fold(0, |sum: u64, position| sum.saturating_add(one(*position)))
    };
    let time = units::duration(of_all(&|position| times[position]));
    let what = match graph {
        _ if !is_measured(graph, summary, containers) => "not measured".to_owned(),
        Graph::OnCpu if summary.sampling.cpus == 0 => format!("{time} not sampled"),
        Graph::OnCpu => format!(
            "{} at {} Hz",
            units::counted(
                of_all(&|position| summary.containers[position].samples),
                "sample"
            ),
            summary.sampling.frequency_hz,
        ),
        Graph::WallClock => format!("{time} of thread time"),
        Graph::OffCpu => format!("{time} blocked"),
        Graph::RunQueue => format!("{time} waiting for a CPU"),
        Graph::Throttled => format!("{time} stopped by a quota"),
        Graph::Syscalls => format!("{time} in system calls"),
        Graph::Isolation => format!("{time} of CPU time that only containers pay"),
    };
    format!(
        "{}: {} · {} · {what}",
        graph.title(),
        notes::who(summary, containers),
        units::duration(summary.window_ns),
    )
}

/// Time of each container in the states, or in the calls, of a graph.
fn times_ns(graph: Graph, view: &View) -> Vec<u64> {
    if graph.has_calls() {
        let mut times = vec![0_u64; view.summary.containers.len()];
        for stack in view.calls.iter() {
            times[stack.container] = times[stack.container].saturating_add(stack.ns);
        }
        return times;
    }
    if graph.has_layers() {
        let isolation = view.summary.containers.iter().map(|it| &it.isolation);
        return isolation
            .map(|it| it.as_ref().map_or(0, |it| it.tax_ns))
            .collect();
    }
    let time_ns = |container: &ContainerSummary| {
        StateGroup::ALL
            .into_iter()
            .filter(|group| graph.group().is_none_or(|own| own == *group))
            .fold(0, |sum: u64, group| {
                sum.saturating_add(container.group_ns(group))
            })
    };
    view.summary.containers.iter().map(time_ns).collect()
}

/// What a reader must know to trust the picture, line by line.
pub(super) fn caption(
    graph: Graph,
    summary: &Summary,
    containers: &[usize],
    trees: &[Tree<'_>],
) -> Vec<String> {
    let mut parts = vec![format!(
        "ctprof {}, Linux {}, {}",
        summary.ctprof_version,
        summary.kernel,
        match summary.sampling.cpus {
            0 => "no stacks",
            _ => &summary.sampling.event,
        }
    )];
    parts.extend(notes::incomplete_stacks(
        containers
            .iter()
            .map(|position| &summary.containers[*position]),
    ));
    parts.extend(notes::losses_in_short(summary));
    let mut lines = vec![parts.join(" · ")];
    let idle_ns = trees
        .iter()
        .fold(0_u64, |sum, tree| sum.saturating_add(tree.idle_ns()));
    if idle_ns > 0 {
        lines.push(format!(
            "Not drawn: {} of waits of idle threads (busy for less than {IDLE_BELOW_PERCENT}% of their time); \
             ctprof report DIR --graph {} --idle --flamegraph FILE does",
            units::duration(idle_ns),
            graph.id(),
        ));
    }
    lines
}

/// The colours of the graph in the order in which it shows them: its states, or where it has one the kinds of
/// functions.
pub(super) fn legend(graph: Graph, trees: &[Tree<'_>]) -> Vec<(String, Color)> {
    let mut classes: Vec<Class> = trees
        .iter()
        .flat_map(|tree| tree.names().map(|(_, class)| class))
        .collect();
    let by_state =
        graph.has_states() || graph.has_calls() || !graph.has_layers() && trees.len() > 1;
    classes.sort_unstable_by_key(|class| match class {
        Class::State(state) | Class::User(state) | Class::Inlined(state) | Class::Kernel(state) => {
            (Some((state.meaning(), *state)), *class)
        }
        Class::Section | Class::Container | Class::Thread | Class::Call => (None, *class),
    });
    classes.dedup();
    let name = |class: &Class| match class {
        Class::Section | Class::Container | Class::Thread | Class::Call => None,
        // The one state whose kernel part has a colour of its own.
        Class::Kernel(ViewState::ON_CPU) if by_state => Some("on-CPU in the kernel"),
        Class::State(state) => Some(state.title()),
        Class::User(state) if by_state && !graph.has_states() => Some(state.title()),
        _ if by_state => None,
        Class::User(_) => Some("user"),
        Class::Inlined(_) => Some("inlined"),
        Class::Kernel(_) => Some("kernel"),
    };
    classes
        .iter()
        .filter_map(|class| Some((name(class)?.to_owned(), colour::typical(*class))))
        .collect()
}

/// Why a graph of these containers shows nothing, as lines.
pub(super) fn why_empty(graph: Graph, view: &View, containers: &[usize]) -> Vec<String> {
    let summary = &view.summary;
    if containers.is_empty() || graph == Graph::OnCpu || graph == Graph::WallClock {
        return notes::why_empty(summary, containers);
    }
    let is_measured = is_measured(graph, summary, containers);
    let times = times_ns(graph, view);
    let mut lines = vec![match (is_measured, graph) {
        (false, _) => "This recording did not measure it.".to_owned(),
        (true, Graph::Syscalls) if view.stacks.is_empty() => {
            "The recording has no stacks.".to_owned()
        }
        (true, _) if containers.iter().any(|position| times[*position] > 0) => {
            "The recording has no stacks.".to_owned()
        }
        (true, graph) => {
            let never = match graph {
                Graph::Throttled => "stopped by a quota",
                Graph::RunQueue => "made to wait for a CPU",
                Graph::Syscalls => "seen in a system call",
                Graph::Isolation => "seen at work that only containers pay for",
                _ => "blocked",
            };
            format!(
                "No thread of {} was {never} in {}.",
                notes::who(summary, containers),
                units::duration(summary.window_ns)
            )
        }
    }];
    if !is_measured {
        lines.extend(notes::unavailable(summary));
    }
    lines.extend(notes::losses(summary));
    lines
}

/// Whether any of the containers has a time, if only 0, for a state of the graph. Samples are taken of all.
fn is_measured(graph: Graph, summary: &Summary, containers: &[usize]) -> bool {
    matches!(graph, Graph::OnCpu | Graph::Syscalls | Graph::Isolation)
        || containers.iter().any(|position| {
            summary.containers[*position]
                .time_ns
                .keys()
                .any(|state| graph.shows(ViewState::of(*state)))
        })
}
