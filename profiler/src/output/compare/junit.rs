//! A comparison as test results: one case for each rule and row.

use std::io::{self, Write};

use super::words;
use crate::compare::Verdict;
use crate::compare::outcome::Comparison;
use crate::model::text::markup;

/// Writes it. A rule that is broken is a failure, one that cannot be judged is skipped.
///
/// # Errors
/// What the writer fails with.
pub fn write(comparison: &Comparison, out: &mut impl Write) -> io::Result<()> {
    let rules = &comparison.rules;
    let failures = rules.iter().filter(|rule| rule.broken).count();
    let is_unknown = |verdict| verdict == Verdict::Unknown;
    let skipped = rules
        .iter()
        .filter(|rule| is_unknown(rule.compared.verdict))
        .count();
    let seconds = comparison.a.seconds + comparison.b.seconds;
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    writeln!(
        out,
        "<testsuite name=\"ctprof compare\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\" time=\"{seconds:.3}\">",
        rules.len() + 1,
    )?;
    let what = format!("{} beside {}", comparison.b.name, comparison.a.name);
    writeln!(
        out,
        "  <testcase classname=\"compared\" name=\"{}\" time=\"{seconds:.3}\">",
        markup(&what)
    )?;
    let mut said = vec![words::normalised(comparison)];
    said.extend(comparison.notes.iter().cloned());
    writeln!(
        out,
        "    <system-out>{}</system-out>\n  </testcase>",
        markup(&said.join("\n"))
    )?;
    for rule in rules {
        let name = format!("{} in {}", rule.rule, rule.row);
        let said = markup(&words::both(&rule.compared, rule.unit));
        write!(
            out,
            "  <testcase classname=\"rule\" name=\"{}\" time=\"0\">",
            markup(&name)
        )?;
        match rule.compared.verdict {
            _ if rule.broken => write!(
                out,
                "<failure message=\"{}\">{said}</failure>",
                markup(&name)
            )?,
            Verdict::Unknown => write!(out, "<skipped message=\"{said}\"/>")?,
            _ => write!(out, "<system-out>{said}</system-out>")?,
        }
        writeln!(out, "</testcase>")?;
    }
    writeln!(out, "</testsuite>")
}
