//! Two windows as one graph: the shape of one, coloured by what the other has more or less of.

use std::collections::BTreeMap;
use std::io::{self, Write};

use inferno::flamegraph as inferno_graph;
use inferno::flamegraph::color::{BackgroundColor, Color, PaletteMap};
use inferno_graph::{Direction, TextTruncateDirection};

use super::svg::{self, Extras};
use super::{Unit, colour};
use crate::analysis::names::FIRST_MARK;

/// A frame with less than this part of the whole, in both, is not drawn.
const MIN_SHARE: f64 = 0.0005;
/// Shades of either colour. A mark at the end of a name tells inferno which: its palette knows names only.
const SHADES: i32 = 20;
/// A change by this part of a frame's own time has the strongest colour.
const STRONGEST: f64 = 0.5;
/// Changes below this part of the whole have no figure in the name: every frame would have one.
const NAMED: f64 = 0.002;

/// Whose shape is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// What A has is as wide as it is there.
    A,
    /// What B has is.
    B,
}

/// What a graph is told beside its stacks.
#[derive(Clone, Debug)]
pub struct DiffOptions {
    /// Whose shape.
    pub shape: Shape,
    /// The title.
    pub title: String,
    /// Lines below the legend.
    pub caption: Vec<String>,
}

/// Times of a stack: of A, and of B as far as B goes by A's length or work; in ns.
pub type Times = (f64, f64);

#[derive(Default)]
struct Node {
    own: Times,
    total: Times,
    below: BTreeMap<String, Self>,
}

impl Node {
    fn add(&mut self, path: &[String], times: Times) {
        self.total = (self.total.0 + times.0, self.total.1 + times.1);
        match path.split_first() {
            Some((name, rest)) => self.below.entry(name.clone()).or_default().add(rest, times),
            None => self.own = (self.own.0 + times.0, self.own.1 + times.1),
        }
    }
}

/// Lines for inferno, and the shades that are in them.
struct Lines {
    lines: Vec<String>,
    names: BTreeMap<String, i32>,
    whole: f64,
    shape: Shape,
}

impl Lines {
    /// Frames that the shape has; those that only the other one has are drawn as wide as they are there, in a part of their
    /// own, or they would not be seen.
    fn add(&mut self, node: &Node, prefix: &str, is_other: bool) {
        for (name, below) in &node.below {
            let (own, other) = match self.shape {
                Shape::A => below.total,
                Shape::B => (below.total.1, below.total.0),
            };
            let width = if is_other { other } else { own };
            let is_drawn = if is_other {
                own <= 0.0 || has_gone(below, self.shape)
            } else {
                own > 0.0
            };
            if !is_drawn || width < MIN_SHARE * self.whole {
                continue;
            }
            let shade = shade(below.total);
            let named = self.name(name, below.total, shade);
            let path = if prefix.is_empty() {
                named
            } else {
                format!("{prefix};{named}")
            };
            let before = self.lines.len();
            self.add(below, &path, is_other);
            // What is below and not drawn is this frame's own.
            let drawn: u64 = self.lines[before..].iter().map(|line| width_of(line)).sum();
            let width = if is_other {
                self.other_only(below)
            } else {
                width
            };
            let rest = (width.round() as u64).saturating_sub(drawn);
            if rest > 0 {
                self.lines.insert(before, format!("{path} {rest}"));
            }
        }
    }

    /// Time below a frame in stacks that the shape does not have.
    fn other_only(&self, node: &Node) -> f64 {
        let (own, other) = match self.shape {
            Shape::A => node.own,
            Shape::B => (node.own.1, node.own.0),
        };
        let here = if own <= 0.0 { other } else { 0.0 };
        here + node
            .below
            .values()
            .map(|below| self.other_only(below))
            .sum::<f64>()
    }

    fn name(&mut self, name: &str, (a, b): Times, shade: i32) -> String {
        let change = match (a > 0.0, b > 0.0) {
            _ if (b - a).abs() < NAMED * self.whole => String::new(),
            (true, true) => format!(" {:+.1}%", 100.0 * (b / a - 1.0)),
            (false, _) => " only in B".to_owned(),
            (_, false) => " only in A".to_owned(),
        };
        let mark = char::from_u32(FIRST_MARK as u32 + (shade + SHADES) as u32);
        let named = format!("{name}{change}{}", mark.unwrap_or(FIRST_MARK));
        self.names.insert(named.clone(), shade);
        named
    }
}

fn width_of(line: &str) -> u64 {
    let width = line
        .rsplit_once(' ')
        .and_then(|(_, width)| width.parse().ok());
    width.unwrap_or(0)
}

/// Whether any stack below is in the other window alone.
fn has_gone(node: &Node, shape: Shape) -> bool {
    let (own, other) = match shape {
        Shape::A => node.own,
        Shape::B => (node.own.1, node.own.0),
    };
    own <= 0.0 && other > 0.0 || node.below.values().any(|below| has_gone(below, shape))
}

/// From -20, for what B has not, to 20, for what A has not.
fn shade((a, b): Times) -> i32 {
    let most = a.max(b);
    if most <= 0.0 {
        return 0;
    }
    let part = ((b - a) / most / STRONGEST).clamp(-1.0, 1.0);
    (part * f64::from(SHADES)).round() as i32
}

