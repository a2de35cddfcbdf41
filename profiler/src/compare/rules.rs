//! What is not to get worse: `cpu>+5%`, `run_queue.p99<20ms`, `function:parse_order>+10%`.

use std::fmt;

use serde::Serialize;

use super::between_runs;
use super::judge::Difference;
use super::metrics::{self, Metric, Unit};
use super::outcome::{Compared, RowComparison};
use super::{Refusal, Verdict, judge_family};
use crate::model::ViewId;
use crate::views::{self, Entry};

/// What a rule is about.
#[derive(Clone, Debug, PartialEq)]
enum About {
    /// A metric of the table.
    Metric(&'static str),
    /// How often, or how long, one thing that a view counts one by one: the metric's id.
    Item(String),
    /// The time of a function and of all that it calls.
    Function(String),
}

/// How far is too far.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    /// Part of A by which B may differ.
    Change(f64),
    /// The figure that B may have.
    Value(f64),
}

/// A rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    text: String,
    about: About,
    is_above: bool,
    limit: Limit,
}

/// Words that a limit may end in, and what they stand for: ns.
const TIMES: [(&str, f64); 4] = [("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9)];

const FORMS: &str = "METRIC>+5%, METRIC<-5%, METRIC>LIMIT or function:NAME>+10%";

impl Rule {
    /// Reads a rule.
    ///
    /// # Errors
    /// It means nothing: why, and what would.
    pub fn parse(text: &str) -> Result<Self, String> {
        let at = text
            .rfind(['>', '<'])
            .ok_or_else(|| format!("has neither > nor <; use {FORMS}"))?;
        let (name, limit) = (text[..at].trim(), text[at + 1..].trim());
        let is_above = text[at..].starts_with('>');
        let about = match name.strip_prefix("function:") {
            Some("") => return Err("names no function: function:NAME>+10%".to_owned()),
            Some(function) => About::Function(function.to_owned()),
            None => match Metric::from_id(name) {
                Some(metric) => About::Metric(metric.id),
                None if item(name).is_some() => About::Item(name.to_owned()),
                None => {
                    return Err(format!(
                        "has no metric {name:?}; there are {} and function:NAME",
                        ids().join(", ")
                    ));
                }
            },
        };
        let limit = parse_limit(limit, is_above)?;
        if matches!((&about, limit), (About::Function(_), Limit::Value(_))) {
            return Err(format!("has no change: function:{name}>+10%")
                .replace("function:function:", "function:"));
        }
        Ok(Self {
            text: text.to_owned(),
            about,
            is_above,
            limit,
        })
    }

    pub(super) fn is_about_function(&self, name: &str) -> bool {
        matches!(&self.about, About::Function(own) if own == name)
    }

    pub(super) fn is_about_metric(&self, id: &str) -> bool {
        match &self.about {
            About::Metric(own) => *own == id,
            About::Item(own) => own == id,
            About::Function(_) => false,
        }
    }

    pub(super) fn is_about_item(&self, view: &Entry, name: &str) -> bool {
        let About::Item(id) = &self.about else {
            return false;
        };
        view.name_in(id) == Some(name)
    }

    /// The view that it takes.
    #[must_use]
    pub fn needs(&self) -> Option<ViewId> {
        let view = match &self.about {
            About::Metric(id) => Metric::from_id(id)?.view?,
            About::Item(id) => item(id)?.0,
            About::Function(_) => return None,
        };
        Some((view.id)())
    }

    fn find<'a>(&self, row: &'a mut RowComparison) -> Option<(&'a mut Compared, Unit)> {
        let id = match &self.about {
            About::Metric(id) => id,
            About::Item(id) => id.as_str(),
            About::Function(name) => {
                let mut found = row
                    .functions
                    .iter_mut()
                    .filter(|it| it.name == *name && it.state == "on_cpu");
                return found.next().map(|it| {
                    let unit = it.unit;
                    (&mut it.total, unit)
                });
            }
        };
        let found = row.metrics.iter_mut().find(|metric| metric.id == id);
        found.map(|metric| (&mut metric.compared, metric.unit))
    }

    fn is_broken(&self, compared: &Compared) -> bool {
        let is_worse = match compared.verdict {
            Verdict::More => self.is_above,
            Verdict::Less => !self.is_above,
            Verdict::Same | Verdict::Unknown => return false,
        };
        let (value, limit) = match self.limit {
            Limit::Change(limit) => (compared.change().unwrap_or(f64::INFINITY), limit),
            Limit::Value(limit) => (compared.b(), limit),
        };
        is_worse
            && if self.is_above {
                value > limit
            } else {
                value < limit
            }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The view and the name of the thing that a metric with this id is of, if it is of one.
fn item(id: &str) -> Option<(&'static Entry, &str)> {
    let mut views = views::ALL.iter();
    views.find_map(|view| Some((view, view.name_in(id)?)))
}

fn ids() -> Vec<String> {
    let mut ids: Vec<String> = metrics::all().map(|metric| metric.id.to_owned()).collect();
    for view in views::ALL.iter().filter(|view| view.named.is_some()) {
        let id = (view.id)();
        ids.extend([format!("{id}.NAME"), format!("{id}.NAME.mean")]);
    }
    ids
}

fn parse_limit(text: &str, is_above: bool) -> Result<Limit, String> {
    let wrong = || {
        format!(
            "has no limit in {text:?}; use a change (+5%, -5%), a share (1%), a time (20ms) or a number"
        )
    };
    let finite = |number: &str| {
        let number: f64 = number.trim().parse().map_err(|_| wrong())?;
        if number.is_finite() {
            Ok(number)
        } else {
            Err(wrong())
        }
    };
    let has_sign = text.starts_with(['+', '-']);
    if let Some(percent) = text.strip_suffix('%') {
        let part = finite(percent)? / 100.0;
        if !has_sign {
            return Ok(Limit::Value(part));
        }
        if is_above != (part >= 0.0) {
            return Err(
                "can never tell what got worse: use >+5% for more and <-5% for less".to_owned(),
            );
        }
        return Ok(Limit::Change(part));
    }
    if has_sign {
        return Err(wrong());
    }
    for (word, ns) in TIMES {
        if let Some(number) = text.strip_suffix(word)
            && number
                .trim()
                .ends_with(|c: char| c.is_ascii_digit() || c == '.')
        {
            return Ok(Limit::Value(finite(number)? * ns));
        }
    }
    Ok(Limit::Value(finite(text)?))
}

/// What a rule says of a row.
#[derive(Clone, Debug, Serialize)]
pub struct RuleOutcome {
    /// The rule, as it was given.
    pub rule: String,
    /// The row.
    pub row: String,
    /// It is broken, by more than noise.
    pub broken: bool,
    /// What it is measured in.
    pub unit: Unit,
    /// The figures.
    #[serde(flatten)]
    pub compared: Compared,
}

/// Judges what rules are about by itself: whoever asks before looking has not tried a hundred things.
///
/// # Errors
/// A rule is about something that no row has.
pub(super) fn judge(
    rules: &[Rule],
    rows: &mut [RowComparison],
) -> Result<Vec<RuleOutcome>, Refusal> {
    // Two rules about one figure are one test.
    let mut abouts: Vec<&Rule> = Vec::new();
    for rule in rules {
        if !abouts.iter().any(|known| known.about == rule.about) {
            abouts.push(rule);
        }
    }
    let mut asked: Vec<Compared> = Vec::new();
    for row in &mut *rows {
        for rule in &abouts {
            asked.extend(rule.find(row).map(|(compared, _)| {
                let mut compared = compared.clone();
                // Whoever sets a limit to waits for a CPU wants to hear of them, whosever doing they are.
                compared.difference = compared.difference.varying_at_most(between_runs::WAITING);
                compared
            }));
        }
    }
    let mut all: Vec<&mut Compared> = asked.iter_mut().collect();
    judge_family(&mut all);
    let mut judged = asked.into_iter();
    for row in &mut *rows {
        for rule in &abouts {
            if let Some((compared, _)) = rule.find(row)
                && let Some(judged) = judged.next()
            {
                *compared = judged;
            }
        }
    }
    let mut outcomes = Vec::new();
    for rule in rules {
        let before = outcomes.len();
        for row in &mut *rows {
            let name = row.name.clone();
            if let Some((compared, unit)) = rule.find(row) {
                outcomes.push(RuleOutcome {
                    rule: rule.to_string(),
                    row: name,
                    broken: rule.is_broken(compared),
                    unit,
                    compared: compared.clone(),
                });
            }
        }
        if outcomes.len() == before {
            outcomes.push(missing(rule, rows)?);
        }
    }
    Ok(outcomes)
}

/// What is said of a rule about what no row has: waits for a CPU may just not have been, what is not known by name cannot.
fn missing(rule: &Rule, rows: &[RowComparison]) -> Result<RuleOutcome, Refusal> {
    let (what, choices): (String, Vec<String>) = match &rule.about {
        About::Function(name) => {
            let functions = rows.iter().flat_map(|row| &row.functions);
            let names = functions
                .filter(|it| it.state == "on_cpu")
                .map(|it| it.name.clone());
            (format!("no function {name:?} on the CPU"), names.collect())
        }
        About::Metric(id) => match Metric::from_id(id).and_then(|it| it.view?.switch) {
            Some(switch) => (switch.absent.to_owned(), Vec::new()),
            None => {
                let row = rows.first();
                return Ok(RuleOutcome {
                    rule: rule.to_string(),
                    row: row.map_or_else(String::new, |row| row.name.clone()),
                    broken: false,
                    unit: Unit::Share,
                    compared: Compared::new(Difference::NOTHING),
                });
            }
        },
        About::Item(id) => {
            let start = item(id).map(|(view, _)| format!("{}.", (view.id)()));
            let metrics = rows.iter().flat_map(|row| &row.metrics);
            let items = metrics.filter(|it| start.as_ref().is_some_and(|s| it.id.starts_with(s)));
            (
                format!("no {id} in both"),
                items.map(|it| it.id.clone()).collect(),
            )
        }
    };
    Err(Refusal::NoSuchThing(rule.to_string(), what, choices))
}

#[cfg(test)]
mod tests {
    use super::{Limit, Rule};
    use crate::model::ViewId;
    use crate::views;

    #[test]
    fn forms() {
        let limit = |text| Rule::parse(text).unwrap().limit;
        assert_eq!(limit("cpu>+5%"), Limit::Change(0.05));
        assert_eq!(limit("syscalls.total < -10%"), Limit::Change(-0.1));
        assert_eq!(limit("throttled>1%"), Limit::Value(0.01));
        assert_eq!(limit("run_queue.p99>20ms"), Limit::Value(2e7));
        assert_eq!(limit("syscalls.futex.mean>1.5us"), Limit::Value(1_500.0));
        assert_eq!(limit("cpu>2"), Limit::Value(2.0));
        let rule = Rule::parse("function:std::vec<T>::push>+10%").unwrap();
        assert!(rule.is_about_function("std::vec<T>::push"));
        let rule = Rule::parse("syscalls.futex.mean>+1%").unwrap();
        let view = views::find(&ViewId::new("syscalls")).unwrap();
        assert!(rule.is_about_item(view, "futex"));
        assert_eq!(rule.needs().as_ref(), Some(&(view.id)()));
    }

    #[test]
    fn what_means_nothing_is_refused_with_what_would() {
        for (text, says) in [
            ("cpu", "neither > nor <"),
            ("cqu>+5%", "cpu, cpu.user, cpu.kernel, threads, run_queue"),
            ("cpu>", "has no limit in \"\""),
            ("cpu>+x%", "has no limit in \"+x%\""),
            ("cpu>+5", "has no limit in \"+5\""),
            ("cpu>NaN", "has no limit"),
            ("cpu>-5%", "can never tell"),
            ("cpu<+5%", "can never tell"),
            ("function:>+5%", "names no function"),
            ("function:f>5ms", "has no change"),
        ] {
            let said = Rule::parse(text).unwrap_err();
            assert!(said.contains(says), "{text}: {said}");
        }
    }
}
