//! Moments of threads that sums do not show: the longest that they ran between two waits, who had the locks that they waited
//! for, and who was killed because memory was short.
//!
//! - `plan`: what is asked of the kernel half
//! - `run`: its maps while a session goes on

mod plan;
mod run;

use std::collections::BTreeMap;

use ctprof_ebpf::views::moments::abi::{LOSSES, Lost};
use serde::{Deserialize, Serialize};

use self::plan::MomentsPlan;
use self::run::RawMoments;
use super::recorder::{Prepared, Running, Scope};
use super::{About, Clean, RowView, Switch};
use crate::aggregate::Owners;
use crate::collect::{Hooks, Recorded};
use crate::model::units::{counted, duration};
use crate::model::{Container, Figures, Loss, Op, Sums, Unavailable, ViewId, ViewLoss};

/// Functions of a stack that are kept.
pub const FUNCTIONS: usize = 24;

/// Threads, and ends of waits, that are kept of a row.
const MOST: usize = 24;

/// Moments of the threads of a row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Moments {
    /// The longest that a thread of each name ran between two waits, in ns, the longest first. Where system calls are followed as
    /// well, a look for events that does not wait ends it, too.
    pub longest: Vec<(String, u64)>,
    /// The longest wait of threads of each name that ended, in ns, the longest first.
    pub longest_waits: Vec<(String, u64)>,
    /// Who had the locks that its threads waited for, most time first.
    pub wakers: Vec<Waker>,
    /// Processes that were killed because memory was short.
    pub oom_kills: u64,
}

/// A thread that had a lock which others waited for.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Waker {
    /// Its name.
    pub thread: String,
    /// Functions that it let go of the lock in, the innermost first.
    pub functions: Vec<String>,
    /// Functions that the threads waited in, the innermost first.
    pub waited_in: Vec<String>,
    /// Waits of a millisecond or more that it held up.
    pub count: u64,
    /// How long it did.
    pub ns: u64,
}

/// The map was full: a thread's longest stretch, and its longest wait, are missing.
const DROPPED: Loss = Loss::OfView(&ViewLoss {
    name: LOSSES[Lost::Longest as usize],
    meaning: None,
});

impl Sums for Moments {
    fn combine(&mut self, other: &Self, op: Op) {
        if op == Op::Add {
            for (thread, ns) in &other.longest {
                keep_longest(&mut self.longest, thread, *ns);
            }
            for (thread, ns) in &other.longest_waits {
                keep_longest(&mut self.longest_waits, thread, *ns);
            }
        }
        for theirs in &other.wakers {
            let is_same = |it: &&mut Waker| {
                (&it.thread, &it.functions, &it.waited_in)
                    == (&theirs.thread, &theirs.functions, &theirs.waited_in)
            };
            match (self.wakers.iter_mut().find(is_same), op) {
                (Some(own), op) => {
                    op.on(&mut own.count, theirs.count);
                    op.on(&mut own.ns, theirs.ns);
                }
                (None, Op::Add) => self.wakers.push(theirs.clone()),
                (None, Op::Subtract) => {}
            }
        }
        op.on(&mut self.oom_kills, other.oom_kills);
        self.order();
    }
}

impl Moments {
    /// Puts its lists in order and cuts them.
    pub fn order(&mut self) {
        for longest in [&mut self.longest, &mut self.longest_waits] {
            longest.retain(|(_, ns)| *ns > 0);
            longest.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            longest.truncate(MOST);
        }
        self.wakers.retain(|it| it.ns > 0);
        self.wakers
            .sort_by(|a, b| b.ns.cmp(&a.ns).then_with(|| a.cmp(b)));
        self.wakers.truncate(MOST);
    }

    fn is_nothing(&self) -> bool {
        self.longest.is_empty()
            && self.longest_waits.is_empty()
            && self.wakers.is_empty()
            && self.oom_kills == 0
    }
}

impl Figures for Moments {
    const VIEW: ViewId = ViewId::new("moments");
}

