//! Flame graphs: interactive SVG, drawn by inferno.
//!
//! This file decides what a graph shows and says; `tree` merges and prunes the stacks, `colour` gives each
//! frame its colour, `svg` adds the legend. Search and zoom are inferno's script inside the file.

mod colour;
mod svg;
mod tree;

use std::io::Write;

use inferno::flamegraph as inferno_graph;
use inferno_graph::color::{BackgroundColor, PaletteMap};
use inferno_graph::{Direction, TextTruncateDirection};

use super::stacks::Stacks;
use super::summary::Summary;
use super::{notes, units};
use crate::model::StateGroup;
use tree::{Levels, Tree};

/// More frames than this make a browser slow and show nothing: they are thinner than a pixel.
const MAX_FRAMES: usize = 20_000;

/// Below this share of the whole a frame is not drawn, however few there are.
const MIN_SHARE: f64 = 0.0001;

/// What a graph shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Graph {
    /// Time in one state: container, thread, stack.
    State(StateGroup),
    /// Time in all states, by wall clock: container, state, thread, stack.
    WallClock,
}

impl Graph {
    /// The file that holds it.
    #[must_use]
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::State(StateGroup::OnCpu) => "on-cpu.svg",
            Self::State(StateGroup::RunQueue) => "run-queue.svg",
            Self::State(StateGroup::Throttled) => "throttled.svg",
            Self::State(StateGroup::Blocked) => "off-cpu.svg",
            Self::WallClock => "flamegraph.svg",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::State(StateGroup::OnCpu) => "On-CPU",
            Self::State(StateGroup::RunQueue) => "Run queue",
            Self::State(StateGroup::Throttled) => "Throttled",
            Self::State(StateGroup::Blocked) => "Off-CPU",
            Self::WallClock => "Flame graph",
        }
    }

    fn shows(self, state: StateGroup) -> bool {
        match self {
            Self::State(group) => group == state,
            Self::WallClock => true,
        }
    }
}

/// Draws the stacks of the containers at these positions of the summary.
///
/// Without any stack the graph is a picture that says so, and why.
pub fn write(
    graph: Graph,
    summary: &Summary,
    stacks: &Stacks,
    containers: &[usize],
    out: &mut impl Write,
) -> std::io::Result<()> {
    let title = title(graph, summary, containers);
    let levels = Levels {
        graph,
        containers,
        labels: summary
            .containers
            .iter()
            .map(|c| c.label.as_str())
            .collect(),
    };
    let tree = Tree::build(stacks, &levels, MIN_SHARE, MAX_FRAMES);
    if tree.total_ns() == 0 {
        return svg::write_empty(&title, &notes::why_empty(summary, containers), out);
    }
    let mut palette = PaletteMap::default();
    // The frame "all", which inferno adds.
    palette.insert("", colour::ROOT);
    for (name, class) in tree.names() {
        palette.insert(name, colour::of(name, class));
    }
    let unit = Unit::for_total(tree.total_ns());

    let mut options = inferno_graph::Options::default();
    options.title = title;
    // Keeps the room that the legend takes.
    options.subtitle = Some(" ".to_owned());
    options.notes = String::new();
    options.name_type = String::new();
    // As in the picture without the script, and names of containers and C functions start with what matters.
    options.text_truncate_direction = TextTruncateDirection::Right;
    options.count_name = unit.name.to_owned();
    options.factor = unit.factor;
    options.min_width = 0.0;
    // Root on top: the containers are in sight however deep the deepest stack is.
    options.direction = Direction::Inverted;
    options.bgcolors = Some(BackgroundColor::Flat(colour::BACKGROUND));
    options.palette_map = Some(&mut palette);
    // Takes the lines in the order given, last first, instead of sorting them by their text: containers
    // stay in the order of the report, and `f`, `f::g` and `f` again do not tear a frame apart.
    options.flame_chart = true;

    let lines = tree.folded();
    let mut drawn = Vec::new();
    inferno_graph::from_lines(
        &mut options,
        lines.iter().rev().map(String::as_str),
        &mut drawn,
    )?;
    svg::finish(&drawn, &legend(&tree), &caption(summary, containers), out)
}

/// Unit of the times that the graph shows: fine enough that rounding does not touch the shares.
struct Unit {
    name: &'static str,
    factor: f64,
}

impl Unit {
    fn for_total(total_ns: u64) -> Self {
        if total_ns >= 5_000_000_000 {
            Self {
                name: "ms",
                factor: 1e-6,
            }
        } else {
            Self {
                name: "µs",
                factor: 1e-3,
            }
        }
    }
}

fn title(graph: Graph, summary: &Summary, containers: &[usize]) -> String {
    let seen: Vec<usize> = containers
        .iter()
        .copied()
        .filter(|position| summary.containers[*position].samples > 0)
        .collect();
    let containers = if seen.is_empty() { containers } else { &seen };
    let samples = containers.iter().fold(0, |sum: u64, position| {
        sum.saturating_add(summary.containers[*position].samples)
    });
    format!(
        "{}: {} · {} · {} at {} Hz",
        graph.title(),
        notes::who(summary, containers),
        units::seconds(summary.window_ns),
        units::counted(samples, "sample"),
        summary.sampling.frequency_hz,
    )
}

/// What a reader must know to trust the picture.
fn caption(summary: &Summary, containers: &[usize]) -> String {
    let mut parts = vec![format!(
        "ctprof {}, Linux {}, {}",
        summary.ctprof_version, summary.kernel, summary.sampling.event
    )];
    parts.extend(notes::incomplete_stacks(
        containers
            .iter()
            .map(|position| &summary.containers[*position]),
    ));
    parts.extend(notes::losses_in_short(summary));
    parts.join(" · ")
}

fn legend(tree: &Tree<'_>) -> Vec<(String, inferno_graph::color::Color)> {
    let mut classes: Vec<_> = tree.names().map(|(_, class)| class).collect();
    classes.sort_unstable();
    classes.dedup();
    classes
        .into_iter()
        .filter_map(|class| Some((class.legend()?, colour::typical(class))))
        .collect()
}
