//! The queries of `dashboards/`, for whoever checks them.

use std::path::PathBuf;

use libtest_mimic::Failed;
use serde_json::Value;

type Result<T> = std::result::Result<T, Failed>;

const GRAFANA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../dashboards/grafana");

/// Where the rules are.
pub(crate) const PROMETHEUS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../dashboards/prometheus");

/// The rules.
pub(crate) const RULES: &str = "ctprof.rules.yml";

/// One dashboard.
pub(crate) struct Dashboard {
    /// Name of its file.
    pub(crate) file: String,
    /// All of it.
    pub(crate) json: Value,
}

/// One query of a panel.
pub(crate) struct Query {
    /// Whose, for people.
    pub(crate) panel: String,
    /// As it is written.
    pub(crate) text: String,
    /// What its series are called.
    pub(crate) legend: String,
}

/// Every dashboard.
pub(crate) fn dashboards() -> Result<Vec<Dashboard>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(GRAFANA)? {
        let path: PathBuf = entry?.path();
        if path.extension().is_some_and(|it| it == "json") {
            let json = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
            let file = path.file_name().unwrap_or_default().display().to_string();
            found.push(Dashboard { file, json });
        }
    }
    assert_eq!(found.len(), 4);
    Ok(found)
}

impl Dashboard {
    /// Its panels.
    pub(crate) fn panels(&self) -> impl Iterator<Item = &Value> {
        self.json["panels"].as_array().into_iter().flatten()
    }

    /// Its variables.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &Value> {
        self.json["templating"]["list"]
            .as_array()
            .into_iter()
            .flatten()
    }

    /// Its queries.
    pub(crate) fn queries(&self) -> Vec<Query> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.panels()
            .flat_map(|panel| {
                let targets = panel["targets"].as_array().into_iter().flatten();
                targets.map(|target| Query {
                    panel: format!("{}, {}", self.file, text(&panel["title"])),
                    text: text(&target["expr"]),
                    legend: text(&target["legendFormat"]),
                })
            })
            .collect()
    }

    /// A query as Grafana would send it, with these values. Fails on a variable that there is not.
    pub(crate) fn filled(&self, query: &str, value: impl Fn(&str) -> String) -> Result<String> {
        let mut filled = query.to_owned();
        for name in ["__rate_interval", "__range"] {
            filled = filled.replace(&format!("${name}"), &value(name));
        }
        for variable in self.variables() {
            let name = variable["name"].as_str().unwrap_or_default();
            filled = filled.replace(&format!("${name}"), &value(name));
        }
        if filled.contains('$') {
            return Err(format!("{}: no such variable: {filled}", self.file).into());
        }
        Ok(filled)
    }
}

/// Name and query of each rule. The file has one key a line; a query may go on below `>-`, indented further.
pub(crate) fn rules() -> Result<Vec<(String, String)>> {
    let text = std::fs::read_to_string(PathBuf::from(PROMETHEUS).join(RULES))?;
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
