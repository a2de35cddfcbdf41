//! All situations: a file for each kind of cause, and one for containers with which nothing is wrong.

mod cpu;
mod healthy;
mod io;
mod locks;
mod memory;
mod network;
mod runtimes;

use super::model::Situation;

const ALL: [&[Situation]; 7] = [
    cpu::SITUATIONS,
    memory::SITUATIONS,
    locks::SITUATIONS,
    io::SITUATIONS,
    network::SITUATIONS,
    runtimes::SITUATIONS,
    healthy::SITUATIONS,
];

/// Whether a situation is one of those with which nothing is wrong. The bridge that costs nothing is not: it is asked about
/// because something seems wrong.
pub(super) fn is_healthy(situation: &Situation) -> bool {
    healthy::SITUATIONS
        .iter()
        .any(|it| it.name == situation.name)
}

/// Every situation; those with which something is wrong come first.
pub(super) fn all() -> impl Iterator<Item = &'static Situation> {
    ALL.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::situations::judge::Verdict;

    #[test]
    fn as_many_healthy_ones_and_each_name_once() {
        assert_eq!(all().filter(|it| !is_healthy(it)).count(), 23);
        assert_eq!(all().filter(|it| is_healthy(it)).count(), 23);
        let names: BTreeSet<&str> = all().map(|it| it.name).collect();
        assert_eq!(names.len(), 46);
    }

    #[test]
    fn changes_are_of_containers_that_are_there() {
        for situation in all() {
            let judged = situation.containers.iter().filter(|it| it.judged);
            assert_eq!(judged.count(), 1, "{}", situation.name);
            for change in situation.changes {
                let mut containers = situation.containers.iter();
                assert!(
                    containers.any(|it| it.name == change.container),
                    "{}: no {}",
                    situation.name,
                    change.container
                );
            }
        }
    }

    #[test]
    fn expectations_are_regular_expressions() -> anyhow::Result<()> {
        for situation in all() {
            Verdict::of(&situation.expected, &[])?;
        }
        Ok(())
    }
}
