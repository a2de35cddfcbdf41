//! One container in the report: what is wrong with it, its figures, its longest waits and its functions.

use std::collections::HashMap;
use std::io::Write;

use super::{MAX_LABEL, Paint, figures, threads};
use crate::analysis::doctor::{Finding, Severity};
use crate::analysis::functions::Functions;
use crate::analysis::names::{Name, NameKind};
use crate::analysis::stacks::NameId;
use crate::analysis::states::ViewState;
use crate::analysis::summary::ContainerSummary;
use crate::analysis::threads::Threads;
use crate::analysis::{View, blame};
use crate::model::text::{cut, printable};
use crate::model::units;
use crate::table::{Align, Table};
use crate::views::Section;

/// A function's name ends here: C++ templates fill screens.
const MAX_FUNCTION: usize = 100;

/// Findings shown; `ctprof doctor` shows all.
const MAX_FINDINGS: usize = 3;

/// Whether the report says it elsewhere: a container without any work is among the idle ones, and what isolation costs has a
/// line of its own.
fn is_said(finding: &Finding) -> bool {
    finding.severity == Severity::Info && matches!(finding.id, "idle" | "isolation")
}

/// Stacks shown of those off the CPU.
const MAX_WAITS: usize = 5;

/// Functions shown of such a stack: the innermost of the program.
const MAX_CALLS: usize = 5;

/// What a block shows.
pub(super) struct Detail<'a> {
    pub(super) view: &'a View,
    pub(super) functions: &'a [Functions],
    /// Everything that is known, or what fits a list of containers.
    pub(super) full: bool,
}

impl Detail<'_> {
    /// Prints the block of the container at this position.
    pub(super) fn print(
        &self,
        position: usize,
        paint: &Paint,
        out: &mut impl Write,
    ) -> std::io::Result<()> {
        let container = &self.view.summary.containers[position];
        writeln!(out)?;
        writeln!(out, "{}", paint.bold(&title(container)))?;
        if container.thread_time_ns.is_some() {
            self.print_findings(position, paint, out)?;
            let idle_ns = self.idle_ns(position);
            for (title, text) in figures::lines(container, idle_ns, self.full) {
                writeln!(out, "{} {text}", paint.faint(&format!("{title:<11}")))?;
            }
            if self.full {
                self.print_threads(position, paint, out)?;
                self.print_waits(position, paint, out)?;
            }
        }
        for section in container.views.sections(self.full) {
            self.print_section(&section, paint, out)?;
        }
        self.print_functions(position, paint, out)
    }

    /// Whether there is anything to say about why the container is slow, or a view that was asked for.
    pub(super) fn is_worth_it(&self, position: usize) -> bool {
        let views = &self.view.summary.containers[position].views;
        views.sections(self.full).next().is_some() || self.told(position).next().is_some()
    }

    /// What there is to say about why the container is slow.
    fn told(&self, position: usize) -> impl Iterator<Item = &Finding> {
        let findings = self.view.findings[position].iter();
        findings.filter(|it| !is_said(it)).take(MAX_FINDINGS)
    }

    fn print_findings(
        &self,
        position: usize,
        paint: &Paint,
        out: &mut impl Write,
    ) -> std::io::Result<()> {
        for (number, finding) in (1..).zip(self.told(position)) {
            let severity = match finding.severity {
                Severity::Critical => "CRITICAL ",
                Severity::Warning => "WARNING ",
                Severity::Info => "",
            };
            writeln!(out, "{number}. {}{}", paint.bold(severity), finding.title)?;
            writeln!(out, "   {}", printable(&finding.evidence.join("; "), 1000))?;
            if let Some(advice) = finding
                .advice
                .first()
                .filter(|_| finding.severity > Severity::Info)
            {
                writeln!(
                    out,
                    "   {} {}",
                    paint.faint("change:"),
                    printable(advice, 1000)
                )?;
            }
        }
        Ok(())
    }

    /// Time that idle threads of this container waited.
    fn idle_ns(&self, position: usize) -> u64 {
        ViewState::ALL.into_iter().fold(0, |sum, state| {
            sum.saturating_add(self.view.threads.idle.wait_ns(position, state))
        })
    }

    /// Where the time of its threads went, by their names.
    fn print_threads(
        &self,
        position: usize,
        paint: &Paint,
        out: &mut impl Write,
    ) -> std::io::Result<()> {
        let Some((table, more)) = threads::table(self.view, position) else {
            return Ok(());
        };
        writeln!(out)?;
        table.write_with(out, None, |line| paint.faint(line))?;
        if more > 0 {
            let more = units::counted(more as u64, "more name");
            writeln!(out, "{}", paint.faint(&more))?;
        }
        Ok(())
    }

    /// The stacks with most time off the CPU.
    fn print_waits(
        &self,
        position: usize,
        paint: &Paint,
        out: &mut impl Write,
    ) -> std::io::Result<()> {
        let stacks = &self.view.stacks;
        let Threads { groups, idle } = &self.view.threads;
        let mut sums: HashMap<(ViewState, NameId, &[NameId]), u64> = HashMap::new();
        for stack in stacks.iter().filter(|stack| {
            stack.container == position
                && stack.state != ViewState::ON_CPU
                && !idle.waits_idly(stack, groups)
        }) {
            let key = (stack.state, groups.group(stack.thread), stack.frames);
            let sum = sums.entry(key).or_default();
            *sum = sum.saturating_add(stack.ns);
        }
        let mut waits: Vec<_> = sums.into_iter().collect();
        waits.sort_by(|(a_key, a), (b_key, b)| b.cmp(a).then_with(|| a_key.cmp(b_key)));
        if waits.is_empty() {
            return Ok(());
        }
        let shown = || waits.iter().take(MAX_WAITS);
        let mut table = Table::default();
        table.column("TIME", Align::Right, shown(), |(_, ns)| {
            units::duration(*ns)
        });
        table.column("OFF THE CPU", Align::Left, shown(), |((state, ..), _)| {
            state.title().to_owned()
        });
        table.column("THREAD", Align::Left, shown(), |((_, group, _), _)| {
            cut(groups.name(stacks, *group), MAX_LABEL)
        });
        table.column("IN", Align::Left, shown(), |((.., frames), _)| {
            calls(frames.iter().map(|frame| stacks.name(*frame)))
        });
        writeln!(out)?;
        table.write_with(out, None, |line| paint.faint(line))?;
        if waits.len() > MAX_WAITS {
            let more = units::counted((waits.len() - MAX_WAITS) as u64, "more stack");
            writeln!(out, "{}", paint.faint(&more))?;
        }
        Ok(())
    }

    /// The table of a view.
    fn print_section(
        &self,
        section: &Section,
        paint: &Paint,
        out: &mut impl Write,
    ) -> std::io::Result<()> {
        if self.full {
            writeln!(out)?;
        }
        section
            .table
            .write_with(out, None, |line| paint.faint(line))?;
        if let Some(more) = &section.more {
            writeln!(out, "{}", paint.faint(more))?;
        }
        Ok(())
    }

    /// The functions with most time on the CPU.
    fn print_functions(
        &self,
        position: usize,
        paint: &Paint,
        out: &mut impl Write,
    ) -> std::io::Result<()> {
        let functions = &self.functions[position];
        if functions.top.is_empty() {
            return Ok(());
        }
        let has_ledger = self.view.summary.containers[position]
            .thread_time_ns
            .is_some();
        let mut table = Table::default();
        table.column("SELF", Align::Right, functions.top.iter(), |f| {
            units::percent(f.self_ns, functions.total_ns)
        });
        table.column("TOTAL", Align::Right, functions.top.iter(), |f| {
            units::percent(f.total_ns, functions.total_ns)
        });
        let heading = if has_ledger {
            "ON THE CPU IN"
        } else {
            "FUNCTION"
        };
        table.column(heading, Align::Left, functions.top.iter(), |f| {
            let mut name = cut(&f.name, MAX_FUNCTION);
            if f.kernel {
                name.push_str(" [k]");
            }
            name
        });
        if has_ledger && self.full {
            writeln!(out)?;
        }
        table.write_with(out, None, |line| paint.faint(line))?;
        let more = functions.distinct - functions.top.len();
        if more > 0 {
            let more = units::counted(more as u64, "more function");
            writeln!(out, "{}", paint.faint(&more))?;
        }
        Ok(())
    }
}

