//! Reading the output of test programs: Rust's own harness and libtest-mimic print the same lines.

use std::time::Duration;

/// Tests that are named for how long they took.
const LONGEST: usize = 12;

/// Begins what Rust's own harness prints of tests that passed, with `--show-output`.
pub(crate) const OUTPUT_OF_PASSED: &str = "successes:";
/// Begins what it prints of tests that failed.
pub(crate) const OUTPUT_OF_FAILED: &str = "failures:";

/// What a test prints that cannot run, before its reason: Rust's own harness has no such outcome.
const SKIPPED: &str = "skipped: ";

/// Failures up to which each is tried again.
const MOST_SECOND_TRIES: usize = 8;

/// What one or several test programs reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Names of tests that passed.
    pub(crate) passed: Vec<String>,
    /// Names of tests that failed.
    pub(crate) failed: Vec<String>,
    /// Names of tests of which no outcome was seen; they count as failed.
    pub(crate) unended: Vec<String>,
    /// Names of tests that failed and then passed, each with the number of the try; they count as passed.
    pub(crate) tried_again: Vec<(String, usize)>,
    /// Names of tests that did not run, each with the reason.
    pub(crate) skipped: Vec<(String, String)>,
    /// How long tests took that ran one after the other.
    pub(crate) times: Vec<(String, Duration)>,
}

impl Summary {
    /// Reads `output` of a test program; `runner` goes before every name.
    pub(crate) fn parse(runner: &str, output: &str) -> Self {
        let mut summary = Self::default();
        let mut pending = None;
        for line in output.lines() {
            let line = line.trim_end();
            if let Some((name, outcome)) = test_line(line) {
                summary.unfinished(&mut pending);
                // What a test prints can come between its name and its outcome.
                pending = Some(format!("{runner}: {name}"));
                summary.outcome(&mut pending, outcome);
            } else {
                summary.outcome(&mut pending, line);
            }
        }
        summary.unfinished(&mut pending);
        summary.skipped_itself(runner, output);
        summary
    }

    /// Finds tests that passed because they did not run, which is what they print.
    fn skipped_itself(&mut self, runner: &str, output: &str) {
        let lines = output.lines().skip_while(|line| *line != OUTPUT_OF_PASSED);
        let mut name = None;
        for line in lines.take_while(|line| *line != OUTPUT_OF_FAILED) {
            if let Some(rest) = line.strip_prefix("---- ") {
                name = rest.strip_suffix(" stdout ----");
            } else if let Some(reason) = line.strip_prefix(SKIPPED)
                && let Some(name) = name.take()
            {
                let name = format!("{runner}: {name}");
                self.passed.retain(|passed| *passed != name);
                self.skip(&name, reason);
            }
        }
    }

    /// A test of which no outcome was seen before the next one, or the end.
    fn unfinished(&mut self, pending: &mut Option<String>) {
        self.unended.extend(pending.take());
    }

    fn outcome(&mut self, pending: &mut Option<String>, text: &str) {
        let Some(name) = pending.take() else { return };
        if text == "ok" {
            self.passed.push(name);
        } else if text == "FAILED" {
            self.failed.push(name);
        } else if text == "ignored" {
            self.skipped.push((name, "marked as ignored".to_owned()));
        } else if let Some(reason) = reason(text) {
            self.skipped.push((name, reason.to_owned()));
        } else {
            *pending = Some(name);
        }
    }

    /// Records a runner, or a group of its tests, that could not run.
    pub(crate) fn skip(&mut self, name: &str, reason: &str) {
        self.skipped.push((name.to_owned(), reason.to_owned()));
    }

    /// Whether nothing failed.
    pub(crate) const fn is_good(&self) -> bool {
        self.failed.is_empty() && self.unended.is_empty()
    }

    /// Whether the outcome of this test is known.
    pub(crate) fn has_outcome(&self, name: &str) -> bool {
        let mut names = self.passed.iter().chain(&self.failed);
        names.any(|it| it == name) || self.skipped.iter().any(|(it, _)| it == name)
    }

