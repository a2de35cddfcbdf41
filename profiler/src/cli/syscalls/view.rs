//! Rows of the kernel half to tables and JSON, at the end or in between.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use ctprof_ebpf::views::syscalls::abi::{CallKey, CallRow, SlowCall};
use serde::{Serialize, Serializer};

use super::SyscallsArgs;
use crate::Result;
use crate::aggregate::{Owners, container_ledgers};
use crate::cli::ps::terminal_width;
use crate::cli::record::say;
use crate::cli::syscalls::slow_calls::line::MadeCall;
use crate::cli::syscalls::slow_calls::{Answer, SlowCalls};
use crate::cli::{Format, output_error};
use crate::collect::{Noticed, Observer, RawLedger, Recorded, Samples, Snapshot, WatchList};
use crate::grouping::{Naming, owner, owners};
use crate::host::kernel;
use crate::host::syscalls::CALL_NAMES;
use crate::model::units::duration;
use crate::model::{Container, ContainerIdentity, Losses, Pod, ProcessKey, Runtime, Unavailable};

use crate::views::syscalls::{
    self, Order, RawCalls, Syscall, SyscallSummary, Syscalls, in_short, sort, table,
};

/// Version of the JSON form.
const SCHEMA_VERSION: u64 = 1;

/// How long a line waits for names.
const FOR_NAMES: Duration = Duration::from_millis(500);

/// How long lines that wait at the end may do so.
const AT_END: Duration = Duration::from_millis(400);

/// Shows what is counted.
pub(super) struct View<'a> {
    args: &'a SyscallsArgs,
    naming: Naming,
    start_unix: Duration,
    slow: SlowCalls<MadeCall>,
    /// What the last snapshot showed.
    last: Last,
}

#[derive(Default)]
struct Last {
    elapsed: Duration,
    rows: HashMap<CallKey, CallRow>,
    thread_time_ns: HashMap<u32, u64>,
}

/// The document of `--format json`.
#[derive(Serialize)]
struct Document<'a> {
    schema_version: u64,
    ctprof_version: &'a str,
    kernel: String,
    start_unix_ns: u64,
    /// End of this interval, from the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    elapsed_ns: Option<u64>,
    window_ns: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<&'a Losses>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unavailable: Option<&'a [Unavailable]>,
    containers: Rows<'a>,
}

/// All containers, made one after the other: all calls of a large host at once take hundreds of megabytes.
struct Rows<'a> {
    containers: &'a [&'a Container],
    order: Order,
}

/// One container.
#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    name: &'a str,
    runtime: Runtime,
    image: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<&'a Pod>,
    cgroup: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_time_ns: Option<u64>,
    syscalls: Vec<SyscallSummary>,
}

