//! System calls.
//!
//! - `plan`: what is asked of the kernel half
//! - `run`: its maps while a session goes on; `maps`: what is in them
//! - `raw`: what it counted, by slot; `kept`: by row, for the agent
//! - `call`: one call of a row
//! - `fold`: rows by slot as the calls of rows
//! - `summary`: what their figures say, and their order
//! - `shown`: as tables and in words
//! - `record`: on disk
//! - `compared`: when windows are compared
//! - `lost`: what can be lost
//! - `metrics`: for Prometheus

mod call;
mod compared;
mod fold;
mod kept;
pub mod lost;
mod maps;
mod metrics;
mod plan;
mod raw;
mod record;
mod run;
mod shown;
mod summary;
#[cfg(test)]
mod tests;

pub use call::Syscall;
pub use fold::fold;
pub use plan::CallPlan;
pub use raw::{RawCalls, add_row};
pub use run::CallRun;
pub use shown::{in_short, table};
pub use summary::{Order, SyscallSummary, sort};

use super::recorder::{Prepared, Running, Scope};
use super::{About, Clean, Kept, Named, RowView, Section, Switch};
use crate::aggregate::Owners;
use crate::collect::{Hooks, Recorded};
use crate::host::syscalls::CALL_NAMES;
use crate::model::comparable::Comparable;
use crate::model::metric::{Metric, OfRow};
use crate::model::sums::combine_lists;
use crate::model::units::counted;
use crate::model::{Container, Figures, Loss, Op, Sums, Unavailable, ViewId};

/// Calls shown of a container that is shown alone.
const MOST: usize = 10;

/// Calls shown of each of several containers.
const MOST_OF_MANY: usize = 3;

/// The system calls of a row, in no particular order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Syscalls(pub Vec<Syscall>);

impl Sums for Syscalls {
    fn combine(&mut self, other: &Self, op: Op) {
        combine_lists(&mut self.0, &other.0, op, |a, b| {
            (&a.name, &a.abi).cmp(&(&b.name, &b.abi))
        });
    }
}

impl Figures for Syscalls {
    const VIEW: ViewId = ViewId::new("syscalls");

    fn row_ended(&mut self) {
        for call in &mut self.0 {
            call.in_progress = 0;
        }
    }
}

impl RowView for Syscalls {
    const TITLE: &'static str = "syscalls";
    const ABOUT: About = About::Threads;
    const METRICS: &'static [Metric<OfRow>] = metrics::METRICS;
    const HOOKS: Option<&'static dyn Hooks> = Some(&CallPlan::LEAST);

    const LOSSES: &'static [Loss] = lost::ALL;
    const COMPARED: &'static [Comparable] = compared::COMPARED;
    const NAMED: Option<&'static Named> = Some(&compared::NAMED);
    const SWITCH: Option<&'static Switch> = Some(&compared::SWITCH);

    type Record = Vec<record::Record>;

    fn record(&self) -> Self::Record {
        self.0.iter().map(record::Record::from).collect()
    }

    fn restore(record: Self::Record, clean: Clean) -> Option<Self> {
        let calls = record.into_iter().map(|call| call.restore(clean));
        Some(Self(calls.collect::<Option<_>>()?))
    }

    type Summary = Vec<SyscallSummary>;

    fn summary(&self, thread_time_ns: Option<u64>) -> Self::Summary {
        self.summaries(thread_time_ns)
    }

    fn line(&self, thread_time_ns: Option<u64>) -> Option<String> {
        Some(in_short(&self.summaries(thread_time_ns), thread_time_ns))
    }

    fn section(&self, thread_time_ns: Option<u64>, full: bool) -> Option<Section> {
        if self.0.is_empty() {
            return None;
        }
        let most = if full { MOST } else { MOST_OF_MANY };
        let calls = self.summaries(thread_time_ns);
        let timed = calls.iter().any(|call| call.total_ns.is_some());
        let more = calls.len().saturating_sub(most) as u64;
        Some(Section {
            table: table(&calls, most, timed),
            more: (more > 0).then(|| counted(more, "more system call")),
        })
    }

    /// Calls that have not returned are included.
    fn times(&self, name: &str) -> Option<u64> {
        let call = self.0.iter().find(|call| call.label() == name)?;
        Some(call.count.saturating_add(call.in_progress))
    }

    /// Those of one call in several rows stay beside one another.
    fn of_all(rows: &[&Self]) -> Option<Self> {
        let calls = rows.iter().flat_map(|row| &row.0).cloned();
        (!rows.is_empty()).then(|| Self(calls.collect()))
    }

    fn kept() -> Option<Box<dyn Kept>> {
        Some(Box::<kept::KeptCalls>::default())
    }

    fn prepare(_: &Scope<'_>) -> Prepared {
        Ok(Box::new(Run))
    }
}

/// Calls of a recording. The session counts them if it was asked to, and says why if it could not.
struct Run;

impl Running for Run {
    fn start(&mut self, _: &[&str]) {}

    fn fold(&mut self, recorded: &Recorded, owners: &Owners, rows: &mut [Container]) {
        if let Some(calls) = recorded.raw.get::<RawCalls>() {
            fold(&calls.rows, calls.timed, CALL_NAMES, owners, rows);
        }
    }

    fn give(&mut self, _: &mut [Container]) -> Vec<Unavailable> {
        Vec::new()
    }
}
