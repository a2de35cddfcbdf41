//! Calls of windows one after the other, on disk, and in the report.

use proptest::prelude::*;

use super::{Syscall, Syscalls};
use crate::model::{Figures as _, Latency, LatencyBucket, Measured, Op, Sums as _};
use crate::views::{self, About, RowView as _, Shown};

/// A call that ended: which, how long it took, whether it failed.
type Made = (u8, u64, bool);

/// All of these calls, the last of which is in progress at the end.
fn calls(made: &[Made]) -> Syscalls {
    let mut all = Syscalls::default();
    for (position, (number, ns, failed)) in made.iter().enumerate() {
        let from_ns = ns / 100 * 100;
        let one = Syscall {
            name: format!("call{}", number % 4),
            abi: if *number < 4 { "" } else { "i386" }.to_owned(),
            count: 1,
            errors: failed
                .then(|| ("EAGAIN".to_owned(), 1))
                .into_iter()
                .collect(),
            total_ns: Some(*ns),
            off_cpu_ns: ns / 2,
            max_ns: *ns,
            latency: Latency {
                count: 1,
                sum_ns: *ns,
                buckets: vec![LatencyBucket {
                    from_ns,
                    to_ns: from_ns + 100,
                    count: 1,
                    sum_ns: *ns,
                }],
            },
            in_progress: u64::from(position + 1 == made.len()),
            ..Syscall::default()
        };
        // In progress is what the last of them says.
        all.row_ended();
        all.combine(&Syscalls(vec![one]), Op::Add);
    }
    all
}

fn without_maxima(mut calls: Syscalls) -> Syscalls {
    for call in &mut calls.0 {
        call.max_ns = 0;
    }
    calls
}

proptest! {
    #[test]
    fn windows_add_up_and_a_difference_is_the_rest(
        made in prop::collection::vec((0_u8..8, 1_u64..2_000, any::<bool>()), 1..30),
        cut in 0_usize..30,
    ) {
        let (first, second) = made.split_at(cut.min(made.len()));
        let all = calls(&made);
        let mut sum = calls(first);
        sum.row_ended();
        sum.combine(&calls(second), Op::Add);
        if !second.is_empty() {
            prop_assert_eq!(&sum, &all);
            let rest = without_maxima(all.since(&calls(first)));
            prop_assert_eq!(rest, without_maxima(calls(second)));
        }
        let counted: u64 = all.0.iter().map(|call| call.count).sum();
        prop_assert_eq!(counted, made.len() as u64);
        let failed: u64 = all.0.iter().map(Syscall::failed).sum();
        prop_assert_eq!(failed, made.iter().filter(|made| made.2).count() as u64);
    }
}

fn decode(records: &[(String, Vec<u8>)]) -> Option<Measured> {
    views::decode(records, str::to_owned, |_| ())
}

fn measured(calls: Syscalls) -> Measured {
    let mut measured = Measured::default();
    measured.insert(calls);
    measured
}

#[test]
fn on_disk_nothing_is_lost_and_no_bucket_has_an_end_beyond_numbers() {
    let all = measured(calls(&[(0, 150, false), (5, 1_999, true), (0, 7, true)]));
    let records = views::encode(&all).unwrap();
    assert_eq!(decode(&records), Some(all));

    let mut last = calls(&[(0, 150, false)]);
    let bucket = &mut last.0[0].latency.buckets[0];
    (bucket.from_ns, bucket.to_ns) = (1, u64::MAX);
    let mut records = views::encode(&measured(last)).unwrap();
    assert!(decode(&records).is_some());
    // The bucket begins 4 later, and is as wide.
    let bytes = &mut records[0].1;
    let width = postcard::to_stdvec(&(u64::MAX - 1)).unwrap();
    let at = bytes
        .windows(width.len())
        .position(|it| it == width)
        .unwrap();
    bytes[at - 1] += 4;
    assert!(decode(&records).is_none());
}

#[test]
fn the_report_has_a_line_and_a_table_of_those_with_most_time() {
    let made = (0..8).map(|number| (number, 100 * u64::from(number + 1), false));
    let made: Vec<Made> = made.collect();
    let shown = Shown {
        measured: measured(calls(&made)),
        thread_time_ns: Some(7_200),
    };
    let lines: Vec<_> = shown.lines(About::Threads).collect();
    let text = "8 calls, 3.60 µs of 7.20 µs thread time (50.0%)";
    assert_eq!(lines[0], ("syscalls", Some(text.to_owned())));
    assert!(lines[1..].iter().all(|(_, line)| line.is_none()));
    assert!(shown.lines(About::Cgroup).all(|(_, line)| line.is_none()));
    let more = |full| shown.sections(full).map(|it| it.more).collect::<Vec<_>>();
    assert_eq!(more(true), [None]);
    assert_eq!(more(false), [Some("5 more system calls".to_owned())]);
    assert_eq!(shown.times("call3 (i386)"), Some(2), "and one in progress");
    assert_eq!(shown.times("call3"), Some(1));
    assert_eq!(shown.times("call4"), None);
    assert!(Syscalls::default().section(None, true).is_none());
}
