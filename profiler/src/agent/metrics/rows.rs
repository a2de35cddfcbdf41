//! The rows of a reading with their labels, as many as the limit of series allows.

use std::borrow::Cow;

use super::exposition::series;
use super::label::bounded;
use super::process::Process;
use super::table::{self, Agent, Source};
use super::{Options, SelfFigures};
use crate::model::{Group, Grouping, Reading};

/// Name and value of each label of a row.
pub(super) type Labels<'a> = Vec<(&'static str, Cow<'a, str>)>;

/// How much of a reading an answer shows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shown {
    pub(super) series: u64,
    pub(super) series_dropped: u64,
    pub(super) groups_dropped: u64,
}

/// Labels of the rows in a grouping. All of them are always there, empty ones too: with `honor_labels` Prometheus then
/// adds no label of the agent's own pod to a row that has none.
#[must_use]
pub const fn group_labels(grouping: Grouping) -> &'static [&'static str] {
    match grouping {
        Grouping::Container | Grouping::Pod => &["container", "pod", "namespace"],
        Grouping::Cgroup => &["container", "pod", "namespace", "cgroup"],
        Grouping::NetworkNamespace => &["container", "netns"],
        Grouping::PidNamespace => &["container", "pidns"],
        Grouping::MountNamespace => &["container", "mntns"],
        Grouping::UserNamespace => &["container", "userns"],
    }
}

fn labels<'a>(group: &'a Group, options: &Options) -> Labels<'a> {
    let key = &group.key;
    let grouped = group_labels(options.grouping).iter().map(|name| {
        let value = match *name {
            "container" => key.container_label(),
            "pod" => &key.pod,
            "namespace" => &key.namespace,
            "cgroup" => &key.cgroup,
            _ => &key.kernel_namespace,
        };
        (*name, bounded(value))
    });
    let identity = &group.figures.identity;
    let asked = [
        (options.labels.image, "image", identity.image.as_str()),
        (options.labels.runtime, "runtime", identity.runtime.name()),
    ]
    .into_iter()
    .filter(|(wanted, _, _)| *wanted)
    .map(|(_, name, value)| (name, bounded(value)));
    grouped.chain(asked).collect()
}

/// Rows that fit, with their labels. A row is shown with all of its series or not at all. Those that are no container
/// come first, then the others as the reading has them, by name: a limit that bites leaves out the same rows each time,
/// until others are born or end.
pub(super) fn fitting<'a>(
    reading: &'a Reading,
    own: &SelfFigures,
    process: &Process,
    options: &Options,
) -> (Vec<(Labels<'a>, &'a Group)>, Shown) {
    let mut shown = Shown::default();
    let agent = Agent {
        own,
        process,
        shown,
    };
    for metric in table::available(reading) {
        match metric.source {
            Source::Host(values) => {
                values(reading, &mut |_, _| shown.series += series(metric.kind));
            }
            Source::Agent(values) => {
                values(&agent, &mut |_, _| shown.series += series(metric.kind));
            }
            Source::Group(_) | Source::View(_) => {}
        }
    }
    let (special, ordinary): (Vec<&Group>, Vec<&Group>) = reading
        .groups
        .iter()
        .partition(|group| group.key.fixed.is_some());
    let limit = options.max_series as u64;
    let mut rows = Vec::with_capacity(reading.groups.len());
    for group in special.into_iter().chain(ordinary) {
        let wanted = wanted(reading, group);
        if shown.groups_dropped == 0 && shown.series + wanted <= limit {
            shown.series += wanted;
            rows.push((labels(group, options), group));
        } else {
            shown.series_dropped += wanted;
            shown.groups_dropped += 1;
        }
    }
    (rows, shown)
}

fn wanted(reading: &Reading, group: &Group) -> u64 {
    let mut wanted = 0;
    for metric in table::available(reading) {
        let count = &mut |_: &[&str], _: table::Value<'_>| wanted += series(metric.kind);
        metric.source.of_group(group, count);
    }
    wanted
}
