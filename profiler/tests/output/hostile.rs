//! Names that containers chose to hurt: every file must stay what it is, and a recording read back the
//! recording.

use ctprof::analysis::View;
use ctprof::model::{Container, Culprit, Delay, Ledger, Runtime, State, Window};
use ctprof::output::flamegraph::{self, Graph};
use ctprof::output::{folded, pprof, report, summary};
use ctprof::store;
use proptest::prelude::*;

use crate::synthetic::{Maker, named};

/// A window with one container and one stack per name, the name everywhere.
fn profile_of(names: &[String]) -> Window {
    let mut maker = Maker::new();
    for (i, name) in names.iter().enumerate() {
        maker.container(named(name, Runtime::Docker, ""));
        let frames = [maker.user(name), maker.inlined(name), maker.kernel(name)];
        maker.stack(i as u32, name, &frames, 1);
        maker.stack(i as u32, name, &frames[..1], 2);
        maker.stack(i as u32, name, &[], 4);
        maker.off_cpu(name, (State::BlockedDisk, name), &frames, 1, 1_000_000_000);
        maker.off_cpu(name, (State::RunQueue, ""), &frames, 1, 1_000_000_000);
        maker.off_cpu(name, (State::Throttled, ""), &frames, 1, 1_000_000_000);
        let container = maker.window.rows.last_mut().unwrap();
        container.stacks[0].burnt_quota = true;
        container.ledger = Some(Ledger {
            thread_time_ns: 5_000_000_000,
            delayed_by: vec![Delay {
                culprit: Culprit::Elsewhere(name.clone()),
                ns: 1_000_000_000,
            }],
            ..Ledger::default()
        });
    }
    maker.window
}

fn check(window: &Window) {
    let (view, order) = View::of(window);
    let labels = view.labels();
    let stacks: usize = window.rows.iter().map(|c| c.stacks.len()).sum();

    let mut text = Vec::new();
    folded::write(&view.stacks, &labels, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let lines: std::collections::HashSet<&str> = text.lines().collect();
    assert_eq!(lines.len(), view.stacks.len(), "each stack once");
    for line in text.lines() {
        let (stack, ns) = line.rsplit_once(' ').unwrap();
        assert!(ns.parse::<u64>().unwrap() > 0);
        assert!(stack.split(';').count() >= 4, "{line}");
        assert!(
            stack
                .split(';')
                .all(|field| !field.is_empty() && field.trim() == field)
        );
        assert!(!line.chars().any(char::is_control));
    }

    let mut json = Vec::new();
    summary::write(&view.summary, &mut json).unwrap();
    let back: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(back, serde_json::to_value(&view.summary).unwrap());

    let mut stored = Vec::new();
    store::write(window, &mut stored).unwrap();
    let (back, _) = View::of(&store::decode(&stored).unwrap());
    assert_eq!(back.labels(), view.labels());
    assert!(back.stacks == view.stacks && back.calls == view.calls);

    let all: Vec<usize> = (0..labels.len()).collect();
    let time = |in_graph: &dyn Fn(State) -> bool| -> u64 {
        let times = view.summary.containers.iter().flat_map(|c| &c.time_ns);
        let times = times.filter(|(state, _)| in_graph(**state));
        times.map(|(_, ns)| ns).sum()
    };
    for (graph, total) in [
        (Graph::WallClock, time(&|_| true)),
        (Graph::OnCpu, view.summary.on_cpu_ns()),
        (Graph::OffCpu, time(&|state| state == State::BlockedDisk)),
        (Graph::RunQueue, time(&|state| state == State::RunQueue)),
        // Twice as wide as what was stopped: beside it is what burnt the quota.
        (
            Graph::Throttled,
            2 * time(&|state| state == State::Throttled),
        ),
    ] {
        let mut svg = Vec::new();
        let options = flamegraph::Options {
            containers: &all,
            with_idle: false,
        };
        flamegraph::write(graph, &view, options, &mut svg).unwrap();
        let svg = String::from_utf8(svg).unwrap();
        let options = roxmltree::ParsingOptions {
            allow_dtd: true,
            ..Default::default()
        };
        let xml = roxmltree::Document::parse_with_options(&svg, options).unwrap();
        let scripts = xml
            .descendants()
            .filter(|n| n.has_tag_name("script"))
            .count();
        assert_eq!(scripts, usize::from(total > 0), "inferno's and no other");
        assert!(
            !svg.chars()
                .any(|c| ('\u{e000}'..='\u{f8ff}').contains(&c) && c < '\u{e040}')
        );
        if total > 0 {
            let frames = xml
                .descendants()
                .find(|n| n.attribute("id") == Some("frames"))
                .unwrap();
            assert_eq!(frames.attribute("total_samples"), Some(&*total.to_string()));
            // Each container is one frame of the whole of its time.
            let titles: Vec<&str> = frames
                .children()
                .filter_map(|g| g.first_element_child()?.text())
                .collect();
            for label in &labels {
                let own = titles
                    .iter()
                    .filter(|title| {
                        title
                            .rsplit_once(" (")
                            .is_some_and(|(name, _)| name == *label)
                    })
                    .count();
                assert!(own >= 1, "{label:?} in {titles:?}");
            }
        }
    }

    let mut bytes = Vec::new();
    pprof::write(window, &view.summary, &order, &mut bytes).unwrap();
    assert!(stacks == 0 || bytes.len() > 100);

    let mut shown = Vec::new();
    report::print(&view, &report::Options::default(), &mut shown).unwrap();
    for position in all {
        let alone = report::Options {
            only: Some(&[position]),
            ..report::Options::default()
        };
        report::print(&view, &alone, &mut shown).unwrap();
    }
    let shown = String::from_utf8(shown).unwrap();
    assert!(
        !shown.chars().any(|c| c.is_control() && c != '\n'),
        "{shown:?}"
    );
}

#[test]
fn names_made_to_break_formats() {
    let names = [
        "<script>alert(1)</script>",
        "]]></script><script>",
        "a;b;c",
        "x\ny 12\n",
        "\x1b[31mred\x1b[0m",
        "\u{202e}gnp.exe",
        "--><!-- -- >",
        "& &amp; &#0; \"'",
        "",
        " ",
        "# comment",
        "operator 15",
        "op 1.5",
        "f 1 2 3",
        "--",
        "-",
        "all",
        "\u{0}\u{1}\u{7f}\u{85}\u{2028}\u{feff}\u{fffe}\u{ffff}\u{e000}\u{e03f}\u{f8ff}",
        "x_[k]",
        "x_[i]",
        "x_[w]",
        "日本語の関数",
        "${HOME} %s %n {} {:?}",
    ]
    .map(str::to_owned);
    check(&profile_of(&names));
    for name in names {
        check(&profile_of(&[name]));
    }
    check(&profile_of(&["x".repeat(3 << 20)]));
    check(&profile_of(&[]));
    let mut no_stacks = Maker::new();
    no_stacks.window.rows.push(Container::default());
    check(&no_stacks.window);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_names(names in prop::collection::vec(
        prop_oneof![
            any::<String>(),
            "[a-c;: \n\t\\[\\]_ki<>&'\"#0-9.\u{202e}\u{e000}-\u{e041}\u{fffd}-\u{ffff}]{0,12}",
        ],
        1..6,
    )) {
        check(&profile_of(&names));
    }
}
