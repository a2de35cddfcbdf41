//! Two windows side by side: what B has more or less of than A, and whether that is more than noise. Pure; imports `model`,
//! `analysis` and the table of `views`.
//!
//! - `matching`: which row of B is which of A
//! - `series`: a row window by window
//! - `work`: units of work, which figures can be measured by
//! - `metrics`: the figures that rows are compared by
//! - `functions`: the same of functions
//! - `resample`, `student`, `judge`: how much a figure varies, and whether a difference is more than that
//! - `naming`: which functions have names in one of them only
//! - `between_runs`: what seconds of one run do not show
//! - `rules`: what is not to get worse
//! - `notes`: what a reader has to know of two recordings
//! - `outcome`: what a comparison says

mod between_runs;
mod functions;
pub mod judge;
mod matching;
pub mod metrics;
mod naming;
mod notes;
pub mod outcome;
mod resample;
pub mod rules;
mod series;
mod student;
mod work;

use crate::model::{Container, Window};
use crate::views::{self, Amount, Entry};
pub use judge::Verdict;
use judge::{Difference, Sides, discoveries};
pub use matching::{Matched, Pair};
use metrics::{Per, Reading, Unit, amounts};
use naming::Naming;
use outcome::{Compared, Comparison, MetricComparison, RowComparison, Side};
use resample::Resampling;
use rules::Rule;
use series::Series;
pub use work::Work;

/// Samples per second and CPU that it takes to find 5 % more time in a function that has 20 % of it, in 30 seconds of one CPU:
/// 240,000 samples, of which 48,000 are the function's, give or take 200.
pub const FREQUENCY_HZ: u64 = 7_999;

/// What a view counts one by one, and is compared so, of each row: at most so many names, and none with less of all that the
/// view counts, and of its time, than this.
const MOST_NAMES: usize = 10;
const LEAST_OF_ALL: f64 = 0.01;

/// What a comparison is asked for.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Rows that are one, by name: of A, of B.
    pub matches: Vec<(String, String)>,
    /// What figures are measured by; `None` for time.
    pub work: Option<Work>,
    /// What is not to get worse.
    pub rules: Vec<Rule>,
    /// Both windows are of the same seconds of one host.
    pub paired: bool,
}

/// Why two windows cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No row of B is a row of A: names of A's, of B's.
    NothingMatches(Vec<String>, Vec<String>),
    /// There is no row of this name: in A (false) or in B (true), which has these.
    NoRow(String, bool, Vec<String>),
    /// There is no such unit of work in both: what, and what there is.
    NoWork(String, Vec<String>),
    /// A rule is about something that is not there: the rule, what is missing, what there is.
    NoSuchThing(String, String, Vec<String>),
}

/// Compares B with A.
///
/// # Errors
/// There is nothing that could be compared.
pub fn compare(a: &Window, b: &Window, plan: &Plan) -> Result<Comparison, Refusal> {
    let matched = matching::rows(a, b, &plan.matches)?;
    let mut rows: Vec<RowComparison> = Vec::new();
    let sides = sides(a, b, plan.paired);
    let naming = Naming::of(&a.frames, &b.frames);
    let whole = (matched.pairs.len() > 1).then(|| {
        let all = |window: &Window, of: fn(&Pair) -> usize| {
            let rows = matched.pairs.iter().map(|pair| &window.rows[of(pair)]);
            matching::whole(rows)
        };
        (all(a, |pair| pair.a), all(b, |pair| pair.b))
    });
    let mut asked: Vec<(String, bool, &Container, &Container)> = Vec::new();
    if let Some((of_a, of_b)) = &whole {
        asked.push(("everything".to_owned(), true, of_a, of_b));
    }
    for pair in &matched.pairs {
        asked.push((pair.name.clone(), false, &a.rows[pair.a], &b.rows[pair.b]));
    }
    let mut has_work = false;
    for (name, is_whole, row_a, row_b) in asked {
        let series = (
            Series::of(a, row_a, &a.frames),
            Series::of(b, row_b, &b.frames),
        );
        let per = plan.work.as_ref().and_then(|work| {
            let [of_a, of_b] = work.of(&series.0, &series.1)?;
            Some((Per::Work(of_a), Per::Work(of_b)))
        });
        has_work |= per.is_some();
        rows.push(row(
            name,
            is_whole,
            (&series.0, &series.1),
            per,
            (&plan.rules, &naming),
            &sides,
        ));
    }
    if let Some(work) = &plan.work
        && !has_work
    {
        return Err(Refusal::NoWork(work.to_string(), work.choices(a, b)));
    }
    judge(&mut rows);
    let rules = rules::judge(&plan.rules, &mut rows)?;
    for function in rows.iter_mut().flat_map(|row| &mut row.functions) {
        if function.is_leaf() {
            function.own.compared = function.total.clone();
        }
    }
    Ok(Comparison {
        a: Side::of(a),
        b: Side::of(b),
        work: plan.work.as_ref().map(ToString::to_string),
        paired: matches!(sides, Sides::Paired(_)),
        notes: notes::notes(a, b, &naming),
        rows,
        pairs: matched.pairs,
        only_a: matched.only_a,
        only_b: matched.only_b,
        rules,
    })
}

fn sides(a: &Window, b: &Window, paired: bool) -> Sides {
    let (of_a, of_b) = (Series::windows_of(a), Series::windows_of(b));
    if paired && of_a == of_b {
        Sides::Paired(Resampling::new(of_a, 1))
    } else {
        Sides::Apart(Resampling::new(of_a, 1), Resampling::new(of_b, 2))
    }
}

