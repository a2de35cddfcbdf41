//! `docs/metrics.md` is made of the table. `BLESS=1` writes it anew.

use ctprof::agent::metrics::markdown;
use libtest_mimic::Trial;

use crate::Result;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");

pub(super) fn trials() -> Vec<Trial> {
    vec![Trial::test("page::is_not_stale", is_not_stale)]
}

fn is_not_stale() -> Result {
    let page = markdown::page();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(PATH, &page)?;
    }
    let found = std::fs::read_to_string(PATH).unwrap_or_default();
    if found != page {
        return Err(
            "docs/metrics.md is stale; `BLESS=1 cargo test --test metrics` writes it".into(),
        );
    }
    Ok(())
}
