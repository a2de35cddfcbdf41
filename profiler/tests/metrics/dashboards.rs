//! The dashboards of `dashboards/grafana`: that they are what Grafana reads, and speak of metrics that there are.

use std::collections::BTreeSet;
use std::path::PathBuf;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::Result;
use crate::promql::Known;
use crate::promtool::{promtool, with_promtool};
use crate::rules::recorded;

pub(super) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("dashboards::speak_of_what_there_is", speak_of_what_there_is),
        Trial::test(
            "dashboards::panels_have_their_place",
            panels_have_their_place,
        ),
        with_promtool("dashboards::queries_are_queries", queries_are_queries),
    ]
}

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../dashboards/grafana");

/// Variables that Grafana has by itself, with a value that Prometheus takes.
const OF_GRAFANA: [(&str, &str); 2] = [("__rate_interval", "1m"), ("__range", "1h")];

struct Dashboard {
    file: String,
    json: Value,
}

struct Query {
    panel: String,
    text: String,
    legend: String,
}

fn dashboards() -> Result<Vec<Dashboard>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(FOLDER)? {
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
    fn panels(&self) -> impl Iterator<Item = &Value> {
        self.json["panels"].as_array().into_iter().flatten()
    }

    fn variables(&self) -> impl Iterator<Item = &Value> {
        self.json["templating"]["list"]
            .as_array()
            .into_iter()
            .flatten()
    }

    fn queries(&self) -> Vec<Query> {
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

    /// A query as Grafana would send it. Fails on a variable that there is not.
    fn filled(&self, query: &str) -> Result<String> {
        let mut filled = query.to_owned();
        for (name, value) in OF_GRAFANA {
            filled = filled.replace(&format!("${name}"), value);
        }
        for variable in self.variables() {
            let name = variable["name"].as_str().unwrap_or_default();
            let value = if name == "by" { "container" } else { "web" };
            filled = filled.replace(&format!("${name}"), value);
        }
        if filled.contains('$') {
            return Err(format!("{}: no such variable: {filled}", self.file).into());
        }
        Ok(filled)
    }
}

fn speak_of_what_there_is() -> Result {
    let known = Known::new(&recorded()?);
    for dashboard in dashboards()? {
        let queries = dashboard.queries();
        assert!(queries.len() >= 10, "{}: {}", dashboard.file, queries.len());
        for query in queries {
            let in_panel = |message: &str| format!("{}: {message}", query.panel);
            let labels = known
                .check(&dashboard.filled(&query.text)?)
                .map_err(|error| in_panel(error.message().unwrap_or_default()))?;
            for part in query.legend.split("{{").skip(1) {
                let label = part.split("}}").next().unwrap_or_default().trim();
                if !labels.contains(label) {
                    return Err(in_panel(&format!("no label {label} for {}", query.legend)).into());
                }
            }
        }
        for variable in dashboard.variables() {
            let query = variable["query"]["query"].as_str().unwrap_or_default();
            let Some(inside) = query
                .strip_prefix("label_values(")
                .and_then(|rest| rest.strip_suffix(')'))
            else {
                continue;
            };
            let inside = dashboard.filled(inside)?;
            let (series, label) = inside.rsplit_once(", ").ok_or("label_values of one")?;
            let labels = known.check(series)?;
            assert!(labels.contains(label), "{}: {inside}", dashboard.file);
        }
    }
    Ok(())
}

/// No two panels on one place, no id twice, nothing beyond the 24 columns.
fn panels_have_their_place() -> Result {
    let mut uids = BTreeSet::new();
    for dashboard in dashboards()? {
        let uid = dashboard.json["uid"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert_eq!(format!("{uid}.json"), dashboard.file);
        assert!(uids.insert(uid));
        let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
        for panel in dashboard.panels() {
            let title = panel["title"].as_str().unwrap_or_default();
            let place = |key: &str| panel["gridPos"][key].as_u64().unwrap_or(u64::MAX);
            assert!(ids.insert(panel["id"].as_u64()), "{title}: id");
            assert!(place("x") + place("w") <= 24, "{title} is too wide");
            for x in place("x")..place("x") + place("w") {
                for y in place("y")..place("y") + place("h") {
                    assert!(
                        taken.insert((x, y)),
                        "{}: {title} at {x}, {y}",
                        dashboard.file
                    );
                }
            }
            let is_row = panel["type"] == "row";
            let source = panel["datasource"]["uid"].as_str();
            assert!(is_row || source == Some("${datasource}"), "{title}");
        }
    }
    Ok(())
}

/// Every query is the query of a rule, for promtool to read.
fn queries_are_queries() -> Result {
    let folder = tempfile::tempdir()?;
    let mut rules = "groups:\n- name: all\n  rules:\n".to_owned();
    let mut count = 0;
    for dashboard in dashboards()? {
        for query in dashboard.queries() {
            let text = serde_json::to_string(&dashboard.filled(&query.text)?)?;
            rules.push_str(&format!("  - record: a:query:{count}\n    expr: {text}\n"));
            count += 1;
        }
    }
    std::fs::write(folder.path().join("rules.yml"), rules)?;
    let said = promtool(folder.path(), &["check", "rules", "rules.yml"], "")?;
    let expected = format!("{count} rules found");
    assert!(count > 60 && said.contains(&expected), "{count}: {said}");
    Ok(())
}
