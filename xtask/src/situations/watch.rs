//! How fast a situation's work is, and whether it is what it is called: by the kernel and Docker, not by ctprof.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::cgroup::{Cgroup, Counters};
use super::interrupt::Interrupt;
use super::model::{Situation, Truth};
use super::world::World;

/// Time between two looks at what threads wait for: no divisor of common periods.
const LOOK: Duration = Duration::from_millis(97);

/// What was seen of a situation within a window.
#[derive(Default)]
pub(super) struct Watched {
    pub(super) seconds: f64,
    /// Pieces of work.
    pub(super) work: u64,
    /// Seconds that they took, added up.
    spent: Option<f64>,
    usage: Counters,
    restarts: u64,
    births: u64,
    overflows: u64,
    /// What threads that sleep had on their kernel stacks, for each look at which some thread slept.
    looks: Vec<String>,
    threads: u64,
}

/// Counters at one end of a window.
struct Reading {
    at: Instant,
    work: u64,
    spent: Option<f64>,
    counters: Option<Counters>,
    restarts: u64,
    births: u64,
    overflows: u64,
}

impl Watched {
    /// Watches for so long.
    pub(super) fn watch(
        world: &World<'_>,
        situation: &Situation,
        window: Duration,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let pid = world.inspect(None, "{{.State.Pid}}")?;
        // A container that is killed now and then may have none at this moment.
        let cgroup = Cgroup::of(&pid).ok();
        let cgroup = cgroup.as_ref();
        let first = Reading::take(world, situation, cgroup)?;
        let mut watched = Self::default();
        while first.at.elapsed() < window {
            interrupt.wait_until(Instant::now() + LOOK)?;
            watched.look(cgroup);
        }
        let last = Reading::take(world, situation, cgroup)?;
        world.check()?;
        watched.seconds = (last.at - first.at).as_secs_f64();
        watched.work = last.work - first.work;
        watched.spent = last
            .spent
            .zip(first.spent)
            .map(|(last, first)| last - first);
        if let (Some(last), Some(first)) = (last.counters, first.counters) {
            watched.usage = Counters {
                usage_ns: last.usage_ns.saturating_sub(first.usage_ns),
                periods: last.periods.saturating_sub(first.periods),
                throttled: last.throttled.saturating_sub(first.throttled),
                limit_hits: last.limit_hits.saturating_sub(first.limit_hits),
            };
        }
        watched.restarts = last.restarts - first.restarts;
        watched.births = last.births - first.births;
        watched.overflows = last.overflows - first.overflows;
        Ok(watched)
    }

    fn look(&mut self, cgroup: Option<&Cgroup>) {
        let threads = cgroup.and_then(|it| it.threads().ok()).unwrap_or_default();
        self.threads = self.threads.max(threads.len() as u64);
        let sleepers = threads.iter().filter(|it| is_asleep(it));
        let stacks = sleepers.filter_map(|it| fs::read_to_string(it.join("stack")).ok());
        let seen: String = stacks.collect();
        if !seen.is_empty() {
            self.looks.push(seen);
        }
    }

    /// Pieces of work per second; per second of their own, where their time is counted.
    pub(super) fn speed(&self) -> Option<f64> {
        let seconds = self.spent.unwrap_or(self.seconds);
        (self.work > 0 && seconds > 0.0).then(|| self.work as f64 / seconds)
    }

    /// What of `truth` does not hold, each with what was seen instead.
    pub(super) fn untrue(&self, truth: &[Truth]) -> Vec<String> {
        let seen = |it: &Truth| (!self.holds(it)).then(|| format!("{it:?}: {}", self.seen(it)));
        truth.iter().filter_map(seen).collect()
    }

    fn figure(&self, truth: &Truth) -> f64 {
        match truth {
            Truth::Cores(..) => self.usage.usage_ns as f64 / 1e9 / self.seconds,
            Truth::Throttled(..) => self.usage.throttled as f64 / self.usage.periods.max(1) as f64,
            Truth::LimitHits(_) => self.usage.limit_hits as f64 / self.seconds,
            Truth::Killed(_) => self.restarts as f64,
            Truth::Waits(words, _) => {
                let is_there = |look: &&String| words.iter().any(|word| look.contains(word));
                let found = self.looks.iter().filter(is_there).count();
                found as f64 / self.looks.len().max(1) as f64
            }
            Truth::Births(_) => self.births as f64 / self.seconds,
            Truth::Threads(_) => self.threads as f64,
            Truth::Overflows(..) => self.overflows as f64 / self.seconds,
            Truth::Work(..) => self.work as f64 / self.seconds,
        }
    }

    fn holds(&self, truth: &Truth) -> bool {
        let figure = self.figure(truth);
        match *truth {
            Truth::Cores(least, most)
            | Truth::Throttled(least, most)
            | Truth::Work(least, most) => (least..=most).contains(&figure),
            Truth::LimitHits(least)
            | Truth::Waits(_, least)
            | Truth::Births(least)
            | Truth::Overflows(_, least) => figure >= least,
            Truth::Killed(least) | Truth::Threads(least) => figure >= least as f64,
        }
    }

    fn seen(&self, truth: &Truth) -> String {
        let mut text = format!("{:.2}", self.figure(truth));
        if matches!(truth, Truth::Waits(..)) {
            let last = self.looks.last().map(String::as_str).unwrap_or_default();
            text += &format!(
                " of {} looks, the last one: {}",
                self.looks.len(),
                functions(last)
            );
        }
        text
    }
}

/// The first functions of kernel stacks, as `/proc/PID/task/TID/stack` has them.
fn functions(stack: &str) -> String {
    let names = stack
        .lines()
        .filter_map(|line| line.strip_prefix("[<0>] ")?.split('+').next());
    names.take(8).collect::<Vec<_>>().join(" < ")
}

/// Whether a thread waits for anything but a CPU.
fn is_asleep(thread: &Path) -> bool {
    let stat = fs::read_to_string(thread.join("stat")).unwrap_or_default();
    // The name before it may have any character.
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest.chars().next());
    matches!(state, Some(Some('S' | 'D')))
}

impl Reading {
    fn take(world: &World<'_>, situation: &Situation, cgroup: Option<&Cgroup>) -> Result<Self> {
        let restarts = world.inspect(None, "{{.RestartCount}}")?.parse()?;
        let full = situation.truth.iter().find_map(|it| match it {
            Truth::Overflows(name, _) => Some(*name),
            _ => None,
        });
        let overflows = match full {
            Some(name) => overflows(&world.inspect(Some(name), "{{.State.Pid}}")?)?,
            None => 0,
        };
        Ok(Self {
            at: Instant::now(),
            work: world.work(),
            spent: world.spent_seconds(),
            counters: cgroup.and_then(|it| it.counters().ok()),
            restarts,
            births: births()?,
            overflows,
        })
    }
}

/// Processes that the host has started.
fn births() -> Result<u64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat
        .lines()
        .find_map(|line| line.strip_prefix("processes "));
    Ok(line.context("no processes in /proc/stat")?.parse()?)
}

/// Connections dropped at full listen queues in the network namespace of this process.
fn overflows(pid: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/net/netstat"))?;
    let mut lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("TcpExt: "));
    let (names, values) = lines.next().zip(lines.next()).context("no TcpExt")?;
    let mut pairs = names.split(' ').zip(values.split(' '));
    let (_, value) = pairs
        .find(|(name, _)| *name == "ListenOverflows")
        .context("no ListenOverflows")?;
    Ok(value.parse()?)
}