impl<'a> Rows<'a> {
    fn iter(&self) -> impl Iterator<Item = Row<'a>> {
        let order = self.order;
        self.containers.iter().map(move |container| {
            let mut calls = Syscalls::summary_of(container).unwrap_or_default();
            sort(&mut calls, order);
            let identity = &container.identity;
            Row {
                id: &identity.id,
                name: &identity.name,
                runtime: identity.runtime,
                image: &identity.image,
                pod: identity.pod.as_ref(),
                cgroup: &identity.cgroup,
                thread_time_ns: container.ledger.as_ref().map(|it| it.thread_time_ns),
                syscalls: calls,
            }
        })
    }
}

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'a> View<'a> {
    pub(super) fn new(args: &'a SyscallsArgs, naming: Naming, start_unix: Duration) -> Self {
        Self {
            args,
            naming,
            start_unix,
            slow: SlowCalls::new(FOR_NAMES),
            last: Last::default(),
        }
    }

    /// Prints everything that was counted; with an interval, what is left since the last one.
    pub(super) fn end(&mut self, recorded: &mut Recorded) -> Result<()> {
        let end = Instant::now() + AT_END;
        while let Some((call, answer)) = self.slow.last(end) {
            self.print_call(&call, answer)?;
        }
        if self.args.slow.is_some() {
            self.slow.count(&mut recorded.lost);
        }
        let recorded = &*recorded;
        let Some(calls) = recorded.raw.get::<RawCalls>() else {
            return Ok(());
        };
        if self.args.interval.is_some() {
            self.interval(&Snapshot {
                elapsed: recorded.window,
                watch: &recorded.watch,
                raw: recorded.raw.clone(),
                thread_time_ns: recorded.ledger.as_ref().map(RawLedger::thread_time_ns),
            })?;
        } else {
            let (owners, mut rows) = self.rows(&recorded.watch, &calls.rows, calls.timed);
            if let Some(ledger) = &recorded.ledger {
                container_ledgers(ledger, &owners, |_| None, &mut rows);
            }
            let rows = Self::shown(&rows);
            let document = self.document(&rows, recorded.window, Some(recorded));
            self.print(&document)?;
        }
        for (loss, count) in recorded.lost.iter().filter(|(_, count)| **count > 0) {
            say(&format!("lost: {}: {count}", loss.name()));
        }
        for view in &recorded.unavailable {
            say(&format!("unavailable: {}: {}", view.view, view.cause));
        }
        Ok(())
    }

    fn rows(
        &mut self,
        watch: &WatchList,
        rows: &HashMap<CallKey, CallRow>,
        timed: bool,
    ) -> (Owners, Vec<Container>) {
        self.naming.settle();
        let (owners, mut containers) = owners(watch, &mut self.naming);
        syscalls::fold(rows, timed, CALL_NAMES, &owners, &mut containers);
        (owners, containers)
    }

    /// Containers that called the kernel, most time in it first.
    fn shown(containers: &[Container]) -> Vec<&Container> {
        fn calls(container: &Container) -> impl Iterator<Item = &Syscall> {
            container
                .measured
                .get::<Syscalls>()
                .into_iter()
                .flat_map(|calls| &calls.0)
        }
        let mut shown: Vec<&Container> = containers
            .iter()
            .filter(|container| calls(container).next().is_some())
            .collect();
        shown.sort_by_cached_key(|container| {
            let time: u64 = calls(container).filter_map(|call| call.total_ns).sum();
            let count: u64 = calls(container).map(|call| call.count).sum();
            std::cmp::Reverse((time, count))
        });
        shown
    }

    fn interval(&mut self, now: &Snapshot<'_>) -> Result<()> {
        let (elapsed, Some(calls)) = (now.elapsed, now.raw.get::<RawCalls>()) else {
            return Ok(());
        };
        let rows: HashMap<CallKey, CallRow> = calls
            .rows
            .iter()
            .map(|(key, now)| (*key, since(*now, self.last.rows.get(key).copied())))
            .filter(|(_, row)| row.count > 0)
            .collect();
        let (owners, mut containers) = self.rows(now.watch, &rows, calls.timed);
        for (slot, ns) in now.thread_time_ns.iter().flatten() {
            let owner = owners.0.get(slot);
            if let Some(container) = owner.and_then(|owner| containers.get_mut(*owner)) {
                let before = self.last.thread_time_ns.get(slot).copied().unwrap_or(0);
                let ledger = container.ledger.get_or_insert_default();
                ledger.thread_time_ns += ns.saturating_sub(before);
            }
        }
        let window = elapsed.saturating_sub(self.last.elapsed);
        self.last = Last {
            elapsed,
            rows: calls.rows.clone(),
            thread_time_ns: now.thread_time_ns.clone().unwrap_or_default(),
        };
        let shown = Self::shown(&containers);
        let document = self.document(&shown, window, None);
        self.print(&document)
    }

    fn document<'b>(
        &self,
        containers: &'b [&'b Container],
        window: Duration,
        recorded: Option<&'b Recorded>,
    ) -> Document<'b> {
        let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Document {
            schema_version: SCHEMA_VERSION,
            ctprof_version: env!("CARGO_PKG_VERSION"),
            kernel: kernel::release(),
            start_unix_ns: ns(self.start_unix),
            elapsed_ns: recorded.is_none().then(|| ns(self.last.elapsed)),
            window_ns: ns(window),
            lost: recorded.map(|it| &it.lost),
            unavailable: recorded.map(|it| it.unavailable.as_slice()),
            containers: Rows {
                containers,
                order: self.args.order(),
            },
        }
    }

    fn print(&self, document: &Document<'_>) -> Result<()> {
        let mut out = std::io::stdout().lock();
        let written = match self.args.format {
            Format::Json if self.args.interval.is_some() || self.args.slow.is_some() => {
                serde_json::to_writer(&mut out, document)
                    .map_err(std::io::Error::from)
                    .and_then(|()| writeln!(out))
            }
            Format::Json => serde_json::to_writer_pretty(&mut out, document)
                .map_err(std::io::Error::from)
                .and_then(|()| writeln!(out)),
            Format::Text => self.print_text(document, &mut out),
        };
        written
            .and_then(|()| out.flush())
            .map_err(|error| output_error(&error))
    }

    fn print_call(&self, call: &MadeCall, answer: Answer) -> Result<()> {
        let line = call.line(answer);
        let mut out = std::io::stdout().lock();
        let written = match self.args.format {
            Format::Json => serde_json::to_writer(&mut out, &line)
                .map_err(std::io::Error::from)
                .and_then(|()| writeln!(out)),
            Format::Text => line.write(&mut out),
        };
        written
            .and_then(|()| out.flush())
            .map_err(|error| output_error(&error))
    }

    fn print_text(&self, document: &Document<'_>, out: &mut impl Write) -> std::io::Result<()> {
        let live = self.args.interval.is_some();
        if live && std::io::stdout().is_terminal() {
            // Clear the screen, and begin at its top.
            write!(out, "\x1b[2J\x1b[H")?;
        }
        if let Some(elapsed) = document.elapsed_ns {
            let (elapsed, window) = (duration(elapsed), duration(document.window_ns));
            writeln!(out, "after {elapsed}, in the last {window}:\n")?;
        }
        let timed = !self.args.counts_only;
        for container in document.containers.iter() {
            heading(&container, out)?;
            table(&container.syscalls, self.args.top, timed).write(out, terminal_width())?;
            let hidden = match self.args.top {
                0 => 0,
                top => container.syscalls.len().saturating_sub(top),
            };
            if hidden > 0 {
                writeln!(out, "… {hidden} more; --top 0 shows all")?;
            }
            writeln!(out)?;
        }
        if document.containers.containers.is_empty() && !live {
            say("no system calls were made");
        }
        Ok(())
    }
}