    /// Runs each failed test by itself, with `run(name)`, until it passes or has been tried so many times in all.
    ///
    /// Tests that compare a count of timer interrupts with CPU time fail now and then on a machine that others
    /// keep busy; a defect fails each time. Many failures at once are no coincidence and stay. Those without an outcome are
    /// tried in any case: they may have had no part in what ended their program.
    pub(crate) fn try_again(
        &mut self,
        runner: &str,
        tries: usize,
        mut run: impl FnMut(&str) -> anyhow::Result<Self>,
    ) -> anyhow::Result<()> {
        let failed = if self.failed.len() > MOST_SECOND_TRIES {
            Vec::new()
        } else {
            std::mem::take(&mut self.failed)
        };
        let unended = std::mem::take(&mut self.unended);
        let failed = failed.into_iter().map(|name| (name, false));
        for (failed, is_unended) in failed.chain(unended.into_iter().map(|name| (name, true))) {
            let name = failed
                .strip_prefix(runner)
                .and_then(|rest| rest.strip_prefix(": "));
            let mut last = None;
            for number in 2..=tries {
                let Some(name) = name else { break };
                let again = run(name)?;
                let is_over = again.is_good() && again.has_outcome(&failed);
                last = Some((number, again));
                if is_over {
                    break;
                }
            }
            match last {
                Some((number, again)) if again.is_good() && again.has_outcome(&failed) => {
                    if !again.passed.is_empty() {
                        self.tried_again.push((failed, number));
                    }
                    self.passed.extend(again.passed);
                    self.skipped.extend(again.skipped);
                }
                Some((_, again)) if again.failed.contains(&failed) => self.failed.push(failed),
                None if !is_unended => self.failed.push(failed),
                Some(_) | None => self.unended.push(failed),
            }
        }
        Ok(())
    }

    /// Adds the results of another runner.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed.extend(other.passed);
        self.failed.extend(other.failed);
        self.unended.extend(other.unended);
        self.tried_again.extend(other.tried_again);
        self.skipped.extend(other.skipped);
        self.times.extend(other.times);
    }

    /// Prints the names of what did not pass, and as the very last line the counts.
    pub(crate) fn print(&self) {
        println!();
        let mut longest: Vec<_> = self.times.iter().collect();
        longest.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
        for (name, time) in longest.iter().take(LONGEST) {
            println!("took {:.1} s: {name}", time.as_secs_f64());
        }
        for (name, reason) in &self.skipped {
            println!("skipped: {name}: {reason}");
        }
        for (name, number) in &self.tried_again {
            println!("passed at try {number}: {name}");
        }
        for name in &self.failed {
            println!("FAILED: {name}");
        }
        for name in &self.unended {
            println!("FAILED: {name} (did not end)");
        }
        println!(
            "{} passed, {} failed, {} skipped",
            self.passed.len(),
            self.failed.len() + self.unended.len(),
            self.skipped.len()
        );
    }
}

/// Why a test was ignored, as Rust's own harness or libtest-mimic puts it.
fn reason(outcome: &str) -> Option<&str> {
    let rest = outcome.strip_prefix("ignored")?;
    rest.strip_prefix(", ")
        .or_else(|| rest.strip_prefix(" (")?.strip_suffix(')'))
}

/// The test that a line of output names.
pub(crate) fn test_name(line: &str) -> Option<&str> {
    test_line(line).map(|(name, _)| name)
}

