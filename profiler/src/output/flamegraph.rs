//! Flame graphs: interactive SVG, drawn by inferno.
//!
//! - `graph`: which graphs there are, and what each shows
//! - `tree`: stacks merged into frames, without those that nobody could see
//! - `diff`: two windows as one graph
//! - `drawn`: names of frames while they are drawn
//! - `colour`: the colour of a frame
//! - `words`: title, caption, legend
//! - `svg`: what is added to inferno's file
//!
//! Search and zoom are inferno's script inside the file.

mod colour;
pub mod diff;
mod drawn;
mod graph;
mod svg;
mod tree;
mod words;

use std::io::Write;

use inferno::flamegraph as inferno_graph;
use inferno_graph::color::{BackgroundColor, PaletteMap};
use inferno_graph::{Direction, TextTruncateDirection};

use crate::analysis::View;
use crate::analysis::states::ViewState;
use crate::analysis::summary::ContainerSummary;
use crate::model::State;
pub use graph::Graph;
use svg::{Extras, Scale};
use tree::{Limits, Tree};

/// More frames than this make a browser slow and show nothing: they are thinner than a pixel.
const MAX_FRAMES: usize = 20_000;

/// Below this share of its container a frame is not drawn, however few there are.
const MIN_SHARE: f64 = 0.0001;

/// Which part of a recording to draw.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Positions of the containers in the summary, in order.
    pub containers: &'a [usize],
    /// Draw the waits of idle threads, too.
    pub with_idle: bool,
}

/// The colour of a state in every graph: red, green, blue.
#[must_use]
pub fn colour_of(state: State) -> (u8, u8, u8) {
    let view = ViewState::of(state);
    let class = match state {
        State::OnCpuKernel => colour::Class::Kernel(view),
        _ => colour::Class::State(view),
    };
    let colour = colour::typical(class);
    (colour.r, colour.g, colour.b)
}

/// Draws a graph. Without any stack to show it is a picture that says so, and why.
///
/// # Errors
/// What the writer fails with.
pub fn write(
    graph: Graph,
    view: &View,
    options: Options<'_>,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let (summary, containers) = (&view.summary, options.containers);
    let title = words::title(graph, view, containers);
    let sections = graph.sections(view);
    let limits = Limits {
        containers,
        labels: &view.labels(),
        kernel: summary
            .containers
            .iter()
            .position(ContainerSummary::is_kernel),
        with_idle: options.with_idle,
        min_share: MIN_SHARE,
        max_frames: MAX_FRAMES / sections.len().max(1),
    };
    let trees: Vec<Tree<'_>> = sections
        .iter()
        .map(|section| Tree::build(section, &limits))
        .filter(|tree| tree.total_ns() > 0)
        .collect();
    if trees.is_empty() {
        let lines = words::why_empty(graph, view, containers);
        return svg::write_empty(&title, &lines, out);
    }
    let mut palette = PaletteMap::default();
    // The frame "all", which inferno adds.
    palette.insert("", colour::ROOT);
    for (name, class) in trees.iter().flat_map(Tree::names) {
        palette.insert(name, colour::of(name, class));
    }
    let unit = Unit::for_total(trees.iter().map(Tree::total_ns).max().unwrap_or(0));

    let mut options = inferno_graph::Options::default();
    options.title = title;
    // Keeps the room of the legend's first line.
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

    let mut scales = Vec::new();
    let mut lines = Vec::new();
    let widest = trees.iter().map(Tree::total_ns).max().unwrap_or(0);
    for tree in &trees {
        // Side by side they are equally wide, or the smaller one would not be readable.
        let stretched = if graph.has_layers() {
            1.0
        } else {
            widest as f64 / tree.total_ns() as f64
        };
        let folded = tree.folded(stretched);
        if !graph.has_layers() {
            scales.push(Scale {
                drawn: folded.iter().fold(0, |sum, (_, ns)| sum + ns),
                total_ns: tree.total_ns(),
                factor: unit.factor,
            });
        }
        lines.extend(folded.iter().map(|(stack, ns)| format!("{stack} {ns}")));
    }
    let mut drawn = Vec::new();
    inferno_graph::from_lines(
        &mut options,
        lines.iter().rev().map(String::as_str),
        &mut drawn,
    )?;
    let extras = Extras {
        legend: words::legend(graph, &trees),
        caption: words::caption(graph, summary, containers, &trees),
        scales,
    };
    svg::finish(&drawn, &extras, out)
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
