//! Which row of B is which of A.

use super::Refusal;
use crate::analysis::names;
use crate::model::{Container, Measured, SlicePart, StateGroup, Window};
use crate::views;

/// A row of A and one of B, by their positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// In A.
    pub a: usize,
    /// In B.
    pub b: usize,
    /// What both are called.
    pub name: String,
}

/// All rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matched {
    /// In the order of A, those with most time on the CPU first.
    pub pairs: Vec<Pair>,
    /// Rows that B does not have.
    pub only_a: Vec<String>,
    /// Rows that A does not have.
    pub only_b: Vec<String>,
}

/// Names of the rows in which anything happened; empty for others.
fn names_of(window: &Window) -> Vec<String> {
    let mut names = names::labels(window.rows.iter().map(|row| &row.identity));
    for (name, row) in names.iter_mut().zip(&window.rows) {
        if row.time_ns.values().all(|ns| *ns == 0) && row.samples == 0 {
            name.clear();
        }
    }
    names
}

/// Pairs the rows of one name, those that `asked` says are one, and where there is one row each, these.
///
/// # Errors
/// A name that there is not, or no pair at all.
pub(super) fn rows(a: &Window, b: &Window, asked: &[(String, String)]) -> Result<Matched, Refusal> {
    let (mut of_a, mut of_b) = (names_of(a), names_of(b));
    let used = |names: &[String]| -> Vec<String> {
        names
            .iter()
            .filter(|name| !name.is_empty())
            .cloned()
            .collect()
    };
    let (all_a, all_b) = (used(&of_a), used(&of_b));
    let mut matched = Matched::default();
    let take = |names: &mut [String], name: &str| {
        let found = names.iter().position(|known| known == name);
        found.inspect(|at| names[*at].clear())
    };
    for (name_a, name_b) in asked {
        let a = take(&mut of_a, name_a)
            .ok_or_else(|| Refusal::NoRow(name_a.clone(), false, all_a.clone()))?;
        let b = take(&mut of_b, name_b)
            .ok_or_else(|| Refusal::NoRow(name_b.clone(), true, all_b.clone()))?;
        matched.pairs.push(pair(a, b, name_a, name_b));
    }
    for (place, name) in all_names(&of_a) {
        if let Some(b) = take(&mut of_b, &name) {
            of_a[place].clear();
            matched.pairs.push(pair(place, b, &name, &name));
        }
    }
    if let ([(place_a, name_a)], [(place_b, name_b)]) =
        (alone(&of_a, a).as_slice(), alone(&of_b, b).as_slice())
    {
        matched.pairs.push(pair(*place_a, *place_b, name_a, name_b));
        of_a[*place_a].clear();
        of_b[*place_b].clear();
    }
    matched.only_a = used(&of_a);
    matched.only_b = used(&of_b);
    if matched.pairs.is_empty() {
        return Err(Refusal::NothingMatches(all_a, all_b));
    }
    matched.pairs.sort_by_key(|pair| {
        std::cmp::Reverse(on_cpu_ns(&a.rows[pair.a]).max(on_cpu_ns(&b.rows[pair.b])))
    });
    Ok(matched)
}

fn all_names(names: &[String]) -> Vec<(usize, String)> {
    let names = names.iter().enumerate();
    names
        .filter(|(_, name)| !name.is_empty())
        .map(|(place, name)| (place, name.clone()))
        .collect()
}

/// Those that are neither the host nor the kernel, which are everywhere.
fn alone(names: &[String], window: &Window) -> Vec<(usize, String)> {
    let mut names = all_names(names);
    names.retain(|(place, _)| {
        let identity = &window.rows[*place].identity;
        !identity.is_host() && !identity.is_kernel()
    });
    names
}

fn pair(a: usize, b: usize, name_a: &str, name_b: &str) -> Pair {
    let name = if name_a == name_b {
        name_a.to_owned()
    } else {
        format!("{name_a} → {name_b}")
    };
    Pair { a, b, name }
}

fn on_cpu_ns(row: &Container) -> u64 {
    let times = row.time_ns.iter();
    times
        .filter(|(state, _)| state.group() == StateGroup::OnCpu)
        .fold(0, |sum, (_, ns)| sum.saturating_add(*ns))
}