/// The container's name; with a ledger, what it is as well.
fn title(container: &ContainerSummary) -> String {
    let mut parts = vec![cut(&container.label, MAX_LABEL)];
    if container.thread_time_ns.is_some() {
        if !container.image.is_empty() {
            parts.push(cut(&container.image, MAX_LABEL));
        }
        parts.extend(
            container
                .cpu_quota_cores
                .map(|cores| format!("quota {cores:.2} CPU")),
        );
        parts.extend(container.threads.map(|threads| match threads {
            0 => "no thread at the end".to_owned(),
            _ => units::counted(threads, "thread"),
        }));
    }
    printable(&parts.join(" · "), 1000)
}

/// The innermost functions of a stack as `main > handle > db_commit`: those of the program, or where there are none
/// those of the kernel that do more than lead to the scheduler.
fn calls<'a>(root_first: impl Iterator<Item = &'a Name>) -> String {
    const MAX_CALL: usize = 40;
    let (kernel, user): (Vec<&Name>, Vec<&Name>) =
        root_first.partition(|name| name.kind == NameKind::Kernel);
    let telling = || {
        kernel
            .iter()
            .filter(|name| !blame::is_kernel_plumbing(name))
    };
    let names: Vec<&Name> = match (user.is_empty(), telling().next()) {
        (false, _) => user,
        (true, Some(_)) => telling().copied().collect(),
        (true, None) => kernel,
    };
    let mut shown: Vec<String> = Vec::new();
    if names.len() > MAX_CALLS {
        shown.push("…".to_owned());
    }
    for name in &names[names.len().saturating_sub(MAX_CALLS)..] {
        let text = cut(&name.text, MAX_CALL);
        shown.push(match name.kind {
            NameKind::Kernel => format!("{text} [k]"),
            NameKind::Plain | NameKind::Inlined | NameKind::StandIn => text,
        });
    }
    shown.join(" > ")
}