impl RowView for Moments {
    const TITLE: &'static str = "moments";
    const ABOUT: About = About::Threads;
    const HOOKS: Option<&'static dyn Hooks> = Some(&MomentsPlan::LEAST);
    const LOSSES: &'static [Loss] = &[DROPPED];
    const SWITCH: Option<&'static Switch> = Some(&Switch {
        name: "moments",
        record: "Also the longest that threads run between two waits, who has the locks that they wait for, and kills for want of memory",
        compare: "Also the longest that threads run between two waits, who has the locks that they wait for, and kills for want of memory",
        agent: "Also the longest that threads run between two waits, and kills for want of memory: for doctor's findings",
        absent: "no moments were recorded: record with --moments",
        hooks: |env| Ok(Box::new(MomentsPlan::of(env))),
    });

    type Record = ([Vec<(String, u64)>; 2], Vec<Waker>, u64);

    fn record(&self) -> Self::Record {
        (
            [self.longest.clone(), self.longest_waits.clone()],
            self.wakers.clone(),
            self.oom_kills,
        )
    }

    fn restore((mut both, mut wakers, oom_kills): Self::Record, clean: Clean) -> Option<Self> {
        for (thread, _) in both.iter_mut().flatten() {
            *thread = clean(thread);
        }
        for waker in &mut wakers {
            waker.thread = clean(&waker.thread);
            for name in waker.functions.iter_mut().chain(&mut waker.waited_in) {
                *name = clean(name);
            }
        }
        let [longest, longest_waits] = both;
        Some(Self {
            longest,
            longest_waits,
            wakers,
            oom_kills,
        })
    }

    type Summary = Self;

    fn summary(&self, _: Option<u64>) -> Self {
        self.clone()
    }

    fn line(&self, _: Option<u64>) -> Option<String> {
        let mut parts = Vec::new();
        if let Some((thread, ns)) = self.longest.first() {
            parts.push(format!(
                "thread {thread} ran for {} without a wait",
                duration(*ns)
            ));
        }
        if let Some(waker) = self.wakers.first() {
            parts.push(format!(
                "thread {} had the lock in {} of {} in all",
                waker.thread,
                counted(waker.count, "wait"),
                duration(waker.ns)
            ));
        }
        if self.oom_kills > 0 {
            parts.push(format!("{} killed for want of memory", self.oom_kills));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    fn prepare(_: &Scope<'_>) -> Prepared {
        Ok(Box::new(Run))
    }
}

/// Moments of a recording. The session counts them if it was asked to.
struct Run;

impl Running for Run {
    fn start(&mut self, _: &[&str]) {}

    fn fold(&mut self, recorded: &Recorded, owners: &Owners, rows: &mut [Container]) {
        let Some(raw) = recorded.raw.get::<RawMoments>() else {
            return;
        };
        let mut all: BTreeMap<usize, Moments> = BTreeMap::new();
        for ((slot, thread), longest) in &raw.longest {
            if let Some(owner) = owners.0.get(slot) {
                let moments = all.entry(*owner).or_default();
                keep_longest(&mut moments.longest, thread, longest.ran_ns);
                keep_longest(&mut moments.longest_waits, thread, longest.waited_ns);
            }
        }
        for (slot, kills) in &raw.oom_kills {
            if let Some(owner) = owners.0.get(slot) {
                all.entry(*owner).or_default().oom_kills += kills;
            }
        }
        for (owner, mut moments) in all {
            if let Some(row) = rows.get_mut(owner) {
                moments.wakers = row
                    .measured
                    .get::<Moments>()
                    .map(|it| it.wakers.clone())
                    .unwrap_or_default();
                moments.order();
                if !moments.is_nothing() {
                    row.measured.insert(moments);
                }
            }
        }
    }

    fn give(&mut self, _: &mut [Container]) -> Vec<Unavailable> {
        Vec::new()
    }
}

/// A thread of this name ran, or waited, for so long.
fn keep_longest(longest: &mut Vec<(String, u64)>, thread: &str, ns: u64) {
    match longest.iter_mut().find(|(known, _)| known == thread) {
        Some((_, known)) => *known = (*known).max(ns),
        None => longest.push((thread.to_owned(), ns)),
    }
}

/// A thread ended waits for locks of a row: goes into its figures.
pub fn add_waker(row: &mut Container, waker: Waker) {
    match row.measured.get_mut::<Moments>() {
        Some(moments) => moments.wakers.push(waker),
        None => row.measured.insert(Moments {
            wakers: vec![waker],
            ..Moments::default()
        }),
    }
}
