//! Whether what ctprof says is right, pure.

use anyhow::Result;
use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use super::findings::{Finding, Severity};
use super::model::Expected;

/// How far the measured effect may be from the promise.
const TOLERANCE: f64 = 0.25;

/// How right an answer is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Verdict {
    /// The right cause comes first; of what is healthy, that nothing is above `info`.
    pub(super) right: bool,
    /// What the evidence lacks.
    pub(super) evidence_lacks: Vec<String>,
    /// What the advice lacks.
    pub(super) advice_lacks: Vec<String>,
    /// How many times as fast it is to be once the advice is followed.
    pub(super) promise: Option<f64>,
}

impl Verdict {
    /// Judges the findings about a container.
    ///
    /// # Errors
    /// An expectation is no regular expression.
    pub(super) fn of(expected: &Expected, findings: &[Finding]) -> Result<Self> {
        match expected {
            Expected::Healthy { evidence } => {
                let all = findings.iter().flat_map(|it| said(it).collect::<Vec<_>>());
                Ok(Self {
                    right: findings.iter().all(|it| it.severity == Severity::Info),
                    evidence_lacks: lacking(evidence, &all.collect::<Vec<_>>())?,
                    advice_lacks: Vec::new(),
                    // It is as fast as it can be.
                    promise: Some(1.0),
                })
            }
            Expected::Finding {
                first,
                evidence,
                advice,
            } => {
                let is_right = |it: &&Finding| first.contains(&it.id.as_str());
                // They are judged together, even where another finding pushed in: quota and parallelism tell of one thing.
                let found = || findings.iter().filter(is_right);
                let said: Vec<&str> = found().flat_map(said).collect();
                let advised = found().flat_map(|it| &it.advice);
                let advised: Vec<&str> = advised.map(String::as_str).collect();
                Ok(Self {
                    right: findings.first().is_some_and(|it| is_right(&it)),
                    evidence_lacks: lacking(evidence, &said)?,
                    advice_lacks: lacking(advice, &advised)?,
                    promise: found().find_map(|it| it.gain.as_ref()?.speedup),
                })
            }
        }
    }

    /// Whether the measured effect is what was promised; `None` without either.
    pub(super) fn is_kept(&self, measured: Option<f64>) -> Option<bool> {
        let (promise, measured) = (self.promise?, measured?);
        Some((measured / promise - 1.0).abs() <= TOLERANCE)
    }
}

/// Title and evidence.
fn said(finding: &Finding) -> impl Iterator<Item = &str> {
    std::iter::once(finding.title.as_str()).chain(finding.evidence.iter().map(String::as_str))
}

/// The patterns that match none of these lines.
fn lacking(patterns: &[&str], lines: &[&str]) -> Result<Vec<String>> {
    let mut lacking = Vec::new();
    for pattern in patterns {
        let regex: Regex = RegexBuilder::new(pattern)
            .case_insensitive(true)
            .unicode(false)
            .build()?;
        if !lines.iter().any(|line| regex.is_match(line)) {
            lacking.push((*pattern).to_owned());
        }
    }
    Ok(lacking)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::situations::findings::Gain;

    const EXPECTED: Expected = Expected::Finding {
        first: &["quota"],
        evidence: &["renderPage"],
        advice: &[r"--cpus[= ]\d"],
    };

    fn finding(id: &str, severity: Severity) -> Finding {
        Finding {
            id: id.to_owned(),
            severity,
            title: "stopped by its quota".to_owned(),
            confidence: "certain".to_owned(),
            evidence: vec!["main.renderPage burns it".to_owned()],
            advice: vec!["docker update --cpus 1.5 api".to_owned()],
            gain: Some(Gain {
                text: "twice as fast".to_owned(),
                speedup: Some(2.0),
            }),
        }
    }

    #[test]
    fn the_first_finding_is_what_counts() -> Result<()> {
        let quota = finding("quota", Severity::Warning);
        let verdict = Verdict::of(&EXPECTED, std::slice::from_ref(&quota))?;
        let right = Verdict {
            right: true,
            promise: Some(2.0),
            ..Verdict::default()
        };
        assert_eq!(verdict, right);
        let second = [finding("lock", Severity::Critical), quota];
        let wrong = Verdict {
            right: false,
            ..right
        };
        assert_eq!(Verdict::of(&EXPECTED, &second)?, wrong);
        Ok(())
    }

    #[test]
    fn what_is_lacking_is_named() -> Result<()> {
        let mut quota = finding("quota", Severity::Warning);
        quota.evidence.clear();
        quota.advice.clear();
        let verdict = Verdict::of(&EXPECTED, &[quota])?;
        assert_eq!(verdict.evidence_lacks, ["renderPage"]);
        assert_eq!(verdict.advice_lacks, [r"--cpus[= ]\d"]);
        Ok(())
    }

    #[test]
    fn healthy_is_what_has_nothing_above_info() -> Result<()> {
        let healthy = Expected::Healthy { evidence: &[] };
        let info = finding("idle", Severity::Info);
        assert!(Verdict::of(&healthy, &[])?.right);
        assert!(Verdict::of(&healthy, std::slice::from_ref(&info))?.right);
        let warned = [info, finding("quota", Severity::Warning)];
        assert!(!Verdict::of(&healthy, &warned)?.right);
        Ok(())
    }

    #[test]
    fn a_promise_is_kept_within_a_quarter() {
        let verdict = Verdict {
            promise: Some(2.0),
            ..Verdict::default()
        };
        for (measured, kept) in [(1.49, false), (1.51, true), (2.49, true), (2.51, false)] {
            assert_eq!(verdict.is_kept(Some(measured)), Some(kept), "{measured}");
        }
        assert_eq!(verdict.is_kept(None), None);
    }
}
