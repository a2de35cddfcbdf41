//! The table of rules. Each is a pure function of one container, in a file of its own.

mod cpu_bound;
mod disk;
mod dns;
mod event_loop;
mod garbage;
mod host;
mod idle;
mod isolation;
mod lock;
mod memory;
mod neighbour;
mod network;
mod oom;
mod parallelism;
mod quota;
mod short_lived;
mod sleep;
mod storm;

use super::finding::Finding;
use super::patient::Patient;

/// One rule.
pub struct Rule {
    /// What its findings are called, in JSON and in metrics.
    pub id: &'static str,
    /// What it is about, for the manual.
    pub about: &'static str,
    /// From what on it finds something, for the manual.
    pub when: &'static str,
    pub(super) judge: fn(&Patient<'_>) -> Option<Finding>,
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Rule").field(&self.id).finish()
    }
}

/// Every rule.
pub const ALL: &[Rule] = &[
    oom::RULE,
    quota::RULE,
    parallelism::RULE,
    memory::RULE,
    garbage::RULE,
    neighbour::RULE,
    host::RULE,
    host::STOLEN,
    lock::RULE,
    disk::RULE,
    network::RULE,
    network::BACKLOG,
    dns::RULE,
    event_loop::RULE,
    storm::RULE,
    short_lived::RULE,
    sleep::RULE,
    cpu_bound::RULE,
    isolation::RULE,
    idle::RULE,
];

#[cfg(test)]
mod tests {
    use super::ALL;

    /// The table in docs/doctor.md is made from this one; with `BLESS=1` it is written.
    #[test]
    fn the_manual_has_every_rule() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/doctor.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (before, rest) = page.split_once("<!-- rules -->\n").unwrap();
        let (_, after) = rest.split_once("<!-- /rules -->").unwrap();
        let mut table = "| id | about | found when |\n|---|---|---|\n".to_owned();
        for rule in ALL {
            table += &format!("| `{}` | {} | {} |\n", rule.id, rule.about, rule.when);
        }
        let wanted = format!("{before}<!-- rules -->\n{table}<!-- /rules -->{after}");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(path, &wanted).unwrap();
        }
        assert!(
            page == wanted || std::env::var_os("BLESS").is_some(),
            "BLESS=1 writes docs/doctor.md"
        );
    }
}
