//! The threads of one container: where the time of each name went, and the longest that one ran without a wait.

use std::collections::HashMap;

use crate::analysis::View;
use crate::analysis::stacks::NameId;
use crate::analysis::states::ViewState;
use crate::analysis::threads::{Threads, without_digits};
use crate::model::{State, units};
use crate::table::{Align, Table, cut};
use crate::views::moments::Moments;

/// Names shown.
const MOST: usize = 8;

/// A name ends here: the kernel keeps 15 bytes.
const MAX_NAME: usize = 20;

/// Which states a column sums up.
type Belongs = fn(ViewState) -> bool;

const COLUMNS: [(&str, Belongs); 6] = [
    ("ON CPU", |it| it == ViewState::ON_CPU),
    ("RUN QUEUE", |it| it == ViewState::RUN_QUEUE),
    ("THROTTLED", |it| it == ViewState::THROTTLED),
    ("DISK, FAULT", |it| {
        it == ViewState::of(State::BlockedDisk) || it == ViewState::of(State::BlockedFault)
    }),
    ("LOCK", |it| it == ViewState::of(State::BlockedLock)),
    ("OTHER WAITS", |it| {
        [
            State::BlockedNet,
            State::BlockedPoll,
            State::BlockedSleep,
            State::BlockedPipe,
            State::BlockedChild,
            State::BlockedOther,
        ]
        .into_iter()
        .any(|state| it == ViewState::of(state))
    }),
];

/// Columns from this one on are of threads that were asleep.
const WAITS: usize = 3;

/// One name's threads.
#[derive(Default)]
struct Sums {
    name: String,
    by_column: [u64; COLUMNS.len()],
    all: u64,
}

impl Sums {
    /// Whether they were asleep for any time.
    fn waited(&self) -> bool {
        self.by_column.iter().skip(WAITS).any(|ns| *ns > 0)
    }
}

/// The table, and how many names are not in it; `None` where there are no stacks.
pub(super) fn table(view: &View, position: usize) -> Option<(Table, usize)> {
    let Threads { groups, .. } = &view.threads;
    let mut sums: HashMap<NameId, Sums> = HashMap::new();
    for stack in view.stacks.iter().filter(|it| it.container == position) {
        let group = groups.group(stack.thread);
        let sum = sums.entry(group).or_default();
        sum.all = sum.all.saturating_add(stack.ns);
        let column = COLUMNS.iter().position(|(_, belongs)| belongs(stack.state));
        if let Some(ns) = column.and_then(|column| sum.by_column.get_mut(column)) {
            *ns = ns.saturating_add(stack.ns);
        }
    }
    let mut all: Vec<Sums> = sums
        .into_iter()
        .map(|(group, sum)| Sums {
            name: groups.name(&view.stacks, group).to_owned(),
            ..sum
        })
        .collect();
    // Those that do most before those that wait longest.
    all.sort_by(|a, b| {
        let busy = |it: &Sums| it.by_column[..4].iter().sum::<u64>();
        let key = |it: &Sums| (busy(it), it.all);
        key(b).cmp(&key(a)).then_with(|| a.name.cmp(&b.name))
    });
    if all.is_empty() {
        return None;
    }
    let shown = || all.iter().take(MOST);
    let mut table = Table::default();
    table.column("THREADS", Align::Left, shown(), |it| {
        cut(&it.name, MAX_NAME)
    });
    table.column("TIME", Align::Right, shown(), |it| units::duration(it.all));
    for (number, (heading, _)) in COLUMNS.iter().enumerate() {
        table.column(heading, Align::Right, shown(), |it| {
            match it.by_column.get(number) {
                Some(0) | None => "0".to_owned(),
                Some(ns) => units::percent(*ns, it.all),
            }
        });
    }
    let container = &view.summary.containers[position];
    if let Some(moments) = container.views.measured.get::<Moments>() {
        let longest = |all: &[(String, u64)], name: &str| {
            let own = all
                .iter()
                .filter(|(thread, _)| *thread == name || without_digits(thread) == name);
            own.map(|(_, ns)| *ns).max().unwrap_or(0)
        };
        let said = |ns| match ns {
            0 => "-".to_owned(),
            ns => units::duration(ns),
        };
        table.column("LONGEST RUN", Align::Right, shown(), |it| {
            said(longest(&moments.longest, &it.name))
        });
        table.column("LONGEST WAIT", Align::Right, shown(), |it| {
            match longest(&moments.longest_waits, &it.name) {
                0 if it.waited() => "throughout".to_owned(),
                ns => said(ns),
            }
        });
    }
    let more = all.len().saturating_sub(MOST);
    Some((table, more))
}
