//! Every query of every dashboard and rule has an answer.

use super::WINDOW;
use super::server::Now;
use crate::harness::{Result, ensure};
use crate::queries::{dashboards, rules};

/// What a row may be set to: a query has to have an answer for one of these at least.
const ROWS: [&str; 3] = ["limited", "host", "sleeper"];

/// Panels that are empty where all is well, or where the kernel has no such thing.
const MAY_BE_EMPTY: [(&str, &str); 5] = [
    ("ctprof-agent.json, Lost events", ""),
    ("ctprof-agent.json, Views that this kernel cannot give", ""),
    (
        "ctprof-container.json, What is wrong with it (ctprof agent --doctor-every)",
        "",
    ),
    ("ctprof-host.json, CPU pressure (PSI)", "psi"),
    ("ctprof-container.json, Pressure (PSI)", "psi"),
];

/// Rules that fire only where something is wrong.
const MAY_BE_SILENT: [&str; 5] = [
    "CtprofRunQueueLatency",
    "CtprofQuotaSoonExhausted",
    "CtprofFinding",
    "CtprofLosesEvents",
    "CtprofLimitReached",
];

pub(super) fn check(now: &Now<'_>) -> Result {
    let has_psi = !now.query("ctprof_pressure_seconds_total")?.is_empty();
    let mut empty = Vec::new();
    let mut answered = 0;
    for dashboard in dashboards()? {
        for query in dashboard.queries() {
            let mut found = false;
            for row in ROWS {
                let text = dashboard.filled(&query.text, |variable| value(variable, row))?;
                found |= !now.query(&text)?.is_empty();
                if found {
                    break;
                }
            }
            let may = MAY_BE_EMPTY
                .iter()
                .any(|(panel, view)| *panel == query.panel && !(*view == "psi" && has_psi));
            match found {
                true => answered += 1,
                false if may => println!("no answer, as may be: {}", query.panel),
                false => empty.push(format!("{}: {}", query.panel, query.text)),
            }
        }
    }
    for (name, query) in rules()? {
        let query = ["[5m]", "[10m]", "[30m]"]
            .iter()
            .fold(query, |query, window| {
                query.replace(window, &format!("[{WINDOW}]"))
            });
        if !now.query(&query)?.is_empty() {
            answered += 1;
        } else if !MAY_BE_SILENT.contains(&name.as_str()) {
            empty.push(format!("{name}: {query}"));
        }
    }
    println!("{answered} queries have an answer");
    ensure!(empty.is_empty(), "no answer to:\n{}", empty.join("\n"));
    Ok(())
}

fn value(variable: &str, row: &str) -> String {
    match variable {
        "__rate_interval" => WINDOW,
        "__range" => "30s",
        "by" => "container",
        "ago" => "1s",
        "instance" => ".*",
        _ => row,
    }
    .to_owned()
}
