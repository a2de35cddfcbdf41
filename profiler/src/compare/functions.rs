//! Functions of a row in A and in B.

use std::collections::BTreeMap;

use super::between_runs;
use super::judge::Difference;
use super::judge::Sides;
use super::metrics::{Per, sampled};
use super::naming::Naming;
use super::outcome::{Compared, FunctionComparison, OwnTime};
use super::rules::Rule;
use super::series::{FunctionKey, FunctionTime, Series};
use crate::model::StateGroup;

/// Functions with less than this share of the time of their state, on both sides, are not looked at: among thousands of
/// tests a difference has to be large to count.
const LEAST_SHARE: f64 = 0.01;
/// The same of states off the CPU, in which whole chains of callers have the same time.
const LEAST_SHARE_OFF_CPU: f64 = 0.05;
/// Most functions of a row and state.
const MOST: usize = 60;

/// Compares the functions that have any time worth the name, those with the largest difference first.
pub(super) fn compare(
    (a, per_a): (&Series<'_>, &Per),
    (b, per_b): (&Series<'_>, &Per),
    (rules, naming): (&[Rule], &Naming),
    sides: &Sides,
) -> Vec<FunctionComparison> {
    let (times_a, times_b) = (a.function_times(), b.function_times());
    let mut all: BTreeMap<&FunctionKey, (FunctionTime, FunctionTime)> = BTreeMap::new();
    for (key, time) in times_a {
        all.entry(key).or_default().0 = time;
    }
    for (key, time) in times_b {
        all.entry(key).or_default().1 = time;
    }
    let mut wanted: Vec<&FunctionKey> = Vec::new();
    for group in StateGroup::ALL {
        let (least_a, least_b) = (least_ns(a, group), least_ns(b, group));
        let mut found: Vec<(f64, &FunctionKey)> = Vec::new();
        for (key, (of_a, of_b)) in all.iter().filter(|(key, _)| key.group == group) {
            let is_asked = rules.iter().any(|rule| rule.is_about_function(&key.name));
            let own = of_a.own.0 > least_a || of_b.own.0 > least_b;
            let total = of_a.total.0 > least_a || of_b.total.0 > least_b;
            if is_asked || total && (own || group == StateGroup::OnCpu) {
                let weight = if is_asked {
                    f64::INFINITY
                } else {
                    of_a.own.0.max(of_b.own.0) + 1e-3 * of_a.total.0.max(of_b.total.0)
                };
                found.push((weight, key));
            }
        }
        found.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(other.1)));
        wanted.extend(found.into_iter().take(MOST).map(|(_, key)| key));
    }
    let (series_a, series_b) = (a.function_series(&wanted), b.function_series(&wanted));
    let mut compared: Vec<FunctionComparison> = wanted
        .iter()
        .zip(series_a.iter().zip(&series_b))
        .map(|(key, (of_a, of_b))| {
            let figure = |pick: fn(&FunctionTime) -> (f64, f64)| {
                let reading = |series: &Series<'_>, per: &Per, times: &[FunctionTime]| {
                    let sums = times.iter().map(|time| pick(time).0).collect();
                    let count = times.iter().map(|time| pick(time).1).sum();
                    sampled(series, per, sums, count)
                };
                let (of_a, of_b) = (reading(a, per_a, of_a), reading(b, per_b, of_b));
                let mut difference = Difference::new(&of_a.figure, &of_b.figure, sides);
                if naming.is_unsure(key) {
                    difference.error = None;
                }
                (of_a.unit, Compared::new(difference.varying(varies(key))))
            };
            let (times_a, times_b) = all[*key];
            let (unit, total) = figure(|time| time.total);
            let (_, own) = figure(|time| time.own);
            FunctionComparison {
                name: key.name.clone(),
                kernel: key.kernel,
                state: key.group.name(),
                unit,
                a_ns: times_a.total.0 as u64,
                b_ns: times_b.total.0 as u64,
                total,
                own: OwnTime {
                    a_ns: times_a.own.0 as u64,
                    b_ns: times_b.own.0 as u64,
                    compared: own,
                },
            }
        })
        .collect();
    compared.sort_by(|one, other| {
        let size = |it: &FunctionComparison| (it.own.compared.b() - it.own.compared.a()).abs();
        size(other)
            .total_cmp(&size(one))
            .then_with(|| one.name.cmp(&other.name))
    });
    compared
}

/// Time below which a function does not count.
fn least_ns(series: &Series<'_>, group: StateGroup) -> f64 {
    let times = series.row.time_ns.iter();
    let of_group = times.filter(|(state, _)| state.group() == group);
    let share = match group {
        StateGroup::OnCpu => LEAST_SHARE,
        _ => LEAST_SHARE_OFF_CPU,
    };
    share * of_group.map(|(_, ns)| *ns as f64).sum::<f64>()
}

const fn varies(key: &FunctionKey) -> f64 {
    match key.group {
        StateGroup::OnCpu if key.kernel => between_runs::KERNEL_TIME,
        StateGroup::OnCpu => between_runs::OWN_TIME,
        StateGroup::RunQueue => between_runs::SCHEDULING,
        StateGroup::Throttled | StateGroup::Blocked => between_runs::WAITING,
    }
}