fn row(
    name: String,
    is_whole: bool,
    (a, b): (&Series<'_>, &Series<'_>),
    work: Option<(Per, Per)>,
    (rules, naming): (&[Rule], &Naming),
    sides: &Sides,
) -> RowComparison {
    let per_work = work.is_some();
    let length = |series: &Series<'_>, per: Option<&Per>| -> f64 {
        match per {
            Some(Per::Work(work)) => work.iter().sum(),
            _ => series.row_seconds(),
        }
    };
    let lengths = (
        length(a, work.as_ref().map(|(a, _)| a)),
        length(b, work.as_ref().map(|(_, b)| b)),
    );
    let (per_a, per_b) = work.unwrap_or((Per::Time, Per::Time));
    let mut metrics = Vec::new();
    let mut add =
        |id: &str, meaning: &str, runs: f64, reading: (Option<Reading>, Option<Reading>)| {
            let (Some(of_a), Some(of_b)) = reading else {
                return;
            };
            let is_asked = rules.iter().any(|rule| rule.is_about_metric(id));
            if !is_asked && of_a.figure.value() <= 0.0 && of_b.figure.value() <= 0.0 {
                return;
            }
            let threads = (a.thread_seconds(), b.thread_seconds());
            let by_thread = |total: Option<f64>, seconds: &[f64]| {
                let seconds: f64 = seconds.iter().sum();
                total.filter(|_| seconds > 0.0).map(|total| total / seconds)
            };
            // How much a program gets done in a second depends on who else is there.
            let runs = match (of_a.unit, sides) {
                (Unit::PerSecond, Sides::Apart(..)) => runs.max(between_runs::WAITING),
                _ => runs,
            };
            metrics.push(MetricComparison {
                id: id.to_owned(),
                meaning: meaning.to_owned(),
                unit: of_a.unit,
                compared: Compared::new(
                    Difference::new(&of_a.figure, &of_b.figure, sides).varying(runs),
                ),
                a_total: of_a.total,
                b_total: of_b.total,
                a_per_thread_second: by_thread(of_a.total, &threads.0),
                b_per_thread_second: by_thread(of_b.total, &threads.1),
            });
        };
    for metric in metrics::all() {
        add(
            metric.id,
            metric.meaning,
            metric.between_runs,
            (metric.read(a, &per_a), metric.read(b, &per_b)),
        );
    }
    for view in views::ALL {
        let Some(named) = view.named else { continue };
        for name in names(a.row, b.row, view, rules) {
            let [count_a, mean_a] = metrics::of_item(a, &per_a, view, &name);
            let [count_b, mean_b] = metrics::of_item(b, &per_b, view, &name);
            let id = format!("{}.{name}", (view.id)());
            let (meaning, runs) = named.count;
            add(&id, meaning, runs, (count_a, count_b));
            let (meaning, runs) = named.mean;
            add(&format!("{id}.mean"), meaning, runs, (mean_a, mean_b));
        }
    }
    RowComparison {
        functions: functions::compare((a, &per_a), (b, &per_b), (rules, naming), sides),
        name,
        whole: is_whole,
        scale_b: if lengths.1 > 0.0 {
            lengths.0 / lengths.1
        } else {
            1.0
        },
        per_work,
        metrics,
    }
}

/// Names of what a view counts one by one: those that take most time, or where none was taken are most, in either; and those
/// that rules are about.
fn names(a: &Container, b: &Container, view: &Entry, rules: &[Rule]) -> Vec<String> {
    let rows = [a, b].into_iter();
    let all: Vec<Amount> = rows.flat_map(|row| amounts(row, view)).collect();
    let sum = |figure: fn(&Amount) -> u64| {
        let figures = all.iter().map(figure);
        figures.fold(0_u64, u64::saturating_add) as f64
    };
    let (count, ns) = (sum(|it| it.count), sum(|it| it.ns.unwrap_or(0)));
    let is_asked = |name: &str| rules.iter().any(|rule| rule.is_about_item(view, name));
    let matters = |it: &&Amount| {
        it.count as f64 >= LEAST_OF_ALL * count || it.ns.unwrap_or(0) as f64 > LEAST_OF_ALL * ns
    };
    let mut names: Vec<(u64, u64, &str)> = all
        .iter()
        .filter(|it| matters(it) || is_asked(&it.name))
        .map(|it| (it.ns.unwrap_or(0), it.count, it.name.as_str()))
        .collect();
    names.sort_unstable_by(|one, other| other.cmp(one));
    let mut shown: Vec<String> = Vec::new();
    for (_, _, name) in names {
        if (shown.len() < MOST_NAMES || is_asked(name)) && !shown.iter().any(|known| known == name)
        {
            shown.push(name.to_owned());
        }
    }
    shown
}

/// Judges all differences beside one another: of many, some are large by chance.
fn judge(rows: &mut [RowComparison]) {
    let mut all: Vec<&mut Compared> = rows
        .iter_mut()
        .flat_map(RowComparison::compared_mut)
        .collect();
    judge_family(&mut all);
}

/// Judges these differences as all that there are.
fn judge_family(all: &mut [&mut Compared]) {
    let probabilities: Vec<Option<f64>> = all.iter().map(|it| it.difference.p()).collect();
    let tests = probabilities.iter().flatten().count();
    let found = discoveries(&probabilities);
    for (compared, is_found) in all.iter_mut().zip(found) {
        compared.verdict = match compared.difference.error {
            None => Verdict::Unknown,
            Some(_) if !is_found => Verdict::Same,
            Some(_) if compared.difference.b > compared.difference.a => Verdict::More,
            Some(_) => Verdict::Less,
        };
        compared.detectable = compared.difference.detectable(tests);
    }
}
