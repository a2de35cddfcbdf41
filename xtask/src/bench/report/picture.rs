//! Tables as SVG: bars of what is added, curves over sizes.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::{Shape, Table, Unit};

const WIDTH: u32 = 860;
const BAR: u32 = 34;
const PANEL: u32 = 300;
/// Room for the names of curves.
const LEGEND: u32 = 190;
const FONT: &str = "sans-serif";

/// Blue for ctprof, grey for the rest: what is compared is seen at a glance.
const OURS: RGBColor = RGBColor(0x1f, 0x6f, 0xb4);
const OTHERS: RGBColor = RGBColor(0x9a, 0x9a, 0x9a);
/// Told apart by people who see colours differently, too (Okabe and Ito).
const CURVES: [RGBColor; 6] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Whether there is a picture of this table.
pub(super) fn is_drawn(table: &Table) -> bool {
    match table.shape {
        Shape::Added => bars_of(table).len() > 1,
        Shape::Curve { .. } => table.rows.iter().filter(|it| it.lacks.is_none()).count() > 1,
        Shape::Plain => false,
    }
}

/// The picture of a table, where it has one.
pub(super) fn draw(table: &Table) -> Result<Option<String>> {
    if !is_drawn(table) {
        return Ok(None);
    }
    let mut svg = String::new();
    match &table.shape {
        Shape::Added => bars(table, &mut svg),
        Shape::Curve { axis } => curves(table, axis, &mut svg),
        Shape::Plain => return Ok(None),
    }
    .map_err(|error| anyhow!("cannot draw {}: {error}", table.id))?;
    svg.push('\n');
    Ok(Some(svg))
}

/// Name and what is added, of every row but the first.
fn bars_of(table: &Table) -> Vec<(&str, f64)> {
    let rows = table.rows.iter().skip(1).filter(|it| it.lacks.is_none());
    rows.filter_map(|row| Some((row.name.as_str(), table.added(row)?)))
        .filter(|(_, added)| *added > 0.0)
        .collect()
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Lengths are logarithmic: the slowest peer is often a hundred times the floor.
fn bars(table: &Table, svg: &mut String) -> Drawn {
    let bars = bars_of(table);
    let unit = table.columns.first().map_or(Unit::Ns, |it| it.unit);
    let height = BAR * (u32::try_from(bars.len())? + 1) + 30;
    let area = SVGBackend::with_string(svg, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE)?;
    let column = table.columns.first().map_or("", |it| it.name.as_str());
    title(
        &area,
        &format!("{}: added {column} (logarithmic)", table.title),
    )?;
    let least = bars.iter().fold(f64::MAX, |least, (_, it)| least.min(*it)) / 2.0;
    let most = bars.iter().fold(0.0_f64, |most, (_, it)| most.max(*it));
    let (left, right) = (300, i32::try_from(WIDTH)? - 90);
    for (at, (name, added)) in bars.iter().enumerate() {
        let top = 40 + i32::try_from(at)? * BAR.cast_signed();
        let share = (added / least).ln() / (most / least).ln();
        #[allow(clippy::cast_possible_truncation, reason = "pixels")]
        let end = left + (share * f64::from(right - left)) as i32;
        let colour = if is_ours(name) { OURS } else { OTHERS };
        area.draw(&Rectangle::new(
            [(left, top), (end, top + 22)],
            colour.filled(),
        ))?;
        let font = (FONT, 14).into_font().color(&BLACK);
        area.draw(&Text::new((*name).to_owned(), (12, top + 4), font.clone()))?;
        area.draw(&Text::new(unit.show(*added), (end + 8, top + 4), font))?;
    }
    area.present()?;
    Ok(())
}

/// Peers and the floor are named by what they are; every other row is ctprof with some options.
fn is_ours(name: &str) -> bool {
    let others = ["empty", "bpftrace", "perf", "strace"];
    !others.iter().any(|it| name.starts_with(it))
}

/// A panel for each unit, one above the other, both axes logarithmic.
fn curves(table: &Table, axis: &str, svg: &mut String) -> Drawn {
    let mut units: Vec<Unit> = Vec::new();
    for column in &table.columns {
        if !units.contains(&column.unit) {
            units.push(column.unit);
        }
    }
    let height = PANEL * u32::try_from(units.len())? + 30;
    let area = SVGBackend::with_string(svg, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE)?;
    title(&area, &table.title)?;
    let (_, area) = area.split_vertically(30);
    let panels = area.split_evenly((units.len(), 1));
    for (unit, panel) in units.iter().zip(&panels) {
        panel_of(table, axis, *unit, panel)?;
    }
    area.present()?;
    Ok(())
}

fn panel_of(table: &Table, axis: &str, unit: Unit, panel: &Area<'_>) -> Drawn {
    let lines: Vec<(&str, Vec<(f64, f64)>)> = table
        .columns
        .iter()
        .enumerate()
        .filter(|(_, column)| column.unit == unit)
        .map(|(at, column)| (column.name.as_str(), points(table, at)))
        .collect();
    let all = || lines.iter().flat_map(|(_, points)| points);
    let (left, right) = range(all().map(|(x, _)| *x));
    let (low, high) = range(all().map(|(_, y)| *y));
    // Names beside the curves: nothing is hidden behind them.
    let (drawn, names) = panel.split_horizontally(WIDTH - LEGEND);
    let mut chart = ChartBuilder::on(&drawn)
        .margin(10)
        .margin_right(30)
        .x_label_area_size(36)
        .y_label_area_size(80)
        .build_cartesian_2d(
            (left..right).log_scale(),
            (low / 2.0..high * 2.0).log_scale(),
        )?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc(axis)
        .x_label_formatter(&|x| Unit::Count.show(*x))
        .y_label_formatter(&|y| unit.show(*y))
        .label_style((FONT, 13))
        .draw()?;
    for (at, ((name, points), colour)) in lines.iter().zip(CURVES.iter().cycle()).enumerate() {
        let line = points.iter().copied();
        chart.draw_series(LineSeries::new(line, colour.stroke_width(2)))?;
        let dots = points.iter().map(|it| Circle::new(*it, 3, colour.filled()));
        chart.draw_series(dots)?;
        let y = 20 + i32::try_from(at)? * 20;
        names.draw(&Rectangle::new([(0, y + 4), (16, y + 7)], colour.filled()))?;
        let font = (FONT, 13).into_font().color(&BLACK);
        names.draw(&Text::new((*name).to_owned(), (22, y), font))?;
    }
    Ok(())
}

/// A curve: the rows' names are its places on the axis.
fn points(table: &Table, column: usize) -> Vec<(f64, f64)> {
    let rows = table.rows.iter().filter(|row| row.lacks.is_none());
    rows.filter_map(|row| {
        let x: f64 = row.name.replace(',', "").parse().ok()?;
        let y = row.values.get(column)?.median();
        (y > 0.0).then_some((x, y))
    })
    .collect()
}

/// The least and the most; a range that can be drawn even where there is nothing.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (least, most) = values.fold((f64::MAX, 0.0_f64), |(least, most), it| {
        (least.min(it), most.max(it))
    });
    if least < most {
        (least, most)
    } else {
        (most.max(1.0) / 2.0, most.max(1.0) * 2.0)
    }
}

fn title(area: &Area<'_>, text: &str) -> Drawn {
    let font = (FONT, 16).into_font().style(FontStyle::Bold).color(&BLACK);
    area.draw(&Text::new(text.to_owned(), (12, 10), font))?;
    Ok(())
}
