//! What is wrong with a container: findings, with their evidence, what to change, and what that would bring. Pure; imports
//! `model`, the rest of `analysis`, and the views that it judges by.
//!
//! - `finding`: what is told
//! - `patient`, `group`: one container as rules see it, and its threads
//! - `frames`, `waits`: what functions say: whose they are, what is waited for in them
//! - `unnamed`: what runs without names, and how it gets some
//! - `handed_on`: who had what was waited for
//! - `rules`: the table of rules, each a function of a patient
//! - `advice`: how advice is followed, by what runs the container

mod advice;
mod finding;
mod frames;
mod group;
mod handed_on;
mod patient;
pub mod rules;
mod unnamed;
mod waits;

#[cfg(test)]
mod made;
#[cfg(test)]
mod tests;

pub use finding::{Confidence, Finding, Gain, Severity};

use crate::analysis::summary::Summary;
use crate::model::Window;
use frames::Frames;
use patient::{HostFacts, Patient};

/// Most findings of a container.
const MOST: usize = 6;

/// The findings of each container of a window, in the order of the summary, the worst first. `order` has the position of each in
/// [`Window::rows`].
#[must_use]
pub fn examine(window: &Window, summary: &Summary, order: &[usize]) -> Vec<Vec<Finding>> {
    let frames = Frames::of(&window.frames);
    let all = &summary.containers;
    let host = HostFacts {
        window_ns: window.duration_ns,
        cpus: window.cpus,
        stolen: window.stolen,
    };
    let pairs = order.iter().zip(all);
    pairs
        .map(|(index, summary)| {
            let row = &window.rows[*index];
            if summary.is_kernel() || row.ledger.is_none() {
                return Vec::new();
            }
            let patient = Patient::new((row, summary), all, host, &frames);
            findings(&patient)
        })
        .collect()
}

fn findings(patient: &Patient<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> = rules::ALL
        .iter()
        .filter_map(|rule| (rule.judge)(patient))
        .collect();
    found.sort_by(|a, b| {
        let by_share = b.share.total_cmp(&a.share);
        b.severity.cmp(&a.severity).then(by_share)
    });
    found.truncate(MOST);
    found
}
