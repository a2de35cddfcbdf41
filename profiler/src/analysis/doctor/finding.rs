//! What is wrong with a container, as it is told.

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// What the container does; nothing is wrong with it.
    Info,
    /// It costs a part of the container's time that somebody may notice.
    Warning,
    /// It costs most of it, or ends processes.
    Critical,
}

impl Severity {
    /// The word in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// How sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Counted by the kernel, with one explanation.
    Certain,
    /// The figures fit, and nothing else does better.
    Likely,
    /// One of several explanations.
    Possible,
}

impl Confidence {
    /// The word in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Certain => "certain",
            Self::Likely => "likely",
            Self::Possible => "possible",
        }
    }
}

/// What following the advice brings, computed from the recording.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gain {
    /// In words.
    pub text: String,
    /// How many times as much work per second, or how much sooner a request is done; `None` where that does not follow from the
    /// recording.
    pub speedup: Option<f64>,
}

/// Something about a container, with what shows it and what to do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// Its rule.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// In one sentence.
    pub title: String,
    /// How sure it is.
    pub confidence: Confidence,
    /// What shows it: figures with their source, functions, culprits.
    pub evidence: Vec<String>,
    /// The exact change.
    pub advice: Vec<String>,
    /// What that would bring.
    pub gain: Option<Gain>,
    /// Thread time that it is about.
    pub ns: u64,
    /// The part of the container's active time that it takes, 0 to 1: findings of one severity are in its order.
    pub share: f64,
}

impl Finding {
    /// A finding without evidence and advice yet.
    #[must_use]
    pub fn new(id: &'static str, severity: Severity, title: String) -> Self {
        Self {
            id,
            severity,
            title,
            confidence: Confidence::Likely,
            evidence: Vec::new(),
            advice: Vec::new(),
            gain: None,
            ns: 0,
            share: 0.0,
        }
    }

    /// The same, about this much time and this part of it all.
    #[must_use]
    pub fn about(mut self, ns: u64, share: f64) -> Self {
        (self.ns, self.share) = (ns, share);
        self
    }

    /// The same, this sure.
    #[must_use]
    pub fn sure(mut self, confidence: Confidence) -> Self {
        self.confidence = confidence;
        self
    }

    /// The same with more evidence.
    #[must_use]
    pub fn shown_by(mut self, evidence: impl IntoIterator<Item = String>) -> Self {
        self.evidence.extend(evidence);
        self
    }

    /// The same with more advice.
    #[must_use]
    pub fn advising(mut self, advice: impl IntoIterator<Item = String>) -> Self {
        self.advice.extend(advice);
        self
    }

    /// The same with what the advice brings.
    #[must_use]
    pub fn gaining(mut self, text: String, speedup: Option<f64>) -> Self {
        let speedup = speedup.filter(|it| it.is_finite());
        self.gain = Some(Gain { text, speedup });
        self
    }
}
