//! What a check has found, for people and as JSON.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use serde::Serialize;

use super::callers::Caller;
use super::watch::{Watched, WatchedContainer};
use crate::Result;
use crate::cli::record::say;
use crate::cli::{Format, output_error, print_json};
use crate::host::syscalls::{abi_name, error_name};
use crate::model::Runtime;
use crate::model::units::{count, counted};
use crate::seccomp::{CallId, Denial, Filter, Verdict, is_needed};
use crate::views::syscalls::lost;

/// Version of the JSON form.
const SCHEMA_VERSION: u64 = 1;

/// The document of `--format json`. Lists are sorted.
#[derive(Debug, Serialize)]
pub(super) struct Findings {
    schema_version: u64,
    profile: String,
    /// Something that is called would be denied.
    pub(super) would_deny: bool,
    containers: Vec<Row>,
    /// Calls that the profile allows and nobody made, those apart that a runtime needs.
    never_seen: Vec<String>,
    never_seen_needed: Vec<String>,
    /// Calls for which there was no room: the findings lack them.
    lost: u64,
    /// Denied calls of which nobody looked at who made them, because there were too many at once.
    callers_lost: u64,
    /// Denied calls whose processes could not be read in time: they have functions without names.
    stacks_late: u64,
    /// Denials that were told without what their file descriptor is.
    descriptors_late: u64,
}

/// Callers of a call that people see, and functions of each.
const CALLERS: usize = 3;
const FUNCTIONS: usize = 6;

/// One container.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    id: String,
    runtime: Runtime,
    cgroup: String,
    /// Different calls, and how often any was made.
    calls: usize,
    times: u64,
    /// It has a seccomp filter now.
    has_filter: bool,
    /// Made, and the profile denies them.
    denied: Vec<Finding>,
    /// Made, and the profile's rules look at their arguments, or leave it to another program.
    maybe_denied: Vec<Finding>,
    /// Denied by the present filter while this looked.
    denied_live: Vec<Finding>,
}

/// A call.
#[derive(Debug, Serialize)]
struct Finding {
    name: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    abi: &'static str,
    count: u64,
    /// The error that the present filter gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// What the profile does.
    profile: String,
    /// Who made it, most calls first, and with which stack: of the calls that were looked at, which are at most
    /// 500 a second, cgroup and CPU.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    callers: Vec<Caller>,
}

impl Findings {
    /// Holds what was called against the profile.
    pub(super) fn of(path: &Path, filter: &Filter, watched: &Watched) -> Self {
        let mut seen = BTreeSet::new();
        let mut would_deny = false;
        let mut containers = Vec::new();
        for container in &watched.containers {
            containers.push(Row::of(container, filter, &mut would_deny));
            let called = &container.called;
            let calls = called.executed.keys().chain(called.refused.keys());
            seen.extend(calls.map(|call| call.name.as_str()));
        }
        let never = filter.allowed().into_iter();
        let never = never.filter(|name| !seen.contains(name)).map(str::to_owned);
        let (never_seen_needed, never_seen) = never.partition(|name| is_needed(name));
        let of = |loss| watched.recorded.lost.get(&loss).copied().unwrap_or(0);
        Self {
            schema_version: SCHEMA_VERSION,
            profile: path.display().to_string(),
            would_deny,
            containers,
            never_seen,
            never_seen_needed,
            lost: of(lost::MAP_FULL),
            callers_lost: of(lost::SLOW_DROPPED),
            stacks_late: of(lost::STACK_LATE),
            descriptors_late: of(lost::DESCRIPTOR_LATE),
        }
    }

    /// Prints them.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(super) fn print(&self, format: Format) -> Result<()> {
        if self.lost > 0 {
            let lost = count(self.lost);
            say(&format!(
                "calls may be missing: the table of calls is full (call_map_full: {lost})"
            ));
        }
        if self.callers_lost > 0 {
            let lost = count(self.callers_lost);
            say(&format!(
                "who made denied calls is not known of all: there were too many at once (slow_call_dropped: {lost})"
            ));
        }
        if self.stacks_late > 0 {
            let late = count(self.stacks_late);
            say(&format!(
                "functions of denied calls are not known of all: their processes took too long to read (stack_late: {late})"
            ));
        }
        if self.descriptors_late > 0 {
            let late = count(self.descriptors_late);
            say(&format!(
                "denials were told without their files: these took too long to look up (descriptor_late: {late})"
            ));
        }
        match format {
            Format::Json => print_json(self),
            Format::Text => {
                let mut out = std::io::stdout().lock();
                self.write(&mut out)
                    .and_then(|()| out.flush())
                    .map_err(|error| output_error(&error))
            }
        }
    }

    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        for row in &self.containers {
            row.write(out)?;
        }
        for (names, what) in [
            (&self.never_seen, "allowed and not seen"),
            (
                &self.never_seen_needed,
                "allowed and not seen, which runtimes need",
            ),
        ] {
            if !names.is_empty() {
                writeln!(out, "{what} ({}): {}", names.len(), names.join(", "))?;
            }
        }
        let verdict = match (self.containers.is_empty(), self.would_deny) {
            (true, _) => "no system call was seen: nothing is known",
            (false, true) => "the profile would deny calls that are made",
            (false, false) => "the profile would deny nothing that is made",
        };
        writeln!(out, "{verdict}")
    }
}

