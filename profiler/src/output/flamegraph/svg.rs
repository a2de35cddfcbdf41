//! What ctprof adds to the SVG that inferno draws: the legend and the caption, and room for them. And the picture that
//! stands in where there is nothing to draw.

use std::io::Write;

use inferno::flamegraph::color::Color;

use crate::analysis::names::{FIRST_MARK, LAST_MARK};
use crate::model::text::markup;
use crate::model::units;

/// Width of a character of the graph's 12 px monospace font, with some air.
const CHARACTER_PX: usize = 8;

/// Width of a picture before a browser fits it to its window.
const WIDTH_PX: usize = 1200;

/// Baseline of the legend's first line; inferno leaves room for one.
const FIRST_BASELINE_PX: usize = 48;

/// Distance of two lines of legend and caption.
const LINE_PX: usize = 18;

/// Start of the element that holds the frames. No name can forge it: `<` is escaped in all of them.
const FRAMES: &str = "<svg id=\"frames\"";

/// What is written into the drawn graph.
pub(super) struct Extras {
    /// What each colour means.
    pub(super) legend: Vec<(String, Color)>,
    /// Lines below the legend.
    pub(super) caption: Vec<String>,
    /// The graphs side by side, where there are several.
    pub(super) scales: Vec<Scale>,
}

/// The scale of one of several graphs side by side.
pub(super) struct Scale {
    /// Width of the section as it is drawn.
    pub(super) drawn: u64,
    /// Time of the whole section.
    pub(super) total_ns: u64,
    /// Shown units of time in a nanosecond.
    pub(super) factor: f64,
}

/// Writes the drawn graph without the marks, with the extras in front of the frames.
pub(super) fn finish(drawn: &[u8], extras: &Extras, out: &mut impl Write) -> std::io::Result<()> {
    let drawn = String::from_utf8_lossy(drawn);
    let Some(at) = drawn.find(FRAMES) else {
        return write_without_marks(drawn.as_bytes(), out);
    };
    let (legend, legend_lines) = legend(&extras.legend);
    let lines = legend_lines + extras.caption.len();
    let room = LINE_PX * lines.saturating_sub(1);
    write_without_marks(with_room(&drawn[..at], room).as_bytes(), out)?;
    // As inferno has it, the way to the search is nearly invisible until it is found.
    write!(
        out,
        "<style>#search {{ opacity: 0.6; }} #details, #matched {{ transform: translateY({room}px); }}</style>\
         <g id=\"legend\">{legend}"
    )?;
    for (i, line) in extras.caption.iter().enumerate() {
        write!(
            out,
            "<text x=\"10\" y=\"{}\" fill=\"#555\">{}</text>",
            FIRST_BASELINE_PX + LINE_PX * (legend_lines + i),
            markup(line)
        )?;
    }
    write!(out, "</g>{FRAMES} y=\"{room}\"")?;
    let frames = &drawn[at + FRAMES.len()..];
    match extras.scales.as_slice() {
        [first, second, ..] => {
            let frames = with_own_scales(frames, first, second);
            write_without_marks(frames.as_bytes(), out)
        }
        _ => write_without_marks(frames.as_bytes(), out),
    }
}

/// The legend's elements, and how many lines they take.
fn legend(entries: &[(String, Color)]) -> (String, usize) {
    let mut out = String::new();
    let (mut x, mut line) = (10, 0);
    for (name, color) in entries {
        let width = 16 + (name.chars().count() + 2) * CHARACTER_PX;
        if x + width > WIDTH_PX {
            (x, line) = (10, line + 1);
        }
        let baseline = FIRST_BASELINE_PX + LINE_PX * line;
        out.push_str(&format!(
            "<rect x=\"{x}\" y=\"{}\" width=\"11\" height=\"11\" rx=\"2\" fill=\"rgb({},{},{})\"/>\
             <text x=\"{}\" y=\"{baseline}\">{}</text>",
            baseline - 10,
            color.r,
            color.g,
            color.b,
            x + 16,
            markup(name),
        ));
        x += width;
    }
    (out, if entries.is_empty() { 0 } else { line + 1 })
}

