//! Rows of the page: a container, its times, a bar of its states.

use std::collections::BTreeMap;
use std::fmt::Write;

use form_urlencoded::byte_serialize;

use super::escape;
use crate::analysis::states::Meaning;
use crate::model::text::printable;
use crate::model::units::percent;
use crate::model::{Delayer, Group, Reading, State, StateGroup, units};

/// Longest name that is shown.
const NAME_CHARS: usize = 80;

/// One colour of the bar.
pub(super) struct Part {
    pub(super) title: &'static str,
    pub(super) states: &'static [State],
}

/// What the bar tells apart, from left to right: work, stalled, and blocked. Each in the colour of its first state.
pub(super) const PARTS: [Part; 7] = [
    Part {
        title: "on CPU",
        states: &[State::OnCpuUser],
    },
    Part {
        title: "in the kernel",
        states: &[State::OnCpuKernel],
    },
    Part {
        title: "run queue",
        states: &[State::RunQueue],
    },
    Part {
        title: "throttled",
        states: &[State::Throttled],
    },
    Part {
        title: "disk, page fault",
        states: &[State::BlockedDisk, State::BlockedFault],
    },
    Part {
        title: "lock",
        states: &[State::BlockedLock],
    },
    Part {
        title: "net, poll, sleep, other waits",
        states: &[
            State::BlockedPoll,
            State::BlockedNet,
            State::BlockedSleep,
            State::BlockedPipe,
            State::BlockedChild,
            State::BlockedOther,
        ],
    },
];

/// A row.
pub(super) struct Row<'a> {
    group: &'a Group,
    name: String,
    /// Key and value that name it in a query; `None` for what cannot be recorded alone.
    query: Option<String>,
    stalled_ns: u64,
    total_ns: u64,
}

/// Every row, most stalled time first.
pub(super) fn of(reading: &Reading) -> Vec<Row<'_>> {
    let mut names: BTreeMap<&str, u32> = BTreeMap::new();
    for group in &reading.groups {
        *names.entry(&group.figures.identity.name).or_default() += 1;
    }
    let mut rows: Vec<Row<'_>> = reading
        .groups
        .iter()
        .map(|group| {
            let time = &group.figures.time_ns;
            let stalled = time
                .iter()
                .filter(|(state, _)| Meaning::of(**state) == Meaning::Stalled);
            Row {
                group,
                name: name(group),
                query: query(group, names[group.figures.identity.name.as_str()] == 1),
                stalled_ns: stalled.map(|(_, ns)| ns).sum(),
                total_ns: time.values().sum(),
            }
        })
        .collect();
    rows.sort_by(|a, b| {
        let key = |row: &Row<'_>| (row.stalled_ns, row.of(StateGroup::OnCpu), row.total_ns);
        key(b)
            .cmp(&key(a))
            .then_with(|| a.group.key.cmp(&b.group.key))
    });
    rows
}

