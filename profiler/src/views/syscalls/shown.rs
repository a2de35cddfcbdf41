//! System calls as tables and in words.

use std::cmp::Reverse;

use super::SyscallSummary;
use crate::model::text::printable;
use crate::model::units::{count, counted, duration, percent};
use crate::table::{Align, Table, cut};

/// A name ends here: a recording is a file that anyone may have written.
const MAX_NAME: usize = 40;

/// Remarks end here.
const MAX_REMARKS: usize = 200;

/// `38,549 calls, 4.91 s of 5.89 s thread time (83.3%)`: all calls of a container, whose threads lived this long.
#[must_use]
pub fn in_short(calls: &[SyscallSummary], thread_time_ns: Option<u64>) -> String {
    let mut text = counted(sum(calls.iter().map(|call| call.count)), "call");
    let in_calls: Option<Vec<u64>> = calls.iter().map(|call| call.total_ns).collect();
    let in_calls = in_calls.map(|all| sum(all.into_iter()));
    if let (Some(in_calls), Some(lived)) = (in_calls, thread_time_ns) {
        text.push_str(&format!(
            ", {} of {} thread time ({})",
            duration(in_calls),
            duration(lived),
            percent(in_calls, lived)
        ));
    }
    text
}

fn sum(all: impl Iterator<Item = u64>) -> u64 {
    all.fold(0, u64::saturating_add)
}

/// `ENOENT 777, EAGAIN 3`, most frequent first, and what else is to say: `1 in progress`.
fn remarks(call: &SyscallSummary) -> String {
    let mut errors: Vec<_> = call.errors.iter().collect();
    errors.sort_by_key(|(_, count)| Reverse(**count));
    let others = [
        (call.refused, "refused"),
        (call.began_before, "began before"),
        (call.in_progress, "in progress"),
        (call.never_returned, "never returned"),
    ];
    errors
        .into_iter()
        .map(|(name, count)| format!("{name} {count}"))
        .chain(
            others
                .into_iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, what)| format!("{count} {what}")),
        )
        .collect::<Vec<_>>()
        .join(", ")
}

/// The first `top` calls as a table, 0 for all; without times where none were taken.
#[must_use]
pub fn table(calls: &[SyscallSummary], top: usize, timed: bool) -> Table {
    let times = [
        "TOTAL", "SHARE", "ON CPU", "OFF CPU", "MEAN", "P50", "P90", "P99", "MAX",
    ];
    let times = if timed { &times[..] } else { &[] };
    let columns = [
        ("SYSCALL", Align::Left),
        ("CALLS", Align::Right),
        ("FAILED", Align::Right),
    ]
    .into_iter()
    .chain(times.iter().map(|name| (*name, Align::Right)))
    .chain([("ERRORS AND REMARKS", Align::Left)]);
    let mut table = Table::new(columns);
    let top = if top == 0 { usize::MAX } else { top };
    for call in calls.iter().take(top) {
        let shown = |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), duration);
        let mut cells = vec![
            cut(&call.label(), MAX_NAME),
            count(call.count),
            count(call.failed()),
        ];
        if timed {
            cells.extend([
                shown(call.total_ns),
                call.share
                    .map_or_else(|| "-".to_owned(), |share| format!("{:.1}%", share * 100.0)),
                shown(call.on_cpu_ns),
                shown(call.off_cpu_ns),
                shown(call.mean_ns),
                shown(call.p50_ns),
                shown(call.p90_ns),
                shown(call.p99_ns),
                shown(call.max_ns),
            ]);
        }
        cells.push(printable(&remarks(call), MAX_REMARKS));
        table.row(cells);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{in_short, remarks};
    use crate::model::{Latency, LatencyBucket};
    use crate::views::syscalls::{Syscall, SyscallSummary};

    fn nanosleep() -> Syscall {
        Syscall {
            name: "nanosleep".to_owned(),
            count: 52,
            errors: [("EINVAL".to_owned(), 1), ("EFAULT".to_owned(), 3)].into(),
            total_ns: Some(600),
            off_cpu_ns: 500,
            max_ns: 70,
            latency: Latency {
                count: 50,
                sum_ns: 500,
                buckets: vec![LatencyBucket {
                    from_ns: 0,
                    to_ns: 128,
                    count: 50,
                    sum_ns: 500,
                }],
            },
            in_progress: 1,
            refused: 2,
            ..Syscall::default()
        }
    }

    #[test]
    fn a_call_says_everything_that_was_measured() {
        let summary = SyscallSummary::of(&nanosleep(), Some(1_200));
        assert_eq!(summary.on_cpu_ns, Some(100));
        assert_eq!(summary.share, Some(0.5));
        assert_eq!((summary.mean_ns, summary.p50_ns), (Some(10), Some(10)));
        // The call in progress is the longest, and no latency.
        assert_eq!(summary.max_ns, Some(70));
        assert_eq!(
            in_short(std::slice::from_ref(&summary), Some(1_200)),
            "52 calls, 600 ns of 1.20 µs thread time (50.0%)"
        );
        assert_eq!(
            remarks(&summary),
            "EFAULT 3, EINVAL 1, 2 refused, 1 in progress"
        );
        let counted = Syscall {
            total_ns: None,
            max_ns: 0,
            latency: Latency::default(),
            ..nanosleep()
        };
        let json = serde_json::to_value(SyscallSummary::of(&counted, None)).unwrap();
        let keys: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["count", "errors", "in_progress", "name", "refused"]);
    }
}
