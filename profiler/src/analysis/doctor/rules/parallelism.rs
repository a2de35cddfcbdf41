//! More threads at work than CPUs for them.

use super::Rule;
use crate::analysis::doctor::advice;
use crate::analysis::doctor::finding::{Confidence, Finding, Severity};
use crate::analysis::doctor::patient::Patient;
use crate::analysis::doctor::waits::Spent;
use crate::analysis::summary::CulpritKind;
use crate::model::units;
use crate::views::limits::Quota;
use crate::views::workload::{ARGUMENTS, Language, Program};

pub(super) const RULE: Rule = Rule {
    id: "parallelism",
    about: "a runtime or a pool runs more threads at once than the quota and the cpuset have CPUs",
    when: "a setting says so, and its threads are stopped, or wait for each other, for 5% of the time that they could run",
    judge,
};

/// A setting that makes so many threads run at once.
struct Setting {
    name: String,
    threads: u64,
    program: String,
    /// What it should be.
    fix: String,
    has_env: bool,
    /// It is about the collector's threads alone.
    is_of_collector: bool,
}

fn judge(patient: &Patient<'_>) -> Option<Finding> {
    let quota = patient.limits().and_then(|it| it.cpu.quota.as_ref());
    let quota = quota.map(Quota::cores).or(patient.summary.cpu_quota_cores);
    let cpus = patient.cpus_allowed() as f64;
    let have = quota.map_or(cpus, |quota| quota.min(cpus));
    let fitting = (have.ceil() as u64).max(1);
    let throttled_ns = patient.ns(Spent::Throttled);
    let siblings_ns = siblings_ns(patient);
    let held_up_ns = throttled_ns + siblings_ns;
    let runnable_ns = patient.runnable_ns().max(1);
    let part = held_up_ns as f64 / runnable_ns as f64;
    if !patient.is_notable(held_up_ns) || part < 0.05 {
        return None;
    }
    let collects = patient
        .groups
        .iter()
        .filter(|it| it.name.starts_with("GC Thread"));
    let collects = collects.fold(0_u64, |sum, it| {
        let parts = [Spent::Runs, Spent::Queues, Spent::Throttled].map(|spent| it.of(spent));
        sum.saturating_add(parts.iter().sum())
    });
    // Threads that hardly do anything are in nobody's way.
    let is_at_work = |it: &Setting| !it.is_of_collector || collects > runnable_ns / 5;
    let setting = settings(patient, fitting).find(|it| it.threads > fitting && is_at_work(it));
    let at_once = runnable_ns as f64 / patient.window_ns.max(1) as f64;
    let Some(setting) = setting else {
        return crowd(patient, siblings_ns, have, at_once);
    };
    let throttled = throttled_ns as f64 / runnable_ns as f64;
    let rank = if throttled >= 0.01 {
        throttled * 0.95
    } else {
        part * 0.9
    };
    let severity = if part >= 0.25 {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let title = format!(
        "{} runs {} threads at once, and has {} CPU.",
        setting.program,
        setting.threads,
        advice::cores(have)
    );
    let how = if setting.has_env {
        advice::variable(patient, &setting.name, &setting.fix)
    } else {
        format!(
            "{}={} in place of {}",
            setting.name, setting.fix, setting.threads
        )
    };
    let longest = patient
        .summary
        .throttle_duration
        .as_ref()
        .and_then(|it| it.max_ns);
    Some(
        Finding::new(RULE.id, severity, title)
            // Behind what stops it: fewer threads are stopped later, and no less of the CPU is missing.
            .about(held_up_ns, rank)
            .sure(Confidence::Certain)
            .shown_by([
                format!("{} is {} (read from the process)", setting.name, setting.threads),
                format!("{at_once:.1} threads could run at once on average, for {} CPU (ledger)", advice::cores(have)),
                format!(
                    "of the time that they could run, {} were they stopped and {} did they wait for each other (ledger)",
                    units::percent(throttled_ns, runnable_ns),
                    units::percent(siblings_ns, runnable_ns)
                ),
            ])
            .advising([how])
            .gaining(
                match longest {
                    Some(ns) if throttled_ns > siblings_ns => format!(
                        "the same work in shorter stops: fewer threads use up the quota later in each period, so that \
                         the longest, {} now, gets shorter; as much work a second",
                        units::duration(ns)
                    ),
                    _ => "as much work a second, with fewer switches and less memory".to_owned(),
                },
                None,
            ),
    )
}

/// Threads of its own wait for each other, and no setting is known that says how many there are.
fn crowd(patient: &Patient<'_>, siblings_ns: u64, have: f64, at_once: f64) -> Option<Finding> {
    let part = siblings_ns as f64 / patient.runnable_ns().max(1) as f64;
    if part < 0.3 || at_once < have * 1.5 {
        return None;
    }
    let severity = if part >= 0.5 && at_once >= have * 3.0 {
        Severity::Warning
    } else {
        Severity::Info
    };
    let threads = patient.threads(|_, spent| spent == Spent::Queues);
    let whose = threads
        .first()
        .map(|it| format!("most of it the threads {}", it.function));
    Some(
        Finding::new(
            RULE.id,
            severity,
            format!(
                "Its own threads wait for each other: {at_once:.1} could run at once, on {} CPU.",
                advice::cores(have)
            ),
        )
        .about(siblings_ns, part * 0.5)
        .shown_by([format!(
            "waited {} for a CPU while its own threads ran (ledger)",
            units::duration(siblings_ns)
        )])
        .shown_by(whose)
        .advising([format!(
            "as many workers as there are CPUs for them ({have:.0}), or more CPUs",
            have = have.ceil()
        )]),
    )
}

/// Time that its threads waited for each other.
fn siblings_ns(patient: &Patient<'_>) -> u64 {
    let delays = patient.summary.delayed_by.iter().flatten();
    let own = delays.filter(|it| it.kind == CulpritKind::Siblings);
    own.fold(0, |sum, it| sum.saturating_add(it.ns))
}

/// Variables that are a number of threads.
const VARIABLES: [&str; 7] = [
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "TOKIO_WORKER_THREADS",
    "UV_THREADPOOL_SIZE",
    "WEB_CONCURRENCY",
];

fn settings<'p>(patient: &Patient<'p>, fitting: u64) -> impl Iterator<Item = Setting> + 'p {
    let programs = patient.programs();
    programs
        .iter()
        .flat_map(move |program| of_program(program, fitting))
}

