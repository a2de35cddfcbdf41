//! When names have to be there: an answer is to come within a second of the end, and naming is what can be cut short.

use std::time::{Duration, Instant};

/// From the end of a recording to its answer. An unoptimised build reads ten times as slowly.
const ANSWER_WITHIN: Duration = Duration::from_secs(if cfg!(debug_assertions) { 120 } else { 1 });

/// What is done after naming, in CPU time: aggregating and writing a recording of a host takes 110 ms.
const REST: Duration = Duration::from_millis(150);

/// Most that is set aside for it, however short CPUs are: without names the answer is worth little.
const LONGEST_REST: Duration = Duration::from_millis(450);

/// Until when names may be looked for after a recording that ended at `end`, if nobody has said. Where CPUs are short, what
/// comes after takes longer, by as much as what this thread has done so far: then there is less time for names.
pub(super) fn for_names(end: Instant) -> Instant {
    let stretched = std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| stretched(&text));
    end + ANSWER_WITHIN - rest(stretched.unwrap_or(1.0))
}

fn rest(stretched: f64) -> Duration {
    REST.mul_f64(stretched.clamp(1.0, 10.0)).min(LONGEST_REST)
}

/// How many times its CPU time a thread took while it was runnable: of time on the CPU, time on a run queue and a count
/// (`proc_pid_schedstat(5)`).
#[allow(clippy::cast_precision_loss, reason = "a ratio of times")]
fn stretched(schedstat: &str) -> Option<f64> {
    let mut fields = schedstat.split_ascii_whitespace().map(str::parse::<u64>);
    let (on_cpu, waited) = (fields.next()?.ok()?, fields.next()?.ok()?);
    (on_cpu > 0).then(|| (on_cpu as f64 + waited as f64) / on_cpu as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_time_where_cpus_are_short() {
        let rest_ms = |schedstat| rest(stretched(schedstat).unwrap()).as_millis();
        assert_eq!(rest_ms("1000 0 5\n"), 150);
        assert_eq!(rest_ms("1000 1000 5\n"), 300);
        assert_eq!(rest_ms("1000 99000 5\n"), 450);
        for text in ["", "0 0 0\n", "a 1 1\n"] {
            assert_eq!(stretched(text), None, "{text:?}");
        }
    }
}
