//! The dashboards of `dashboards/grafana`: that they are what Grafana reads, and speak of metrics that there are.

use std::collections::BTreeSet;

use libtest_mimic::Trial;

use crate::Result;
use crate::promql::Known;
use crate::promtool::{promtool, with_promtool};
use crate::queries::dashboards;
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

/// Any value that Prometheus takes.
fn any(variable: &str) -> String {
    match variable {
        "__rate_interval" => "1m",
        "__range" => "1h",
        "by" => "container",
        "ago" => "1s",
        _ => "web",
    }
    .to_owned()
}

fn speak_of_what_there_is() -> Result {
    let known = Known::new(&recorded()?);
    for dashboard in dashboards()? {
        let queries = dashboard.queries();
        assert!(queries.len() >= 10, "{}: {}", dashboard.file, queries.len());
        for query in queries {
            let in_panel = |message: &str| format!("{}: {message}", query.panel);
            let labels = known
                .check(&dashboard.filled(&query.text, any)?)
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
            let inside = dashboard.filled(inside, any)?;
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
            let text = serde_json::to_string(&dashboard.filled(&query.text, any)?)?;
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
