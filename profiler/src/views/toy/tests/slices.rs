//! What follows from what it counts one by one, and from what can be lost of it.

use super::super::Toy;
use super::super::compared::BROKEN;
use crate::analysis::View;
use crate::compare::outcome::Comparison;
use crate::compare::rules::Rule;
use crate::compare::{Plan, Refusal, Work, compare};
use crate::model::{
    Container, Figures as _, Item, Ledger, Slice, SlicePart, State, ViewId, Window,
};
use crate::output::notes;
use crate::{store, views};

fn item(number: u64) -> Item {
    let (name, variant) = views::item_name(&Toy::VIEW, number).unwrap();
    Item {
        view: Toy::VIEW,
        name,
        variant,
    }
}

/// Forty seconds with so many games each with toy 7, of `ns`, and none with others.
fn window(games: u64, ns: u64) -> Window {
    let mut row = Container {
        ledger: Some(Ledger::default()),
        items: vec![item(9), item(7)],
        ..Container::default()
    };
    row.identity.name = "web".to_owned();
    row.identity.cgroup = "/web".to_owned();
    row.time_ns.insert(State::OnCpuUser, 40_000_000);
    row.measured.insert(Toy {
        read_bytes: 40 * games,
        reader: "toy7".to_owned(),
    });
    row.slices = (0..40)
        .map(|at| {
            // They vary a little: what never varies says nothing of noise.
            let count = games + u64::from(at % 3);
            Slice {
                at,
                on_cpu_ns: 1_000_000,
                off_cpu_ns: vec![(State::BlockedSleep, 1_000_000)],
                items: vec![SlicePart {
                    of: 1,
                    count,
                    ns: count * ns,
                }],
                ..Slice::default()
            }
        })
        .collect();
    Window {
        duration_ns: 40_000_000_000,
        slices_ns: vec![1_000_000_000; 40],
        rows: vec![row],
        ..Window::default()
    }
}

fn compared(plan: &Plan) -> Result<Comparison, Refusal> {
    compare(&window(100, 50), &window(200, 50), plan)
}

fn rule(text: &str) -> Plan {
    Plan {
        rules: vec![Rule::parse(text).unwrap()],
        ..Plan::default()
    }
}

#[test]
fn windows_are_compared_by_it_and_by_its_items() {
    let comparison = compared(&Plan::default()).unwrap();
    let row = &comparison.rows[0];
    let metric = |id: &str| row.metrics.iter().find(|it| it.id == id);
    for (id, meaning) in [("toy.total", "toys"), ("toy.toy7", "games with it")] {
        let metric = metric(id).unwrap();
        assert_eq!((metric.id.as_str(), metric.meaning.as_str()), (id, meaning));
        // Of 40 seconds, 14 had none more, 13 one, 13 two.
        assert_eq!(metric.a_total, Some(4_039.0));
        assert_eq!(metric.b_total, Some(8_039.0));
    }
    let mean = metric("toy.toy7.mean").unwrap();
    assert!((mean.compared.a() - 50.0).abs() < 1e-9);
    assert!(metric("toy.toy9").is_none(), "nobody played with it");
    assert!(metric("syscalls.total").is_none(), "nobody counted them");
}

#[test]
fn rules_are_about_it() {
    for (text, is_broken) in [
        ("toy.total>+50%", true),
        ("toy.toy7>+50%", true),
        ("toy.toy7.mean>+50%", false),
    ] {
        let plan = rule(text);
        assert_eq!(plan.rules[0].needs(), Some(Toy::VIEW));
        let outcome = compared(&plan).unwrap().rules.remove(0);
        assert_eq!(outcome.broken, is_broken, "{text}");
    }
    let Err(Refusal::NoSuchThing(_, what, choices)) = compared(&rule("toy.toy8>+1%")) else {
        panic!("toy 8 is in neither");
    };
    assert_eq!(what, "no toy.toy8 in both");
    assert!(choices.contains(&"toy.toy7".to_owned()));
    let refusal = Rule::parse("cqu>+1%").unwrap_err();
    assert!(refusal.contains("toy.total, "), "{refusal}");
    assert!(refusal.contains("toy.NAME, toy.NAME.mean"), "{refusal}");
}

#[test]
fn figures_are_measured_by_its_items() {
    let work = |name| Plan {
        work: Work::items("toy", name),
        ..Plan::default()
    };
    let comparison = compared(&work("toy7")).unwrap();
    assert_eq!(comparison.work.as_deref(), Some("game of toy7"));
    let cpu = comparison.rows[0]
        .metrics
        .iter()
        .find(|it| it.id == "cpu")
        .unwrap();
    assert!((cpu.compared.a() - 40e6 / 4_039.0).abs() < 1e-6);
    assert_eq!(
        compared(&work("toy8")).unwrap_err(),
        Refusal::NoWork("game of toy8".to_owned(), vec!["toy7".to_owned()])
    );
    assert_eq!(Work::items("toi", "toy7"), None);
}

fn stored(window: &Window) -> Window {
    let mut bytes = Vec::new();
    store::write(window, &mut bytes).unwrap();
    store::decode(&bytes).unwrap()
}

/// An item is its view's on disk, whichever views there are, and another ctprof's stays that.
#[test]
fn its_items_are_on_disk_apart_from_those_of_other_views() {
    let syscalls = Item {
        view: ViewId::new("syscalls"),
        name: "toy7".to_owned(),
        variant: "i386".to_owned(),
    };
    let strange = Item {
        view: ViewId::new("strange"),
        name: "toy7".to_owned(),
        variant: String::new(),
    };
    let items = [syscalls, item(9), strange, item(7)];
    let records = items.iter().map(views::item_record);
    let variants: Vec<String> = records.map(|(_, variant)| variant).collect();
    assert_eq!(variants, ["i386", "toy:wooden", "strange:", "toy:wooden"]);

    let mut made = window(3, 5);
    made.rows[0].items = items.to_vec();
    let read = stored(&made);
    assert_eq!(read.rows[0].items, items);
    assert_eq!(read.rows[0].slices, made.rows[0].slices);
}

#[test]
fn what_is_lost_of_it_is_told() {
    let mut made = window(1, 1);
    made.lost.insert(BROKEN, 2);
    let read = stored(&made);
    assert_eq!(read.lost, made.lost);
    let (view, _) = View::of(&read);
    assert_eq!(notes::losses(&view.summary), ["2 toys broke"]);
}