impl Row {
    fn of(container: &WatchedContainer, filter: &Filter, would_deny: &mut bool) -> Self {
        let (mut denied, mut maybe, mut live) = (Vec::new(), Vec::new(), Vec::new());
        let called = &container.called;
        let callers = |call: &CallId, error: Option<u32>| -> Vec<Caller> {
            let all = container.callers.iter();
            all.filter(|it| it.call == *call && it.refused_with == error)
                .cloned()
                .collect()
        };
        for (call, times) in &called.executed {
            let to = match filter.verdict(call) {
                Verdict::Allowed => continue,
                Verdict::Maybe => &mut maybe,
                Verdict::Denied(_) => {
                    *would_deny = true;
                    &mut denied
                }
            };
            let callers = callers(call, None);
            to.push(Finding::of(call, *times, filter, None, callers));
        }
        for (call, errors) in &called.refused {
            for (error, times) in errors {
                let callers = callers(call, Some(*error));
                live.push(Finding::of(call, *times, filter, Some(*error), callers));
                if let Verdict::Denied(denial) = filter.verdict(call) {
                    *would_deny |= !denial.by_rule || denial.error != Some(*error);
                }
            }
        }
        let identity = &container.identity;
        Self {
            name: identity.name.clone(),
            id: identity.id.clone(),
            runtime: identity.runtime,
            cgroup: identity.cgroup.clone(),
            calls: called.kinds(),
            times: called.times(),
            has_filter: called.is_confined || !called.refused.is_empty(),
            denied,
            maybe_denied: maybe,
            denied_live: live,
        }
    }

    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        let filter = if self.has_filter {
            ""
        } else {
            "; it has no filter now"
        };
        writeln!(
            out,
            "{}: {}, called {}{filter}",
            self.name,
            counted(self.calls as u64, "system call"),
            counted(self.times, "time")
        )?;
        for (findings, what) in [
            (&self.denied, "would be denied"),
            (&self.maybe_denied, "may be denied, by their arguments"),
            (&self.denied_live, "denied now, by the filter that is on"),
        ] {
            if findings.is_empty() {
                continue;
            }
            writeln!(out, "  {what}:")?;
            for finding in findings {
                finding.write(out)?;
            }
        }
        writeln!(out)
    }
}

impl Finding {
    fn of(
        call: &CallId,
        count: u64,
        filter: &Filter,
        error: Option<u32>,
        callers: Vec<Caller>,
    ) -> Self {
        let profile = match filter.verdict(call) {
            Verdict::Allowed => "allows".to_owned(),
            Verdict::Maybe => "may allow".to_owned(),
            Verdict::Denied(denial) => denies(denial),
        };
        Self {
            name: call.name.clone(),
            abi: abi_name(call.abi),
            count,
            // A tracer, or a filter that asks another program, may give a result that is no error.
            error: error.map(|error| match error {
                0 => "no error".to_owned(),
                error => error_name(error),
            }),
            profile,
            callers,
        }
    }

    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        let abi = match self.abi {
            "" => String::new(),
            abi => format!(" ({abi})"),
        };
        let times = counted(self.count, "time");
        let name = format!("{}{abi}", self.name);
        match &self.error {
            None => writeln!(out, "    {name:<24} {times:>16}   {}", self.profile)?,
            Some(error) => {
                let profile = &self.profile;
                writeln!(
                    out,
                    "    {name:<24} {times:>16}   got {error}; the profile {profile}"
                )?;
            }
        }
        for caller in self.callers.iter().take(CALLERS) {
            let times = counted(caller.count, "time");
            let (process, thread) = (&caller.process, &caller.thread);
            let who = if process == thread {
                process.to_string()
            } else {
                format!("{process}, thread {thread}")
            };
            writeln!(out, "      {times} by {who}")?;
            for function in caller.stack.iter().take(FUNCTIONS) {
                writeln!(out, "        {function}")?;
            }
        }
        match self.callers.len().saturating_sub(CALLERS) {
            0 => Ok(()),
            more => writeln!(
                out,
                "      and {}; --format json has all",
                counted(more as u64, "more caller")
            ),
        }
    }
}

/// How the profile denies.
fn denies(denial: Denial) -> String {
    let how = match denial.error {
        Some(error) => format!("denies with {}", error_name(error)),
        None if denial.kills => "kills".to_owned(),
        None => "sends SIGSYS".to_owned(),
    };
    let why = if denial.by_rule {
        "by a rule"
    } else {
        "by default"
    };
    format!("{how}, {why}")
}
