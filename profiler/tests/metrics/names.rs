//! Labels: which there are, and values that somebody chose with care.

use std::path::Path;

use ctprof::agent::metrics::{Format, Options};
use ctprof::agent::settings::Labels;
use ctprof::model::{Delayer, Grouping, Reading, Runtime};
use libtest_mimic::Trial;

use crate::Result;
use crate::exposition::scrape;
use crate::promtool::{promtool, with_promtool};
use crate::reading::{limited, quiet, small};
use crate::text::Exposed;

pub(super) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("names::labels_of_each_grouping", groupings),
        Trial::test("names::labels_that_were_asked_for", asked),
        Trial::test("names::hostile_values_are_themselves", hostile),
        Trial::test("names::long_values_are_cut_and_stay_apart", long),
        with_promtool("names::promtool_reads_hostile_values", readable),
    ]
}

fn groupings() -> Result {
    for (grouping, labels) in [
        (Grouping::Container, "container namespace pod"),
        (Grouping::Cgroup, "cgroup container namespace pod"),
        (Grouping::Pod, "container namespace pod"),
        (Grouping::NetworkNamespace, "container netns"),
        (Grouping::PidNamespace, "container pidns"),
        (Grouping::MountNamespace, "container mntns"),
        (Grouping::UserNamespace, "container userns"),
    ] {
        let mut group = limited();
        group.key.cgroup = "/docker/web".into();
        group.key.kernel_namespace = "4026531840".into();
        let reading = Reading {
            groups: vec![group],
            ..small()
        };
        let options = Options {
            grouping,
            ..Options::default()
        };
        let exposed = Exposed::read(&scrape(reading, Format::OpenMetrics, &options))?;
        let found = exposed.find("ctprof_threads", &[]);
        let keys: Vec<&str> = found[0].0.1.keys().map(String::as_str).collect();
        assert_eq!(keys.join(" "), labels);
        let last = found[0].0.1.values().any(|value| value == "4026531840");
        assert_eq!(last, labels.ends_with("ns"));
        // Its own label cgroup is not there a second time.
        assert_eq!(exposed.find("ctprof_container_info", &[]).len(), 1);
    }
    Ok(())
}

fn asked() -> Result {
    let options = Options {
        labels: Labels {
            image: true,
            runtime: true,
        },
        ..Options::default()
    };
    let exposed = Exposed::read(&scrape(small(), Format::OpenMetrics, &options))?;
    let labels = [("image", "shop/web:1.4"), ("runtime", "docker")];
    assert_eq!(exposed.value("ctprof_threads", &labels)?, 8.0);
    assert_eq!(exposed.value("ctprof_container_info", &labels)?, 1.0);
    assert!(exposed.find("ctprof_groups", &labels).is_empty());
    Ok(())
}

/// Names that would end a label, a line, or the exposition.
const HOSTILE: [&str; 6] = [
    "a\"} 1\u{e9}",
    "back\\slash\\",
    "# EOF",
    "größe 日本",
    "{}=,\"\"",
    "\\n",
];

fn hostile_reading() -> Reading {
    let groups = HOSTILE.iter().map(|name| {
        let mut group = quiet(name, Runtime::Docker);
        group.figures.threads = Some(1);
        group.delayed_by = vec![(Delayer::Row((*name).to_owned()), 1)];
        group
    });
    Reading {
        groups: groups.collect(),
        ..small()
    }
}

fn hostile() -> Result {
    for format in [Format::OpenMetrics, Format::Text] {
        let text = scrape(hostile_reading(), format, &Options::default());
        let exposed = Exposed::read(&text)?;
        for name in HOSTILE {
            let labels = [("container", name)];
            assert_eq!(exposed.value("ctprof_threads", &labels)?, 1.0, "{name}");
            let labels = [("container", name), ("culprit", name)];
            let delayed = exposed.value("ctprof_delayed_by_seconds_total", &labels)?;
            assert_eq!(delayed, 1e-9, "{name}");
        }
    }
    Ok(())
}

fn long() -> Result {
    let names = [
        format!("{}1", "x".repeat(10_000)),
        format!("{}2", "x".repeat(10_000)),
        "a\nb\x1b[31m".to_owned(),
        "a?b?[31m".to_owned(),
    ];
    let groups = names
        .iter()
        .map(|name| quiet(name, Runtime::Docker))
        .collect();
    let reading = Reading { groups, ..small() };
    let text = scrape(reading, Format::Text, &Options::default());
    let longest = text.lines().map(str::len).max();
    assert!(longest < Some(1_500), "{longest:?}");
    let exposed = Exposed::read(&text)?;
    let found = exposed.find("ctprof_container_info", &[]);
    assert_eq!(found.len(), 4);
    let labels = [("container", "a?b?[31m")];
    assert_eq!(exposed.value("ctprof_container_info", &labels)?, 1.0);
    Ok(())
}

fn readable() -> Result {
    let text = scrape(hostile_reading(), Format::Text, &Options::default());
    promtool(Path::new("."), &["check", "metrics"], &text).map(drop)
}
