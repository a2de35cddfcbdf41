//! What ctprof adds to the SVG that inferno draws: the legend and the notes. And the picture that stands in
//! where there is nothing to draw.

use std::io::Write;

use inferno::flamegraph::color::Color;

use crate::output::names::{FIRST_MARK, LAST_MARK};

/// Width of a character of the graph's 12 px monospace font, with some air.
const CHARACTER_PX: usize = 8;

/// Start of the element that holds the frames. No name can forge it: `<` is escaped in all of them.
const FRAMES: &[u8] = b"<svg id=\"frames\"";

/// Writes the drawn graph without the marks, with the legend and the notes in front of the frames.
pub(super) fn finish(
    drawn: &[u8],
    legend: &[(String, Color)],
    notes: &str,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let at = drawn
        .windows(FRAMES.len())
        .position(|window| window == FRAMES)
        .unwrap_or(drawn.len());
    write_without_marks(&drawn[..at], out)?;
    if at < drawn.len() {
        write_legend(legend, notes, out)?;
    }
    write_without_marks(&drawn[at..], out)
}

fn write_legend(
    legend: &[(String, Color)],
    notes: &str,
    out: &mut impl Write,
) -> std::io::Result<()> {
    const BASELINE: usize = 48;
    let mut x = 10;
    // As inferno has it, the way to the search is nearly invisible until it is found.
    out.write_all(b"<style>#search { opacity: 0.6; }</style><g id=\"legend\">")?;
    for (name, color) in legend {
        write!(
            out,
            "<rect x=\"{x}\" y=\"{}\" width=\"11\" height=\"11\" rx=\"2\" fill=\"rgb({},{},{})\"/>\
             <text x=\"{}\" y=\"{BASELINE}\">{}</text>",
            BASELINE - 10,
            color.r,
            color.g,
            color.b,
            x + 16,
            escape(name),
        )?;
        x += 16 + (name.chars().count() + 2) * CHARACTER_PX;
    }
    write!(
        out,
        "<text x=\"{}\" y=\"{BASELINE}\" fill=\"#666\">{}</text></g>",
        x + 8,
        escape(notes)
    )
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
         <text x=\"50%\" y=\"60\" text-anchor=\"middle\" style=\"font-weight: bold\">no samples</text>\n",
        escape(title)
    )?;
    for (i, line) in lines.iter().enumerate() {
        writeln!(
            out,
            "<text x=\"50%\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            80 + 20 * i,
            escape(line)
        )?;
    }
    out.write_all(b"</svg>\n")
}

/// `text` as XML text or attribute value. Names have no character that XML forbids (`names::field`).
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('?'),
            c => out.push(c),
        }
    }
    out
}
