//! Rules about what a container does by itself.

use super::*;

#[test]
fn calls_that_do_little() {
    let made = |count| {
        let write = Syscall {
            name: "write".to_owned(),
            count,
            ..Syscall::default()
        };
        Made::new()
            .stack(
                "a",
                (State::OnCpuKernel, "write"),
                &["write@libc.so.6", "put", "main"],
                (500, 6 * SECOND),
            )
            .stack("a", RUNS, &["put", "main"], (100, 2 * SECOND))
            .with(Syscalls(vec![write]))
    };
    let found = made(8_000_000).findings();
    assert_eq!(
        (found[0].id, found[0].severity),
        ("syscall-storm", Severity::Warning)
    );
    assert!(found[0].title.contains("write"), "{}", found[0].title);
    assert_eq!(made(80_000).finding("syscall-storm"), None);
}

#[test]
fn processes_of_a_moment() {
    let made = |processes: u64| {
        let mut made = Made::new();
        for _ in 0..processes {
            made = made.runs("grep", &["main"], SECOND / 100);
        }
        let row = made.row();
        let ledger = row.ledger.get_or_insert_default();
        (ledger.threads_born, ledger.threads_exited) = (processes, processes);
        made
    };
    let found = made(300).findings();
    assert_eq!(
        (found[0].id, found[0].severity),
        ("short-lived", Severity::Warning)
    );
    assert!(
        found[0]
            .evidence
            .iter()
            .any(|it| it.contains("grep (30 a second)")),
        "{:?}",
        found[0].evidence
    );
    assert_eq!(made(20).finding("short-lived"), None);
}

#[test]
fn computing_is_no_fault_and_says_where() {
    let made = Made::new()
        .runs(
            "app",
            &["clock_gettime@libc.so.6", "hash_block", "main"],
            6 * SECOND,
        )
        .runs(
            "app",
            &["deflate@libz.so.1", "compress_page", "main"],
            3 * SECOND,
        );
    let found = made.findings();
    assert_eq!(
        (found[0].id, found[0].severity),
        ("cpu-bound", Severity::Info)
    );
    assert!(
        found[0].title.contains("hash_block()"),
        "{}",
        found[0].title
    );
    let idle = || Made::new().runs("app", &["main"], SECOND / 10);
    let found = &idle().findings()[0];
    assert_eq!((found.id, &*found.title), ("idle", "It waits for work."));
    // Of which threads are no witnesses.
    let go = workload(vec![program(Language::Go, &[])], &[]);
    let found = &idle().with(go).findings()[0];
    assert_eq!(found.id, "idle");
    assert_eq!(found.confidence, Confidence::Possible);
    assert!(found.advice[0].contains("mutex profile"));
}

#[test]
fn code_without_names_gets_some() {
    let made = |frame: &str, of: Language| {
        let program = program(of, &[]);
        Made::new()
            .runs("app", &[frame, "start"], 3 * SECOND)
            .runs("app", &["parse", "start"], SECOND)
            .with(workload(vec![program], &[]))
            .finding("cpu-bound")
            .unwrap()
    };
    let java = made("[anon+0x7eff48ed5b0b]", Language::Java);
    let said = "75.0% of it in code that was made at run time and has no names here";
    assert!(java.evidence.iter().any(|it| it == said), "{java:?}");
    assert!(
        java.advice
            .iter()
            .any(|it| it.contains("jcmd PID Compiler.perfmap")),
        "{java:?}"
    );
    let python = made("[python3.11+0x4e2]", Language::Python);
    let said = "75.0% of it in functions of python3.11 that have no names here";
    assert!(python.evidence.iter().any(|it| it == said), "{python:?}");
    assert!(
        python
            .advice
            .iter()
            .any(|it| it.contains("debug package of python3.11"))
    );
    let named = made("render", Language::Native);
    assert!(named.evidence.iter().all(|it| !it.contains("no names")));
}