impl Row<'_> {
    fn of(&self, wanted: StateGroup) -> u64 {
        let time = self.group.figures.time_ns.iter();
        time.filter(|(state, _)| state.group() == wanted)
            .map(|(_, ns)| ns)
            .sum()
    }

    /// Writes the row.
    pub(super) fn write(&self, profiles: bool, out: &mut String) {
        let figures = &self.group.figures;
        let class = if self.group.alive { "" } else { " class=gone" };
        let name = escape(&printable(&self.name, NAME_CHARS));
        let full = escape(&self.name);
        let _ = write!(out, "<tr{class}><td title=\"{full}\">{name}");
        let identity = &figures.identity;
        let what = match (identity.image.as_str(), figures.cpu_quota_cores) {
            ("", None) => identity.runtime.name().to_owned(),
            ("", Some(cores)) => format!("{} · quota {cores:.2} CPU", identity.runtime),
            (image, None) => image.to_owned(),
            (image, Some(cores)) => format!("{image} · quota {cores:.2} CPU"),
        };
        if what != self.name {
            let what = escape(&printable(&what, NAME_CHARS));
            let _ = write!(out, "<small>{what}</small>");
        }
        let threads = match figures.threads {
            _ if !self.group.alive => "ended".to_owned(),
            Some(threads) => threads.to_string(),
            None => String::new(),
        };
        let _ = write!(
            out,
            "<td>{threads}<td>{}<td>{}<td>{}<td>{}<td class=wide>{}",
            quiet(self.of(StateGroup::OnCpu)),
            quiet(self.of(StateGroup::RunQueue)),
            quiet(self.of(StateGroup::Throttled)),
            percent(self.stalled_ns, self.total_ns),
            self.bar(),
        );
        out.push_str("<td>");
        let waited: u64 = self.group.delayed_by.iter().map(|(_, ns)| ns).sum();
        let named = self.group.delayed_by.iter();
        let named = named.filter(|(culprit, _)| *culprit != Delayer::Former);
        if let Some((culprit, ns)) = named.max_by_key(|(_, ns)| *ns)
            && *ns > 0
        {
            let culprit = escape(&printable(culprit.label(), NAME_CHARS));
            let _ = write!(out, "{culprit} {}", percent(*ns, waited));
        }
        out.push_str("<td>");
        if let Some(query) = self
            .query
            .as_deref()
            .filter(|_| profiles && self.group.alive)
        {
            let query = escape(query);
            let _ = write!(
                out,
                "<a href=\"/flamegraph?{query}&amp;seconds=10\" title=\"wall clock, 10 s\">flame graph</a> · \
                 <a href=\"/flamegraph?{query}&amp;seconds=10&amp;state=off-cpu\">off-CPU</a> · \
                 <a href=\"/debug/pprof/profile?{query}&amp;seconds=10\">pprof</a>"
            );
        }
        out.push('\n');
    }

    /// Shares of its time, in per cent of it.
    fn bar(&self) -> String {
        let mut out = String::from("<div class=bar>");
        for (number, part) in PARTS.iter().enumerate() {
            let time = &self.group.figures.time_ns;
            let ns: u64 = part.states.iter().filter_map(|state| time.get(state)).sum();
            let share = 100.0 * ns as f64 / self.total_ns.max(1) as f64;
            // Thinner than a pixel.
            if share >= 0.1 {
                let title = part.title;
                let _ = write!(
                    out,
                    "<i class=s{number} style=\"width:{share:.1}%\" title=\"{title}: {}, {share:.1}%\"></i>",
                    quiet(ns)
                );
            }
        }
        out.push_str("</div>");
        out
    }
}

/// `0` for nothing, so that a column of it stays quiet.
fn quiet(ns: u64) -> String {
    match ns {
        0 => "0".to_owned(),
        ns => units::duration(ns),
    }
}

/// What a row is called, whatever rows are.
fn name(group: &Group) -> String {
    let key = &group.key;
    let newest = &group.figures.identity.name;
    if !key.kernel_namespace.is_empty() {
        return format!("{newest} (namespace {})", key.kernel_namespace);
    }
    match key.full_name() {
        name if name.is_empty() => newest.clone(),
        name => name.into_owned(),
    }
}

/// What names it alone in a query: its name if no other has it, else its id, or its cgroup.
fn query(group: &Group, is_unique: bool) -> Option<String> {
    let identity = &group.figures.identity;
    let encoded = |key: &str, value: &str| {
        let value: String = byte_serialize(value.as_bytes()).collect();
        Some(format!("{key}={value}"))
    };
    let (key, pod) = (&group.key, &group.key.pod);
    if !key.kernel_namespace.is_empty() || key.fixed.is_some() {
        return None;
    }
    if key.container.is_empty() && !pod.is_empty() {
        return encoded("pod", &format!("{}/{pod}", key.namespace));
    }
    match identity.id.as_str() {
        "" if identity.cgroup.is_empty() => None,
        "" => encoded("cgroup", &identity.cgroup),
        _ if is_unique && pod.is_empty() => encoded("container", &identity.name),
        id => encoded("container", id),
    }
}
