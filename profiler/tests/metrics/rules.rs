//! The rules of `dashboards/prometheus`: that they speak of metrics that there are, and promtool's tests of what they say.

use std::path::PathBuf;

use libtest_mimic::Trial;

use crate::Result;
use crate::promql::Known;
use crate::promtool::{promtool, with_promtool};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("rules::speak_of_what_there_is", speak_of_what_there_is),
        with_promtool("rules::pass_their_tests", pass_their_tests),
        with_promtool("rules::example_of_a_configuration", configuration),
    ]
}

pub(crate) fn folder() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../dashboards/prometheus"
    ))
}

const RULES: &str = "ctprof.rules.yml";

/// Name and query of each rule. The file has one key a line; a query may go on below `>-`, indented further.
pub(crate) fn rules() -> Result<Vec<(String, String)>> {
    let text = std::fs::read_to_string(folder().join(RULES))?;
    let mut rules: Vec<(String, String)> = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let line = line.trim();
        let name = ["- record: ", "- alert: "]
            .iter()
            .find_map(|key| line.strip_prefix(key));
        if let Some(name) = name {
            rules.push((name.to_owned(), String::new()));
        } else if let Some(query) = line.strip_prefix("expr: ") {
            let (_, of_rule) = rules.last_mut().ok_or("a query without a rule")?;
            if query != ">-" {
                query.clone_into(of_rule);
                continue;
            }
            while let Some(line) = lines.next_if(|line| line.starts_with("          ")) {
                of_rule.push_str(line.trim());
                of_rule.push(' ');
            }
        }
    }
    if rules.len() < 10 || rules.iter().any(|(_, query)| query.is_empty()) {
        return Err(format!("cannot read {RULES}: {rules:?}").into());
    }
    Ok(rules)
}

/// Names of what the rules record.
pub(crate) fn recorded() -> Result<Vec<String>> {
    let names = rules()?.into_iter().map(|(name, _)| name);
    Ok(names.filter(|name| name.contains(':')).collect())
}

fn speak_of_what_there_is() -> Result {
    crate::promql::is_strict()?;
    let known = Known::new(&recorded()?);
    for (name, query) in rules()? {
        known
            .check(&query)
            .map_err(|error| format!("{name}: {}", error.message().unwrap_or_default()))?;
    }
    Ok(())
}

fn pass_their_tests() -> Result {
    promtool(
        &folder(),
        &["check", "rules", "--lint=all", "--lint-fatal", RULES],
        "",
    )?;
    promtool(&folder(), &["test", "rules", "ctprof.rules.test.yml"], "").map(drop)
}

fn configuration() -> Result {
    promtool(
        &folder(),
        &["check", "config", "--lint=all", "prometheus.yml"],
        "",
    )
    .map(drop)
}
