//! CPU time in code without names, and how it gets some.

use super::patient::Patient;
use super::waits::Spent;
use crate::model::units;
use crate::views::workload::Language;

/// What is said of it.
pub(super) struct Unnamed {
    pub(super) evidence: String,
    pub(super) advice: String,
}

/// Of the time on the CPU, what ran in code without names, if that is a fifth of it.
pub(super) fn of(patient: &Patient<'_>) -> Option<Unnamed> {
    let mut files: Vec<(String, u64)> = Vec::new();
    let (mut all_ns, mut made_ns) = (0_u64, 0_u64);
    for stack in patient.stacks(|_, spent| spent == Spent::Runs) {
        all_ns = all_ns.saturating_add(stack.time_ns);
        let Some(name) = patient.frames.nameless(stack) else {
            continue;
        };
        match name.strip_prefix("[anon") {
            Some(_) => made_ns = made_ns.saturating_add(stack.time_ns),
            None => {
                let file = name.trim_start_matches('[');
                let file = file.rsplit_once("+0x").map_or(file, |(file, _)| file);
                match files.iter_mut().find(|(known, _)| known == file) {
                    Some((_, ns)) => *ns = ns.saturating_add(stack.time_ns),
                    None => files.push((file.to_owned(), stack.time_ns)),
                }
            }
        }
    }
    let is_much = |ns: u64| ns.saturating_mul(5) >= all_ns && ns > 0;
    if is_much(made_ns) {
        return Some(Unnamed {
            evidence: format!(
                "{} of it in code that was made at run time and has no names here",
                units::percent(made_ns, all_ns)
            ),
            advice: how(patient).to_owned(),
        });
    }
    let (file, ns) = files.into_iter().max_by_key(|(_, ns)| *ns)?;
    is_much(ns).then(|| Unnamed {
        evidence: format!(
            "{} of it in functions of {file} that have no names here",
            units::percent(ns, all_ns)
        ),
        advice: format!(
            "for their names: the debug package of {file} (-dbgsym, -debuginfo), or DEBUGINFOD_URLS where ctprof runs (docs/stacks.md)"
        ),
    })
}

/// How a runtime tells the names of the code that it makes.
fn how(patient: &Patient<'_>) -> &'static str {
    let programs = patient.programs();
    let mut languages = programs.iter().map(|it| it.language);
    let told = languages.find_map(|language| match language {
        Language::Java => Some(
            "for its names: jcmd PID Compiler.perfmap, from JDK 17 on, and record again (-XX:+PreserveFramePointer has whole stacks)",
        ),
        Language::Node => Some("for its names: node --perf-basic-prof"),
        Language::Python => Some("for its names: python3 -X perf, from 3.12 on"),
        _ => None,
    });
    told.unwrap_or("for its names: a runtime that writes /tmp/perf-PID.map")
}