/// The file's head for a picture that is higher by `room`.
fn with_room(head: &str, room: usize) -> String {
    let height = head
        .split_once(" height=\"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .and_then(|(height, _)| height.parse::<usize>().ok());
    let Some(height) = height else {
        return head.to_owned();
    };
    let higher = height + room;
    head.replace(
        &format!(" height=\"{height}\""),
        &format!(" height=\"{higher}\""),
    )
    .replacen(
        &format!(" {WIDTH_PX} {height}\""),
        &format!(" {WIDTH_PX} {higher}\""),
        1,
    )
}

/// The frames with the time and the share that they have in their own section: a sum over both means nothing.
fn with_own_scales(frames: &str, first: &Scale, second: &Scale) -> String {
    const TITLE: &str = "<title>";
    let mut out = String::with_capacity(frames.len());
    let mut rest = frames;
    while let Some((before, title, after)) = rest.split_once(TITLE).and_then(|(before, frame)| {
        let (title, after) = frame.split_once("</title>")?;
        Some((before, title, after))
    }) {
        let attribute = |name: &str| -> u64 {
            let value = after
                .split_once(name)
                .and_then(|(_, it)| it.split_once('"'));
            value.and_then(|(it, _)| it.parse().ok()).unwrap_or(0)
        };
        let (from, width) = (attribute("fg:x=\""), attribute("fg:w=\""));
        out.extend([before, TITLE]);
        if width > first.drawn.max(second.drawn) {
            out.push_str("two graphs side by side, each with a scale of its own");
        } else {
            let scale = if from < first.drawn { first } else { second };
            out.push_str(&scale.apply(title, width));
        }
        out.push_str("</title>");
        rest = after;
    }
    out.push_str(rest);
    out
}

impl Scale {
    /// A title such as `main (1,234 ms, 12.34%)` with the time and share that `width` is here.
    fn apply(&self, title: &str, width: u64) -> String {
        let share = width as f64 / self.drawn as f64;
        let time = (share * self.total_ns as f64 * self.factor).round() as u64;
        let (name, figures) = title.rsplit_once(" (").unwrap_or((title, ""));
        let unit = figures.split([' ', ',']).rfind(|word| word.ends_with('s'));
        format!(
            "{name} ({} {}, {:.2}%)",
            units::count(time),
            unit.unwrap_or_default(),
            100.0 * share
        )
    }
}

/// Marks are three bytes, `EE 80 80` to `EE 80 BF`, which no other character contains.
fn write_without_marks(mut text: &[u8], out: &mut impl Write) -> std::io::Result<()> {
    debug_assert_eq!((FIRST_MARK, LAST_MARK), ('\u{e000}', '\u{e03f}'));
    while let Some(at) = text.windows(2).position(|pair| pair == [0xee, 0x80]) {
        out.write_all(&text[..at])?;
        text = text.get(at + 3..).unwrap_or_default();
    }
    out.write_all(text)
}

/// A picture with a title and lines of text.
pub(super) fn write_empty(
    title: &str,
    lines: &[String],
    out: &mut impl Write,
) -> std::io::Result<()> {
    let height = 90 + 20 * lines.len();
    write!(
        out,
        "<?xml version=\"1.0\" standalone=\"no\"?>\n\
         <svg version=\"1.1\" width=\"1200\" height=\"{height}\" viewBox=\"0 0 1200 {height}\" \
         xmlns=\"http://www.w3.org/2000/svg\">\n\
         <style>text {{ font-family: monospace; font-size: 12px }}</style>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"rgb(252,252,250)\"/>\n\
         <text id=\"title\" x=\"50%\" y=\"24\" text-anchor=\"middle\" style=\"font-size: 17px\">{}</text>\n\
         <text x=\"50%\" y=\"60\" text-anchor=\"middle\" style=\"font-weight: bold\">nothing to show</text>\n",
        markup(title)
    )?;
    for (i, line) in lines.iter().enumerate() {
        writeln!(
            out,
            "<text x=\"50%\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            80 + 20 * i,
            markup(line)
        )?;
    }
    out.write_all(b"</svg>\n")
}
