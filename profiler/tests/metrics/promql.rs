//! Which metrics and labels a query speaks of. Not a parser: promtool says whether a query is one.

use std::collections::{BTreeMap, BTreeSet};

use ctprof::agent::metrics::group_labels;
use ctprof::agent::metrics::table::{self, Kind, Source};
use ctprof::model::Grouping;

use crate::Result;

/// Labels that Prometheus adds to what it scrapes.
const OF_TARGET: [&str; 2] = ["instance", "job"];

/// Words before a list of labels.
const BEFORE_LABELS: [&str; 6] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
];

/// Words that are neither a metric nor a function.
const OPERATORS: [&str; 6] = ["and", "or", "unless", "bool", "offset", "inf"];

/// Series that queries may use, with their labels.
#[derive(Debug)]
pub(crate) struct Known(BTreeMap<String, BTreeSet<String>>);

/// What a query speaks of.
#[derive(Debug, Default)]
struct Mentioned {
    /// Series with the labels that select them.
    series: Vec<(String, Vec<String>)>,
    /// Labels that are kept, dropped or matched.
    labels: Vec<String>,
}

impl Known {
    /// All series of the table, and those that rules record.
    pub(crate) fn new(recorded: &[String]) -> Self {
        let rows: BTreeSet<String> = Grouping::ALL
            .into_iter()
            .flat_map(|(grouping, _)| group_labels(grouping))
            .map(|label| (*label).to_owned())
            .collect();
        let mut known = BTreeMap::new();
        for metric in table::all() {
            let mut labels: BTreeSet<String> =
                metric.labels.iter().map(|it| it.name.to_owned()).collect();
            labels.extend(OF_TARGET.map(str::to_owned));
            if matches!(metric.source, Source::Group(_) | Source::View(_)) {
                labels.extend(rows.iter().cloned());
            }
            if matches!(metric.kind, Kind::Histogram(_)) {
                labels.insert("le".to_owned());
            }
            for name in metric.series_names() {
                known.insert(name, labels.clone());
            }
        }
        let all: BTreeSet<String> = known.values().flatten().cloned().collect();
        known.extend(recorded.iter().map(|name| (name.clone(), all.clone())));
        Self(known)
    }

    /// Fails on a series or a label that there is not. Answers with all labels that the query's series have.
    pub(crate) fn check(&self, query: &str) -> Result<BTreeSet<String>> {
        let mentioned = mentioned(query);
        if mentioned.series.is_empty() {
            return Err(format!("no series in {query}").into());
        }
        let mut all = BTreeSet::new();
        for (name, labels) in &mentioned.series {
            let of_series = self
                .0
                .get(name)
                .ok_or_else(|| format!("no metric {name}, in {query}"))?;
            all.extend(of_series.iter().cloned());
            for label in labels {
                if !of_series.contains(label) {
                    return Err(format!("{name} has no label {label}, in {query}").into());
                }
            }
        }
        for label in &mentioned.labels {
            if !all.contains(label) {
                return Err(format!("nothing has a label {label}, in {query}").into());
            }
        }
        Ok(all)
    }
}

#[derive(Debug, PartialEq)]
enum Token {
    Word(String),
    Sign(char),
}

/// Words and signs; strings, numbers and durations are left out.
fn tokens(query: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut chars = query.chars().peekable();
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    while let Some(c) = chars.next() {
        if c == '"' {
            while let Some(c) = chars.next() {
                match c {
                    '\\' => drop(chars.next()),
                    '"' => break,
                    _ => {}
                }
            }
        } else if is_word(c) {
            let mut word = c.to_string();
            while let Some(c) = chars.next_if(|c| is_word(*c)) {
                word.push(c);
            }
            if !c.is_numeric() && c != ':' {
                tokens.push(Token::Word(word));
            }
        } else if !c.is_whitespace() {
            tokens.push(Token::Sign(c));
        }
    }
    tokens
}

fn mentioned(query: &str) -> Mentioned {
    let mut mentioned = Mentioned::default();
    let mut tokens = tokens(query).into_iter().peekable();
    // Words up to this sign.
    let mut until = None;
    let mut into_series = false;
    while let Some(token) = tokens.next() {
        let word = match token {
            Token::Sign(sign) => {
                if until == Some(sign) {
                    until = None;
                }
                if sign == '{' {
                    (until, into_series) = (Some('}'), true);
                }
                continue;
            }
            Token::Word(word) => word,
        };
        if until.is_some() {
            match mentioned.series.last_mut() {
                Some((_, labels)) if into_series => labels.push(word),
                _ => mentioned.labels.push(word),
            }
        } else if BEFORE_LABELS.contains(&word.as_str()) {
            (until, into_series) = (Some(')'), false);
        } else if !OPERATORS.contains(&word.as_str())
            && tokens.peek() != Some(&Token::Sign('('))
            && !aggregates(&word, tokens.peek())
        {
            mentioned.series.push((word, Vec::new()));
        }
    }
    mentioned
}

/// `sum by (…)`: a function with a word before its parenthesis.
fn aggregates(word: &str, next: Option<&Token>) -> bool {
    !word.contains('_')
        && matches!(next, Some(Token::Word(next)) if BEFORE_LABELS[..2].contains(&next.as_str()))
}

/// The check itself, on queries whose answer is known.
pub(crate) fn is_strict() -> Result {
    let known = Known::new(&["a:b:rate5m".to_owned()]);
    for query in [
        "sum by (container, mode) (rate(ctprof_on_cpu_seconds_total{pod=~\"a\\\"b{\"}[5m]))",
        "a:b:rate5m / ignoring (culprit) group_left () (ctprof_threads > 0.01)",
        "histogram_quantile(0.9, sum without (pod) (rate(ctprof_run_queue_latency_seconds_bucket{le=\"1\"}[1m])))",
    ] {
        known.check(query)?;
    }
    for (query, wrong) in [
        ("rate(ctprof_on_cpu_seconds[5m])", "no metric"),
        ("ctprof_run_queue_latency_seconds", "no metric"),
        ("ctprof_threads{mode=\"user\"}", "no label mode"),
        ("sum by (culprit) (ctprof_threads)", "a label culprit"),
        (
            "ctprof_threads / on (state) ctprof_threads",
            "a label state",
        ),
        ("ctprof_groups{container=\"a\"}", "no label container"),
        ("1 + 1", "no series"),
    ] {
        match known.check(query) {
            Err(error) if error.message().is_some_and(|it| it.contains(wrong)) => {}
            other => return Err(format!("{query}: {other:?}").into()),
        }
    }
    Ok(())
}