/// Red for more, blue for less, and nearly white for as much: they can be told apart without red or green sight.
fn colour_of(shade: i32) -> Color {
    let part = f64::from(shade.abs()) / f64::from(SHADES);
    let (r, g, b) = if shade > 0 {
        (226.0, 74.0, 51.0)
    } else {
        (58.0, 118.0, 209.0)
    };
    let mix = |strong: f64| (238.0 + (strong - 238.0) * part).round() as u8;
    Color {
        r: mix(r),
        g: mix(g),
        b: mix(b),
    }
}

/// Draws the graph. Paths are from the root; each is there once.
///
/// # Errors
/// What the writer fails with.
pub fn write<'a>(
    stacks: impl Iterator<Item = (&'a Vec<String>, &'a Times)>,
    options: DiffOptions,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut root = Node::default();
    for (path, times) in stacks {
        root.add(path, *times);
    }
    let mut lines = Lines {
        lines: Vec::new(),
        names: BTreeMap::new(),
        whole: root.total.0.max(root.total.1),
        shape: options.shape,
    };
    let (shape, other) = match options.shape {
        Shape::A => ("A", "only in B"),
        Shape::B => ("B", "only in A"),
    };
    let shape = format!("{shape}\u{e03e}");
    let other = format!("{other}\u{e03f}");
    lines.add(&root, &shape, false);
    lines.add(&root, &other, true);
    if lines.lines.is_empty() {
        let nothing = ["Neither A nor B has any time of this kind.".to_owned()];
        return svg::write_empty(&options.title, &nothing, out);
    }
    let mut palette = PaletteMap::default();
    palette.insert("", colour::ROOT);
    for name in [&shape, &other] {
        palette.insert(name, colour::ROOT);
    }
    for (name, shade) in &lines.names {
        palette.insert(name, colour_of(*shade));
    }
    let unit = Unit::for_total(lines.whole as u64);
    let mut drawing = inferno_graph::Options::default();
    drawing.title = options.title;
    drawing.subtitle = Some(" ".to_owned());
    drawing.notes = String::new();
    drawing.name_type = String::new();
    drawing.text_truncate_direction = TextTruncateDirection::Right;
    drawing.count_name = unit.name.to_owned();
    drawing.factor = unit.factor;
    drawing.min_width = 0.0;
    drawing.direction = Direction::Inverted;
    drawing.bgcolors = Some(BackgroundColor::Flat(colour::BACKGROUND));
    drawing.palette_map = Some(&mut palette);
    drawing.flame_chart = true;
    let mut drawn = Vec::new();
    inferno_graph::from_lines(
        &mut drawing,
        lines.lines.iter().rev().map(String::as_str),
        &mut drawn,
    )?;
    let legend = [
        (-SHADES, "half or less in B"),
        (-SHADES / 2, "less"),
        (0, "as much"),
        (SHADES / 2, "more"),
        (SHADES, "twice or more in B"),
    ];
    let extras = Extras {
        legend: legend
            .map(|(shade, name)| (name.to_owned(), colour_of(shade)))
            .to_vec(),
        caption: options.caption,
        scales: Vec::new(),
    };
    svg::finish(&drawn, &extras, out)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{DiffOptions, Shape, shade, write};

    fn drawn(shape: Shape) -> String {
        let path = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let stacks = BTreeMap::from([
            (path(&["main", "old"]), (20e9, 0.0)),
            (path(&["main", "new"]), (0.0, 10e9)),
            (path(&["main", "slower"]), (40e9, 44e9)),
            (path(&["main", "same"]), (40e9, 40e9)),
        ]);
        let options = DiffOptions {
            shape,
            title: "t".to_owned(),
            caption: vec!["c".to_owned()],
        };
        let mut out = Vec::new();
        write(stacks.iter(), options, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_came_and_went_is_as_wide_as_it_was() {
        let svg = drawn(Shape::A);
        for title in [
            "main -6.0% (100,000 ms, 90.91%)",
            "old only in A (20,000 ms, 18.18%)",
            "slower +10.0% (40,000 ms, 36.36%)",
            "same (40,000 ms, 36.36%)",
            "only in B (10,000 ms, 9.09%)",
            "new only in B (10,000 ms, 9.09%)",
        ] {
            assert!(
                svg.contains(&format!("<title>{title}</title>")),
                "{title}\n{svg}"
            );
        }
        let svg = drawn(Shape::B);
        for title in [
            "new only in B (10,000 ms, 8.77%)",
            "slower +10.0% (44,000 ms, 38.60%)",
            "old only in A (20,000 ms, 17.54%)",
        ] {
            assert!(
                svg.contains(&format!("<title>{title}</title>")),
                "{title}\n{svg}"
            );
        }
    }

    #[test]
    fn colours_say_which_has_more() {
        assert_eq!(shade((1.0, 1.0)), 0);
        assert_eq!(shade((1.0, 0.0)), -20);
        assert_eq!(shade((0.0, 1.0)), 20);
        assert!(shade((1.0, 1.1)) > 0 && shade((1.1, 1.0)) < 0);
    }
}
