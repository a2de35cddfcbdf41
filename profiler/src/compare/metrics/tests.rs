//! The manual is made of the table.

use std::collections::BTreeSet;

use super::{Metric, all};

const START: &str = "<!-- metrics -->\n";
const END: &str = "<!-- /metrics -->\n";

/// All but those of the view that only tests have.
fn told() -> impl Iterator<Item = Metric> {
    all().filter(|metric| !metric.id.starts_with("toy."))
}

#[test]
fn the_manual_has_the_metrics() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/compare.md");
    let manual = std::fs::read_to_string(path).unwrap();
    let (before, rest) = manual.split_once(START).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let rows = told().map(|metric| format!("| `{}` | {} |\n", metric.id, metric.meaning));
    let table = format!("| id | meaning |\n|---|---|\n{}", rows.collect::<String>());
    let made = format!("{before}{START}{table}{END}{after}");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    assert!(
        made == manual || std::env::var_os("BLESS").is_some(),
        "docs/compare.md is out of date; run `BLESS=1 cargo test --lib manual`"
    );
}

#[test]
fn an_id_is_one_metric() {
    let ids: BTreeSet<&str> = all().map(|metric| metric.id).collect();
    assert_eq!(ids.len(), all().count());
}
