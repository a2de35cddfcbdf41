//! The rules of `dashboards/prometheus`: that they speak of metrics that there are, and promtool's tests of what they say.

use std::path::Path;

use libtest_mimic::Trial;

use crate::Result;
use crate::promql::Known;
use crate::promtool::{promtool, with_promtool};
use crate::queries::{PROMETHEUS, RULES, rules};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("rules::speak_of_what_there_is", speak_of_what_there_is),
        with_promtool("rules::pass_their_tests", pass_their_tests),
        with_promtool("rules::example_of_a_configuration", configuration),
    ]
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
        Path::new(PROMETHEUS),
        &["check", "rules", "--lint=all", "--lint-fatal", RULES],
        "",
    )?;
    promtool(
        Path::new(PROMETHEUS),
        &["test", "rules", "ctprof.rules.test.yml"],
        "",
    )
    .map(drop)
}

fn configuration() -> Result {
    promtool(
        Path::new(PROMETHEUS),
        &["check", "config", "--lint=all", "prometheus.yml"],
        "",
    )
    .map(drop)
}
