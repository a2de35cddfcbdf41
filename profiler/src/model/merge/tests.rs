//! Generated sequences of events, measured in one window and in several.

mod events;

use proptest::prelude::*;

use crate::model::measured::Tally;
use crate::model::{
    CfsFigures, Container, Culprit, FrameTable, Histogram, Ledger, Measured, Window,
};
use events::{sequence, waited, window};

/// A window as text in which neither the order of rows, stacks and frames nor their numbers matter.
fn normal(window: &Window) -> String {
    let Window { rows, frames, .. } = window;
    let mut lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let mut row = row.clone();
            let slices = slices(&mut row, frames);
            let stacks = std::mem::take(&mut row.stacks).into_iter().map(|stack| {
                let names = stack.frames.iter().map(|id| {
                    let frame = frames.frame(*id);
                    (&frame.function, frame.module.map(|id| frames.module(id)))
                });
                format!(
                    "{:?}",
                    (
                        stack.state,
                        names.collect::<Vec<_>>(),
                        stack.count,
                        stack.time_ns,
                        &stack.syscall,
                        stack.burnt_quota
                    )
                )
            });
            let mut stacks: Vec<String> = stacks.collect();
            stacks.sort();
            let delays = std::mem::take(&mut row.ledger.as_mut().unwrap().delayed_by);
            let mut delays: Vec<String> = delays
                .iter()
                .map(|delay| match delay.culprit {
                    Culprit::Row(row) => format!("{:?} {}", rows[row].identity, delay.ns),
                    _ => format!("{delay:?}"),
                })
                .collect();
            delays.sort();
            format!("{row:#?}\n{stacks:#?}\n{delays:#?}\n{slices:#?}")
        })
        .collect();
    lines.sort();
    let rest = Window {
        rows: Vec::new(),
        frames: FrameTable::default(),
        ..window.clone()
    };
    format!("{rest:#?}\n{}", lines.join("\n"))
}

/// The slices of a row, which refer to what stacks and items are and not to where.
fn slices(row: &mut Container, frames: &FrameTable) -> Vec<String> {
    let slices = std::mem::take(&mut row.slices).into_iter();
    let described = slices.map(|slice| {
        let stacks = slice.stacks.iter().map(|part| {
            let stack = &row.stacks[part.of as usize];
            let names = stack.frames.iter().map(|id| &frames.frame(*id).function);
            let key = (stack.state, &stack.syscall, stack.burnt_quota);
            format!(
                "{key:?} {:?} {} {}",
                names.collect::<Vec<_>>(),
                part.count,
                part.ns
            )
        });
        let items = slice.items.iter().map(|part| {
            let item = &row.items[part.of as usize];
            format!("{} {} {}", item.name, part.count, part.ns)
        });
        let mut parts: Vec<String> = stacks.chain(items).collect();
        parts.sort();
        format!("{} {parts:?}", slice.at)
    });
    let described = described.collect();
    // Of those that no slice refers to, any may be there.
    row.items.clear();
    described
}

fn merged(windows: impl IntoIterator<Item = Window>) -> Window {
    let mut sum = Window::default();
    for window in windows {
        sum.merge(window);
    }
    sum
}

/// What a difference cannot know exactly, and rows of which nothing is left.
fn without_maxima(mut window: Window) -> Window {
    for row in &mut window.rows {
        row.ledger.as_mut().unwrap().run_queue_latency.max_ns = 0;
        row.time_ns.retain(|_, ns| *ns > 0);
        row.threads = None;
        row.cpu_quota_cores = None;
        if row.measured.get() == Some(&Tally::default()) {
            row.measured = Measured::default();
        }
    }
    window.lost.retain(|_, count| *count > 0);
    window.stolen = window.stolen.filter(|it| it.hypervisor_ns > 0);
    window.unavailable.clear();
    window
}

/// A difference keeps all rows, so all rows are put into the window that it is compared with.
fn with_rows_of(mut window: Window, all: &Window) -> Window {
    let bare = all.rows.iter().map(|row| Container {
        identity: row.identity.clone(),
        ledger: Some(Ledger::default()),
        cfs: Some(CfsFigures::default()),
        ..Container::default()
    });
    window.merge(Window {
        duration_ns: 1,
        rows: bare.collect(),
        ..Window::default()
    });
    window.duration_ns -= 1;
    window
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn windows_one_after_the_other_are_one((events, mut cuts) in sequence()) {
        cuts.extend([0, events.len()]);
        cuts.sort_unstable();
        let parts = cuts.windows(2).map(|cut| window(&events, cut[0], cut[1]));
        prop_assert_eq!(normal(&merged(parts)), normal(&window(&events, 0, events.len())));
    }

    #[test]
    fn it_does_not_matter_which_are_merged_first((events, cuts) in sequence()) {
        let mut cuts = [cuts, vec![0, 0, events.len()]].concat();
        cuts.sort_unstable();
        let (first, second) = (cuts[1], cuts[cuts.len() / 2]);
        let parts = || [(0, first), (first, second), (second, events.len())]
            .map(|(from, to)| window(&events, from, to));
        let [a, b, c] = parts();
        let right = merged([a, merged([b, c])]);
        prop_assert_eq!(normal(&merged(parts())), normal(&right));
    }

    #[test]
    fn an_empty_window_changes_nothing((events, _) in sequence()) {
        let one = window(&events, 0, events.len());
        let before = normal(&one);
        prop_assert_eq!(&normal(&merged([one.clone(), Window::default()])), &before);
        if !one.is_empty() {
            let mut empty = Window::default();
            empty.merge(one.clone());
            prop_assert_eq!(&normal(&empty), &before);
        }
        prop_assert_eq!(normal(&one.since(&Window::default())), before);
    }

    #[test]
    fn what_came_since_is_the_rest((events, cuts) in sequence()) {
        let cut = cuts.first().copied().unwrap_or(0);
        let (all, begun) = (window(&events, 0, events.len()), window(&events, 0, cut));
        prop_assume!(cut > 0 && cut < events.len());
        let rest = with_rows_of(window(&events, cut, events.len()), &all);
        let since = all.since(&begun);
        prop_assert_eq!(normal(&without_maxima(since)), normal(&without_maxima(rest)));
    }
}

#[test]
fn the_largest_of_a_difference_is_exact_or_the_end_of_its_bucket() {
    let series = |values: &[u64]| {
        let mut histogram = Histogram::default();
        for value in values {
            waited(&mut histogram, *value);
        }
        Window {
            duration_ns: values.len() as u64,
            rows: vec![Container {
                ledger: Some(Ledger {
                    run_queue_latency: histogram,
                    ..Ledger::default()
                }),
                ..Container::default()
            }],
            ..Window::default()
        }
    };
    for (all, earlier, max_ns) in [
        (&[150, 990, 1_234][..], &[150, 990][..], 1_234),
        (&[990, 150], &[990], 199),
        (&[990, 950], &[990], 990),
        (&[990], &[990], 0),
    ] {
        let since = series(all).since(&series(earlier));
        let latency = &since.rows[0].ledger.as_ref().unwrap().run_queue_latency;
        assert_eq!(latency.max_ns, max_ns, "{all:?} since {earlier:?}");
    }
}
