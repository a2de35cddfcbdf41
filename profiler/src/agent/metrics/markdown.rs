//! `docs/metrics.md`, made of the table.

use std::fmt::Write;

use super::group_labels;
use super::table::{self, Kind, Metric, Source};
use crate::model::{Grouping, units};

const HEAD: &str = "\
# Metrics of `ctprof agent`

Made from the tables in `profiler/src/agent/metrics/table` and of the views in `profiler/src/views`; `BLESS=1 cargo test --test metrics` writes it anew.

Times are in seconds of **thread time** unless said otherwise: four threads that wait for one second have waited for four.
Counters begin at 0 when the agent starts, or when their row was born, and only grow for as long as the row is there: also
when cgroups of it end, containers are renamed, or limits change. A row that disappeared begins at 0 when it comes back. All
rows, and those that are gone, add up to `ctprof_host_thread_seconds_total`. Both formats that Prometheus reads are served:
OpenMetrics, and the classic text format.

That holds for what the kernel itself counts for a cgroup (`cpu.stat` and other files of it), too: what it counted before the agent began is
left out, and a row goes on from its sum when a container restarts. What a cgroup counted between the last reading and its
end is lost. A pod has the quota and the counters of the pod's own cgroup, other rows the sums of their cgroups' counters, and a
quota if they are in one. Rows of more than 64 cgroups, and the row `other`, do not have these.
";

const NOTES: &str = "
A row is born with all of its counters at 0, so that `rate()` sees the first increase. Culprits, system calls and errors are
open-ended: they appear when they first happen, and what they count until the first scrape that shows them is in no rate.
What a kernel cannot measure is absent, never 0, and named by `ctprof_view_unavailable`.

**Names of ours.** `host` is the processes in no container, `kernel` kernel threads, `other` the rows beyond `--max-containers`;
`siblings`, `idle` and `former` are culprits only. No container has these: one that is called `host` is shown as `docker:host`,
with its runtime before its name. A container that is renamed ends under its old name, and begins at 0 under the new one.

**Culprits** are told apart by their full name: `namespace/pod/container` in a pod, `namespace/pod` with `--by pod`, else the
container's name, the path of the cgroup, or the inode of the kernel namespace. `host`, `kernel`, `siblings` and `idle` are
always told; of the others `--top-culprits`, by what they did lately (a delay counts half after five minutes). One that is
twice as bad as the mildest of the named takes its place. What the latter had up to then is moved to `former`, so that the
culprits of a row always add up to `ctprof_run_queue_seconds_total`; leave `former` out of rates.

In Kubernetes, scrape with `honor_labels: true`. The labels of a row are always there, empty ones too, so that
Prometheus does not put the pod of the agent in their place.

Values of labels are cut after 180 characters; control characters become `?`. Such a value ends in `~` and a hash of the
whole, so that two of them stay two series.
";

/// The whole page.
#[must_use]
pub fn page() -> String {
    let mut out = HEAD.to_owned();
    section(&mut out, "Rows", &rows(), |source| {
        matches!(source, Source::Group(_) | Source::View(_))
    });
    section(&mut out, "Host", "\nNo labels of a row.\n", |source| {
        matches!(source, Source::Host(_))
    });
    section(&mut out, "Agent", "\nNo labels of a row.\n", |source| {
        matches!(source, Source::Agent(_))
    });
    out
}

fn rows() -> String {
    let mut out = "\nOne series for each row. Its labels come from `--by`:\n\n| `--by` | labels |\n|---|---|\n".to_owned();
    for (grouping, name) in Grouping::ALL {
        line(&mut out, &[&code(&[name]), &code(group_labels(grouping))]);
    }
    let _ = write!(
        out,
        "\n`--label` adds `image` and `runtime` to every row.\n{NOTES}"
    );
    out.trim_end().to_owned() + "\n"
}

fn section(out: &mut String, title: &str, text: &str, belongs: impl Fn(&Source) -> bool) {
    let _ = write!(out, "\n## {title}\n{text}");
    out.push_str("\n| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for metric in table::all().filter(|metric| belongs(&metric.source)) {
        let labels: Vec<String> = metric
            .labels
            .iter()
            .map(|label| format!("`{}`: {}", label.name, label.values))
            .collect();
        line(
            out,
            &[
                &code(&[metric.name]),
                kind(metric.kind),
                &labels.join("<br>"),
                &meaning(&metric),
            ],
        );
    }
}

fn meaning(metric: &Metric) -> String {
    let mut out = format!("{}.", metric.help);
    if let Kind::Histogram(bounds) = metric.kind {
        let bounds: Vec<String> = bounds.iter().map(|bound| units::duration(*bound)).collect();
        let _ = write!(out, " Bounds, powers of two of ns: {}.", bounds.join(", "));
    }
    if let Some(view) = metric.view {
        let _ = write!(out, " Needs the view `{view}`.");
    }
    out
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
        Kind::Info => "info",
    }
}

fn code(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

fn line(out: &mut String, cells: &[&str]) {
    let _ = writeln!(out, "| {} |", cells.join(" | "));
}
