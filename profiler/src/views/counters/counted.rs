//! What the cgroups counted, and why some have none.

use std::collections::{BTreeMap, HashMap};

use super::Counters;
use super::event::{KINDS, TABLE};
use crate::model::{Figures as _, Unavailable, ViewId};

/// What the cgroups counted.
#[derive(Debug, Default)]
pub struct Counted {
    pub(super) rows: HashMap<String, Counters>,
    /// Why a kind is not counted for anybody.
    pub(super) missing: [Option<String>; KINDS],
    /// Cgroups that were asked for and have no counters.
    pub(super) without: HashMap<String, Without>,
    /// What perf said when it gave no more.
    pub(super) refused: Option<String>,
    /// CPUs that came online while others counted already.
    pub(super) cpus_late: usize,
}

/// Why a cgroup has no counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Without {
    /// Too many are before it.
    Limit,
    /// It is not in the hierarchy that perf looks at, or was gone at once.
    NotInPerf,
    /// It did not exist when counting began, or another one was created in its place.
    Born,
}

impl Counted {
    /// The counters of the cgroup at `path` and all below it over the window; `None` if it has none.
    #[must_use]
    pub fn of(&self, path: &str) -> Option<Counters> {
        self.rows.get(path).copied()
    }

    /// What could not be counted, and why: for everybody, and for some of the cgroups at `paths`, which are those
    /// that are shown.
    #[must_use]
    pub fn unavailable<'p>(&self, paths: impl IntoIterator<Item = &'p str>) -> Vec<Unavailable> {
        let mut found: Vec<Unavailable> = TABLE
            .iter()
            .zip(&self.missing)
            .filter_map(|(kind, cause)| Some(unavailable(ViewId::new(kind.view), cause.clone()?)))
            .collect();
        if found.len() == KINDS {
            return found;
        }
        let mut without = BTreeMap::<Without, u64>::new();
        let mut shown = 0_u64;
        for path in paths {
            shown += 1;
            if !self.rows.contains_key(path) {
                let why = self.without.get(path).copied().unwrap_or(Without::Born);
                *without.entry(why).or_default() += 1;
            }
        }
        let causes: Vec<String> = without
            .into_iter()
            .map(|(why, count)| format!("{count} {}", self.explain(why)))
            .collect();
        if !causes.is_empty() {
            let cause = format!(
                "not all of the {shown} containers have them: {}",
                causes.join("; ")
            );
            found.push(unavailable(Counters::VIEW, cause));
        }
        if self.cpus_late > 0 {
            let cause = format!(
                "{} CPUs came online meanwhile: what happened there until they were counted is missing",
                self.cpus_late
            );
            found.push(unavailable(Counters::VIEW, cause));
        }
        found
    }

    fn explain(&self, why: Without) -> String {
        match (why, &self.refused) {
            (Without::Limit, Some(refused)) => {
                format!("beyond what perf gives ({refused}): choose fewer, or raise the limit")
            }
            (Without::Limit, None) => {
                "beyond the limit of events: choose fewer containers, or raise the limit of open files".to_owned()
            }
            (Without::NotInPerf, _) => {
                "not in the cgroup hierarchy that perf looks at: create the cgroup there too".to_owned()
            }
            (Without::Born, _) => {
                "born while others were counted: start the recording after them".to_owned()
            }
        }
    }
}

fn unavailable(view: ViewId, cause: String) -> Unavailable {
    Unavailable { view, cause }
}

#[cfg(test)]
mod tests {
    use super::{Counted, Without};
    use crate::views::counters::Counters;

    #[test]
    fn everything_that_is_missing_has_its_cause() {
        let mut counted = Counted::default();
        let counters = Counters {
            page_faults: Some(3),
            ..Counters::default()
        };
        counted.rows.insert("/a".to_owned(), counters);
        assert_eq!(counted.of("/a"), Some(counters));
        assert_eq!(counted.unavailable(["/a"]), []);

        counted.missing[0] = Some("no register".to_owned());
        counted.without.insert("/b".to_owned(), Without::Limit);
        counted.without.insert("/hidden".to_owned(), Without::Limit);
        counted.without.insert("/c".to_owned(), Without::NotInPerf);
        let found = counted.unavailable(["/a", "/b", "/c", "/new", "/newer"]);
        let views: Vec<&str> = found.iter().map(|it| it.view.as_str()).collect();
        assert_eq!(views, ["counters.cycles", "counters"]);
        assert_eq!(found[0].cause, "no register");
        assert_eq!(
            found[1].cause,
            "not all of the 5 containers have them: 1 beyond the limit of events: choose fewer containers, or raise \
             the limit of open files; 1 not in the cgroup hierarchy that perf looks at: create the cgroup there too; \
             2 born while others were counted: start the recording after them"
        );

        counted.missing.fill(Some("no perf".to_owned()));
        let found = counted.unavailable(["/a", "/b"]);
        assert_eq!(found.len(), 6, "no reason to speak of single containers");
    }
}