fn of_program(program: &Program, fitting: u64) -> Vec<Setting> {
    let setting = |name: &str, threads: u64, has_env: bool| Setting {
        name: name.to_owned(),
        threads,
        program: program.name.clone(),
        fix: fitting.to_string(),
        has_env,
        is_of_collector: name.ends_with("GCThreads"),
    };
    let mut found = Vec::new();
    if program.language == Language::Go {
        let from_env = program.setting("GOMAXPROCS").and_then(|it| it.parse().ok());
        let procs = program.gomaxprocs.map(u64::from).or(from_env);
        // Without either, it takes as many as it may run on; from Go 1.25 on no more than its quota, and two at least.
        let usual = (!program.minds_quota()).then_some(u64::from(program.cpus));
        found.extend(
            procs
                .or(usual)
                .map(|procs| setting("GOMAXPROCS", procs, true)),
        );
    }
    for name in VARIABLES {
        let value = program.setting(name).and_then(|it| it.parse().ok());
        found.extend(value.map(|threads| setting(name, threads, true)));
    }
    if program.language == Language::Java {
        for name in [
            "JAVA_TOOL_OPTIONS",
            "JDK_JAVA_OPTIONS",
            "_JAVA_OPTIONS",
            ARGUMENTS,
        ] {
            for option in [
                "-XX:ParallelGCThreads",
                "-XX:ActiveProcessorCount",
                "-XX:ConcGCThreads",
            ] {
                let words = program.setting(name).unwrap_or_default().split(' ');
                let mut values = words
                    .filter_map(|word| word.strip_prefix(option)?.strip_prefix('=')?.parse().ok());
                found.extend(
                    values
                        .next_back()
                        .map(|threads| setting(option, threads, false)),
                );
            }
        }
    }
    found
}