fn heading(container: &Row<'_>, out: &mut impl Write) -> std::io::Result<()> {
    let about: Vec<&str> = [container.runtime.name(), container.image]
        .into_iter()
        .filter(|text| !text.is_empty() && *text != container.name)
        .collect();
    write!(out, "{}", container.name)?;
    if !about.is_empty() {
        write!(out, " ({})", about.join(", "))?;
    }
    writeln!(
        out,
        ": {}",
        in_short(&container.syscalls, container.thread_time_ns)
    )
}

/// What a row has more than before. Its maximum may be of any time since the start.
fn since(now: CallRow, then: Option<CallRow>) -> CallRow {
    let then = then.unwrap_or_default();
    CallRow {
        count: now.count.saturating_sub(then.count),
        sum_ns: now.sum_ns.saturating_sub(then.sum_ns),
        off_cpu_ns: now.off_cpu_ns.saturating_sub(then.off_cpu_ns),
        max_ns: now.max_ns,
    }
}

impl Observer for View<'_> {
    fn process_seen(&mut self, process: ProcessKey, parent: Option<ProcessKey>, _: u64) {
        if self.args.stack {
            self.slow.observe(process, parent);
        }
    }

    fn cgroup_born(&mut self, path: &str) -> ContainerIdentity {
        self.naming.born(path)
    }

    fn snapshot(&mut self, snapshot: &Snapshot<'_>) -> Result<()> {
        self.interval(snapshot)
    }

    fn noticed(&mut self, seen: &Noticed<'_>) -> Result<()> {
        let Some(call) = seen.get::<SlowCall>() else {
            return Ok(());
        };
        if call.tgid == std::process::id() {
            // To show it would be one more.
            return Ok(());
        }
        let slot = call.key.slot();
        let path = seen.watch.path(slot).unwrap_or_default();
        let owner = owner(path, seen.watch.roots(), self.naming.containers());
        let (name, cgroup) = match &owner {
            Some(owner) => {
                let identity = self.naming.containers().identify(owner);
                (identity.name.clone(), identity.cgroup.clone())
            }
            None => ("host".to_owned(), String::new()),
        };
        let call = MadeCall::new(call, &name, &cgroup);
        let question = call.question(seen.stack.as_slice().into());
        self.slow.ask(call, question);
        Ok(())
    }

    fn turn(&mut self) -> Result<()> {
        while let Some((call, answer)) = self.slow.next() {
            self.print_call(&call, answer)?;
        }
        Ok(())
    }

    fn drained(&mut self, _: Duration, _: &Samples) -> Vec<ContainerIdentity> {
        self.naming.settle()
    }
}
