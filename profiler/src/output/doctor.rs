//! Findings, for people, for machines and for pull requests.

use std::io::{self, Write};

use serde::Serialize;

use crate::analysis::doctor::{Finding, Severity};
use crate::analysis::summary::ContainerSummary;
use crate::model::text::{cut, printable};
use crate::model::units;
use crate::views::limits::Limits;

/// Version of the JSON document: goes up when a key goes or changes its meaning.
pub const SCHEMA_VERSION: u32 = 1;

/// Longest title of a container.
const MAX_LABEL: usize = 60;

/// One container with its findings, the worst first.
#[derive(Clone, Copy, Debug)]
pub struct Examined<'a> {
    /// Who it is.
    pub container: &'a ContainerSummary,
    /// What was found.
    pub findings: &'a [Finding],
}

impl Examined<'_> {
    /// The worst of it all; `None` where nothing was found.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|it| it.severity).max()
    }
}

/// Prints findings as text.
///
/// # Errors
/// What the writer fails with.
pub fn text(
    all: &[Examined<'_>],
    window_ns: u64,
    colour: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    let paint = |code: &str, text: &str| match colour {
        true => format!("\x1b[{code}m{text}\x1b[0m"),
        false => text.to_owned(),
    };
    if all.is_empty() {
        writeln!(out, "Nothing ran while it was recorded.")?;
    }
    for (number, examined) in all.iter().enumerate() {
        if number > 0 {
            writeln!(out)?;
        }
        writeln!(
            out,
            "{}",
            paint("1", &heading(examined.container, window_ns))
        )?;
        if examined.worst().is_none_or(|it| it == Severity::Info) {
            writeln!(out, "Nothing is wrong with this container.")?;
        }
        for (number, finding) in (1..).zip(examined.findings) {
            let (code, name) = match finding.severity {
                Severity::Critical => ("1;31", "CRITICAL"),
                Severity::Warning => ("1;33", "WARNING"),
                Severity::Info => ("1", "info"),
            };
            let sure = finding.confidence.name();
            writeln!(
                out,
                "{number}. {} {} {}",
                paint(code, name),
                finding.title,
                paint("2", &format!("({}, {sure})", finding.id))
            )?;
            for (label, lines) in [("evidence", &finding.evidence), ("change", &finding.advice)] {
                for (at, line) in lines.iter().enumerate() {
                    let label = if at == 0 { label } else { "" };
                    writeln!(
                        out,
                        "   {} {}",
                        paint("2", &format!("{label:<8}")),
                        printable(line, 1000)
                    )?;
                }
            }
            if let Some(gain) = &finding.gain {
                writeln!(out, "   {} {}", paint("2", "effect  "), gain.text)?;
            }
        }
    }
    Ok(())
}

/// `web · nginx:1.25 · used 0.49 CPUs (49%) · limits: …`.
fn heading(container: &ContainerSummary, window_ns: u64) -> String {
    let mut parts = vec![cut(&container.label, MAX_LABEL)];
    if !container.image.is_empty() {
        parts.push(cut(&container.image, MAX_LABEL));
    }
    let cores = container.on_cpu_ns() as f64 / window_ns.max(1) as f64;
    parts.push(format!("used {cores:.2} CPUs ({:.1}%)", cores * 100.0));
    parts.extend(container.views.measured.get::<Limits>().and_then(limits));
    parts.extend(container.threads.map(|it| units::counted(it, "thread")));
    printable(&parts.join(" · "), 1000)
}

fn limits(limits: &Limits) -> Option<String> {
    crate::views::RowView::line(limits, None)
}

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    ctprof_version: &'a str,
    window_ns: u64,
    containers: Vec<OfContainer<'a>>,
}

#[derive(Serialize)]
struct OfContainer<'a> {
    name: &'a str,
    label: &'a str,
    id: &'a str,
    cgroup: &'a str,
    findings: &'a [Finding],
}

/// Prints findings as one JSON object.
///
/// # Errors
/// What the writer fails with.
pub fn json(all: &[Examined<'_>], window_ns: u64, out: &mut impl Write) -> io::Result<()> {
    let containers = all.iter().map(|it| OfContainer {
        name: &it.container.name,
        label: &it.container.label,
        id: &it.container.id,
        cgroup: &it.container.cgroup,
        findings: it.findings,
    });
    let document = Document {
        schema_version: SCHEMA_VERSION,
        ctprof_version: env!("CARGO_PKG_VERSION"),
        window_ns,
        containers: containers.collect(),
    };
    serde_json::to_writer_pretty(&mut *out, &document)?;
    out.write_all(b"\n")
}

/// Prints findings for pull requests and tickets.
///
/// # Errors
/// What the writer fails with.
pub fn markdown(all: &[Examined<'_>], window_ns: u64, out: &mut impl Write) -> io::Result<()> {
    for examined in all {
        writeln!(
            out,
            "### {}\n",
            escaped(&heading(examined.container, window_ns))
        )?;
        if examined.worst().is_none_or(|it| it == Severity::Info) {
            writeln!(out, "Nothing is wrong with this container.\n")?;
        }
        for finding in examined.findings {
            writeln!(
                out,
                "- **{}** {} (`{}`, {})",
                finding.severity.name(),
                escaped(&finding.title),
                finding.id,
                finding.confidence.name()
            )?;
            for line in &finding.evidence {
                writeln!(out, "  - {}", escaped(line))?;
            }
            for line in &finding.advice {
                writeln!(out, "  - change: {}", escaped(line))?;
            }
            if let Some(gain) = &finding.gain {
                writeln!(out, "  - effect: {}", escaped(&gain.text))?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Names come from containers: no markup of theirs is taken for ours.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in printable(text, 1000).chars() {
        if matches!(
            c,
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '&'
        ) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