/// Name and (perhaps empty) outcome of a line `test NAME ... OUTCOME`.
fn test_line(line: &str) -> Option<(&str, &str)> {
    let (name, outcome) = line.strip_prefix("test ")?.split_once(" ...")?;
    Some((name.trim_end(), outcome.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::Summary;

    #[test]
    fn every_outcome_is_counted_under_its_name() {
        let output = "\nrunning 4 tests\r\ntest a::b   ... ok\r\ntest c ... FAILED\n\
                      test d ... ignored, needs root\ntest e ... ignored\ntest f ... ignored (no (real) BPF)\n\
                      test result: FAILED. 1 passed";
        let summary = Summary::parse("unit", output);
        assert_eq!(summary.passed.len(), 1);
        assert_eq!(summary.failed, ["unit: c"]);
        assert_eq!(
            summary.skipped,
            [
                ("unit: d".to_owned(), "needs root".to_owned()),
                ("unit: e".to_owned(), "marked as ignored".to_owned()),
                ("unit: f".to_owned(), "no (real) BPF".to_owned())
            ]
        );
    }

    #[test]
    fn a_test_that_says_it_was_skipped_did_not_pass() {
        let output = "running 3 tests\ntest a::b ... ok\ntest c ... ok\ntest d ... FAILED\n\nsuccesses:\n\n\
                      ---- a::b stdout ----\nbefore\nskipped: no chromium\nskipped: once more\n\n\
                      ---- c stdout ----\n17 inputs\n\nsuccesses:\n    a::b\n    c\n\nfailures:\n\n\
                      ---- d stdout ----\nskipped: nothing\n\ntest result: FAILED.";
        let summary = Summary::parse("output", output);
        assert_eq!(summary.passed.len(), 1);
        assert_eq!(summary.failed, ["output: d"]);
        let skipped = ("output: a::b".to_owned(), "no chromium".to_owned());
        assert_eq!(summary.skipped, [skipped]);
    }

    #[test]
    fn another_try_counts_and_what_fails_each_time_stays() {
        let outcome = |text: &str| Summary::parse("vm", text);
        for tries in 1..=3 {
            let mut summary =
                outcome("test a ... ok\ntest b ... FAILED\ntest c ... FAILED\ntest d ... FAILED");
            let mut tried = Vec::new();
            summary
                .try_again("vm", tries, |name| {
                    tried.push(name.to_owned());
                    let number = 1 + tried.iter().filter(|it| *it == name).count();
                    let good = name == "b" || name == "c" && number == 3;
                    let text = if good { "ok" } else { "FAILED" };
                    Ok(outcome(&format!("test {name} ... {text}")))
                })
                .expect("no run fails");
            let all = [("vm: b".to_owned(), 2), ("vm: c".to_owned(), 3)];
            assert_eq!(summary.tried_again, all[..tries - 1]);
            assert_eq!(summary.passed.len(), tries);
            let failed = ["vm: b", "vm: c", "vm: d"];
            assert_eq!(summary.failed, failed[tries - 1..]);
        }
    }

    #[test]
    fn output_between_name_and_outcome_is_passed_over() {
        let summary = Summary::parse(
            "vm",
            "test a ... \n[ 1.0] kernel says\nok\ntest b ... x\ntest c ... y",
        );
        assert_eq!(summary.passed.len(), 1);
        assert_eq!(summary.unended, ["vm: b", "vm: c"]);
        assert!(!summary.is_good() && summary.failed.is_empty());
    }

    #[test]
    fn what_did_not_end_is_tried_by_its_name() {
        let mut summary =
            Summary::parse("vm", "test a ... ok\ntest b ... \ntest c ... \ntest d ... ");
        let mut tried = Vec::new();
        summary
            .try_again("vm", 3, |name| {
                tried.push(name.to_owned());
                let outcome = match name {
                    "b" if tried.len() == 2 => "ok",
                    "c" => "ignored (no kernel)",
                    _ => "",
                };
                Ok(Summary::parse("vm", &format!("test {name} ... {outcome}")))
            })
            .expect("no run fails");
        assert_eq!(tried, ["b", "b", "c", "d", "d"]);
        assert_eq!(summary.passed, ["vm: a", "vm: b"]);
        assert_eq!(summary.tried_again, [("vm: b".to_owned(), 3)]);
        assert_eq!(
            summary.skipped,
            [("vm: c".to_owned(), "no kernel".to_owned())]
        );
        assert_eq!(summary.unended, ["vm: d"]);
    }
}
