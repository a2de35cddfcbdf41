//! Reads an exposition back, strictly enough to see what is wrong with one.

use std::collections::{BTreeMap, BTreeSet};

use crate::Result;

/// Everything in an exposition.
#[derive(Debug, Default)]
pub(crate) struct Exposed {
    /// Type of each family.
    pub(crate) types: BTreeMap<String, String>,
    /// Series, name and sorted labels, with their values.
    pub(crate) series: BTreeMap<Series, f64>,
}

/// A name and its labels.
pub(crate) type Series = (String, BTreeMap<String, String>);

impl Exposed {
    /// Fails on a line that is none, a series that is there twice, or a family in two pieces.
    pub(crate) fn read(text: &str) -> Result<Self> {
        let mut exposed = Self::default();
        let mut families = BTreeSet::new();
        let mut last = String::new();
        for line in text.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                if let Some((name, kind)) = comment
                    .strip_prefix("TYPE ")
                    .and_then(|rest| rest.split_once(' '))
                {
                    let before = exposed.types.insert(name.to_owned(), kind.to_owned());
                    ensure(before.is_none(), || format!("{name} has two types"))?;
                }
                continue;
            }
            let (name, labels, value) = sample(line).ok_or_else(|| format!("no sample: {line}"))?;
            let family = family(&name, &exposed.types).to_owned();
            if family != last {
                let is_new = families.insert(family.clone());
                ensure(is_new, || format!("{family} is in two pieces"))?;
                last = family;
            }
            let before = exposed.series.insert((name, labels), value);
            ensure(before.is_none(), || format!("twice: {line}"))?;
        }
        Ok(exposed)
    }

    /// The value of the only series of this name that has these labels among its own.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
        let found = self.find(name, labels);
        ensure(found.len() == 1, || {
            format!("{} of {name} {labels:?}: {found:?}", found.len())
        })?;
        Ok(found[0].1)
    }

    /// Every series of this name that has these labels among its own.
    pub(crate) fn find(&self, name: &str, labels: &[(&str, &str)]) -> Vec<(&Series, f64)> {
        let matches = |of: &BTreeMap<String, String>| {
            labels
                .iter()
                .all(|(label, value)| of.get(*label).is_some_and(|it| it == value))
        };
        self.series
            .iter()
            .filter(|((it, of), _)| it == name && matches(of))
            .map(|(series, value)| (series, *value))
            .collect()
    }
}

fn ensure(holds: bool, message: impl FnOnce() -> String) -> Result {
    if holds { Ok(()) } else { Err(message().into()) }
}

/// Name of the family: that of the histogram for its three kinds of series, as in the type line otherwise.
fn family<'a>(name: &'a str, types: &BTreeMap<String, String>) -> &'a str {
    ["_bucket", "_sum", "_count", "_total", "_info"]
        .iter()
        .filter_map(|suffix| name.strip_suffix(suffix))
        .find(|stem| types.contains_key(*stem))
        .unwrap_or(name)
}

fn sample(line: &str) -> Option<(String, BTreeMap<String, String>, f64)> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, quoted) = rest.split_once("=\"")?;
            let (value, after) = unquote(quoted)?;
            if labels.insert(label.to_owned(), value).is_some() {
                return None;
            }
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = rest.strip_prefix('}')?;
    }
    let value = rest.strip_prefix(' ')?.parse().ok()?;
    Some((name.to_owned(), labels, value))
}

/// The value up to the closing quote, and what follows that.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((position, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[position + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                escaped @ ('"' | '\\') => escaped,
                _ => return None,
            }),
            c => value.push(c),
        }
    }
    None
}
