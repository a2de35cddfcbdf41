//! What a comparison says: plain data, which outputs write.

use serde::Serialize;

use super::Pair;
use super::judge::{Difference, Verdict};
use super::metrics::Unit;
use super::rules::RuleOutcome;
use crate::model::Window;

/// A figure of both sides.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    a: f64,
    b: f64,
    /// Part of A by which B is more; `None` where A has nothing.
    change: Option<f64>,
    /// Least change that the data leave room for, in 95 % of all measurements.
    low: Option<f64>,
    /// Largest change.
    high: Option<f64>,
    /// Whether that is more than noise.
    pub verdict: Verdict,
    /// The change that would have been seen in nine of ten measurements.
    pub detectable: Option<f64>,
    #[serde(skip)]
    pub(super) difference: Difference,
}

impl Compared {
    pub(super) fn new(difference: Difference) -> Self {
        let interval = difference.interval();
        Self {
            a: difference.a,
            b: difference.b,
            change: difference.change(),
            low: interval.map(|(low, _)| low),
            high: interval.map(|(_, high)| high),
            verdict: Verdict::Unknown,
            detectable: None,
            difference,
        }
    }

    /// The figure of A.
    #[must_use]
    pub const fn a(&self) -> f64 {
        self.a
    }

    /// The figure of B.
    #[must_use]
    pub const fn b(&self) -> f64 {
        self.b
    }

    /// Part of A by which B is more; `None` where A has nothing.
    #[must_use]
    pub const fn change(&self) -> Option<f64> {
        self.change
    }

    /// Where the change lies in 95 % of all measurements.
    #[must_use]
    pub fn interval(&self) -> Option<(f64, f64)> {
        Some((self.low?, self.high?))
    }
}

/// A metric of a row.
#[derive(Clone, Debug, Serialize)]
pub struct MetricComparison {
    /// See [`all`](super::metrics::all); `VIEW.NAME` and `VIEW.NAME.mean` for single things that a view counts.
    pub id: String,
    /// What it is, for people.
    #[serde(skip)]
    pub meaning: String,
    /// What `a` and `b` are measured in.
    pub unit: Unit,
    /// The figures.
    #[serde(flatten)]
    pub compared: Compared,
    /// The sum over the recording, in ns or times; `None` where the figure is none.
    pub a_total: Option<f64>,
    /// The same of B.
    pub b_total: Option<f64>,
    /// The sum by seconds of thread time.
    pub a_per_thread_second: Option<f64>,
    /// The same of B.
    pub b_per_thread_second: Option<f64>,
}

/// A function of a row.
#[derive(Clone, Debug, Serialize)]
pub struct FunctionComparison {
    /// Its name.
    pub name: String,
    /// Whether it is the kernel's.
    pub kernel: bool,
    /// In which quarter of the ledger: `on_cpu`, `run_queue`, `throttled`, `blocked`.
    pub state: &'static str,
    /// What `a` and `b` are measured in.
    pub unit: Unit,
    /// Time anywhere on stacks: what it and all that it calls take.
    pub a_ns: u64,
    /// The same of B.
    pub b_ns: u64,
    /// The same by time or work.
    #[serde(flatten)]
    pub total: Compared,
    /// Its own part of that.
    #[serde(rename = "self")]
    pub own: OwnTime,
}

/// Time of a function as the leaf of stacks.
#[derive(Clone, Debug, Serialize)]
pub struct OwnTime {
    /// Of A.
    pub a_ns: u64,
    /// Of B.
    pub b_ns: u64,
    /// The same by time or work.
    #[serde(flatten)]
    pub compared: Compared,
}

impl FunctionComparison {
    /// Whether it calls nothing: all of its time is its own.
    #[must_use]
    pub const fn is_leaf(&self) -> bool {
        self.own.a_ns == self.a_ns && self.own.b_ns == self.b_ns
    }
}

/// A row of both sides.
#[derive(Clone, Debug, Serialize)]
pub struct RowComparison {
    /// What it is called; `A → B` where its names differ.
    pub name: String,
    /// It is all rows together.
    pub whole: bool,
    /// What sums of B are to be multiplied by to stand beside A's, which differ in length or work.
    #[serde(skip)]
    pub scale_b: f64,
    /// Its sums are measured by units of work, and not by time.
    pub per_work: bool,
    /// Its figures.
    pub metrics: Vec<MetricComparison>,
    /// Its functions, those with the largest difference first.
    pub functions: Vec<FunctionComparison>,
}

impl RowComparison {
    /// Everything that is judged.
    pub(super) fn compared_mut(&mut self) -> impl Iterator<Item = &mut Compared> {
        let metrics = self.metrics.iter_mut().map(|metric| &mut metric.compared);
        let functions = self.functions.iter_mut().flat_map(|function| {
            // What calls nothing has one figure, and is one test.
            let own = (!function.is_leaf()).then_some(&mut function.own.compared);
            [Some(&mut function.total), own].into_iter().flatten()
        });
        metrics.chain(functions)
    }
}

/// One of the two windows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Side {
    /// What the user calls it.
    pub name: String,
    /// How long it was.
    pub seconds: f64,
    /// Windows that figures are known for one by one.
    pub windows: usize,
    /// Samples a second and CPU.
    pub frequency_hz: u64,
    /// Version of the ctprof that recorded it.
    pub ctprof_version: String,
    /// Kernel that it was recorded on.
    pub kernel: String,
    /// CPUs that were sampled.
    pub cpus: u64,
    /// When it began, in ns since the Unix epoch.
    pub start_unix_ns: u64,
}

impl Side {
    pub(super) fn of(window: &Window) -> Self {
        Self {
            name: String::new(),
            seconds: window.duration_ns as f64 / 1e9,
            windows: super::Series::windows_of(window),
            frequency_hz: window.frequency_hz,
            ctprof_version: window.ctprof_version.clone(),
            kernel: window.kernel.clone(),
            cpus: window.cpus,
            start_unix_ns: window.start_unix_ns,
        }
    }
}

/// B beside A.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// What B is compared with.
    pub a: Side,
    /// What is compared.
    pub b: Side,
    /// The unit of work; `None` for time.
    pub work: Option<String>,
    /// Both are of the same seconds, and compared second by second.
    pub paired: bool,
    /// What a reader has to know.
    pub notes: Vec<String>,
    /// All rows together where there are several, then each.
    pub rows: Vec<RowComparison>,
    /// The rows that are compared, in the order of `rows`.
    pub pairs: Vec<Pair>,
    /// Rows that B does not have.
    pub only_a: Vec<String>,
    /// Rows that A does not have.
    pub only_b: Vec<String>,
    /// What the rules say, in their order.
    pub rules: Vec<RuleOutcome>,
}