/// All of these rows as one. Who delayed whom is left out: it is no figure of a row by itself.
pub(super) fn whole<'a>(rows: impl Iterator<Item = &'a Container>) -> Container {
    let rows: Vec<&Container> = rows.collect();
    let measured: Vec<&Measured> = rows.iter().map(|row| &row.measured).collect();
    let mut whole = Container {
        measured: views::of_all(&measured),
        ..Container::default()
    };
    for row in rows {
        let (stacks, items) = (whole.stacks.len() as u32, whole.items.len() as u32);
        for (state, ns) in &row.time_ns {
            let sum = whole.time_ns.entry(*state).or_default();
            *sum = sum.saturating_add(*ns);
        }
        whole.samples = whole.samples.saturating_add(row.samples);
        if let Some(ledger) = &row.ledger {
            let sum = whole.ledger.get_or_insert_default();
            sum.thread_time_ns = sum.thread_time_ns.saturating_add(ledger.thread_time_ns);
        }
        whole.items.extend_from_slice(&row.items);
        whole.stacks.extend_from_slice(&row.stacks);
        whole.slices.extend(row.slices.iter().map(|slice| {
            let mut slice = slice.clone();
            let moved =
                |parts: &mut [SlicePart], by| parts.iter_mut().for_each(|part| part.of += by);
            moved(&mut slice.stacks, stacks);
            moved(&mut slice.items, items);
            slice
        }));
    }
    whole.slices.sort_by_key(|slice| slice.at);
    whole
}

#[cfg(test)]
mod tests {
    use super::{Matched, rows, whole};
    use crate::compare::Refusal;
    use crate::model::{Container, Runtime, Slice, SlicePart, State, Window};

    fn window(names: &[&str]) -> Window {
        let rows = names.iter().map(|name| {
            let mut row = Container {
                time_ns: [(State::OnCpuUser, 1)].into(),
                ..Container::default()
            };
            row.identity.name = (*name).to_owned();
            row.identity.id = (*name).to_owned();
            row.identity.runtime = match *name {
                "host" => Runtime::Host,
                _ => Runtime::Docker,
            };
            row
        });
        Window {
            rows: rows.collect(),
            ..Window::default()
        }
    }

    fn names(matched: &Matched) -> Vec<&str> {
        matched
            .pairs
            .iter()
            .map(|pair| pair.name.as_str())
            .collect()
    }

    #[test]
    fn by_name_by_wish_and_the_only_ones() {
        let (a, b) = (
            window(&["host", "web", "db-1"]),
            window(&["web", "db-2", "host"]),
        );
        let matched = rows(&a, &b, &[]).unwrap();
        assert_eq!(names(&matched), ["host", "web", "db-1 → db-2"]);
        let asked = [("web".to_owned(), "db-2".to_owned())];
        let matched = rows(&a, &b, &asked).unwrap();
        assert_eq!(names(&matched), ["web → db-2", "host", "db-1 → web"]);
        let (a, b) = (window(&["x", "y"]), window(&["y", "p", "q"]));
        let matched = rows(&a, &b, &[]).unwrap();
        assert_eq!(names(&matched), ["y"]);
        assert_eq!(matched.only_a, ["x"]);
        assert_eq!(matched.only_b, ["p", "q"]);
    }

    #[test]
    fn what_matches_nothing_is_refused_with_what_there_is() {
        let (a, b) = (window(&["x", "y"]), window(&["p", "q"]));
        let lists = |names: [&str; 2]| names.map(str::to_owned).to_vec();
        assert_eq!(
            rows(&a, &b, &[]),
            Err(Refusal::NothingMatches(
                lists(["x", "y"]),
                lists(["p", "q"])
            ))
        );
        let asked = [("x".to_owned(), "z".to_owned())];
        assert_eq!(
            rows(&a, &b, &asked),
            Err(Refusal::NoRow("z".to_owned(), true, lists(["p", "q"])))
        );
    }

    #[test]
    fn the_whole_refers_to_the_stacks_of_each() {
        let row = |of| Container {
            stacks: vec![stack(1), stack(2)],
            slices: vec![Slice {
                stacks: vec![SlicePart {
                    of,
                    count: 1,
                    ns: 0,
                }],
                ..Slice::default()
            }],
            ..Container::default()
        };
        let (one, other) = (row(0), row(1));
        let whole = whole([&one, &other].into_iter());
        let of = |at: usize| whole.stacks[whole.slices[at].stacks[0].of as usize].pid;
        assert_eq!((of(0), of(1), whole.stacks.len()), (1, 2, 4));
    }

    fn stack(pid: u32) -> crate::model::Stack {
        crate::model::Stack {
            state: State::OnCpuUser,
            pid,
            thread: "t".into(),
            frames: Vec::new(),
            count: 1,
            time_ns: 1,
            syscall: None,
            burnt_quota: false,
        }
    }
}
