//! One container as rules see it: where the time of its threads went, without what only waits for work, and what else is known.

use std::collections::HashMap;

use super::frames::Frames;
use super::group::Group;
use super::handed_on::HandedOn;
use super::waits::{self, Says, Spent, spent};
use crate::analysis::summary::ContainerSummary;
use crate::analysis::threads::without_digits;
use crate::model::{Container, Stack, State, Stolen, units};
use crate::views::limits::Limits;
use crate::views::moments::Moments;
use crate::views::psi::{Psi, Stall};
use crate::views::syscalls::Syscalls;
use crate::views::workload::{Program, Waiting, Workload};

/// Nothing below this part of the window is a cause of anything.
pub(super) const FLOOR: f64 = 0.01;

/// A function and its time.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// As sentences have it.
    pub(super) function: String,
    /// Its time.
    pub(super) ns: u64,
    /// That of all that was asked for.
    pub(super) of_ns: u64,
}

impl Place {
    /// `81.2% in f()`.
    pub(super) fn words(&self) -> String {
        format!(
            "{} in {}",
            units::percent(self.ns, self.of_ns),
            self.function
        )
    }
}

/// The window, and the host that it is of.
#[derive(Clone, Copy, Debug)]
pub(super) struct HostFacts {
    pub(super) window_ns: u64,
    pub(super) cpus: u64,
    pub(super) stolen: Option<Stolen>,
}

/// One container.
pub(super) struct Patient<'a> {
    pub(super) row: &'a Container,
    pub(super) summary: &'a ContainerSummary,
    /// Everybody, this one among them.
    pub(super) all: &'a [ContainerSummary],
    pub(super) window_ns: u64,
    /// CPUs of the host.
    pub(super) cpus: u64,
    /// CPU time that was taken from all of its threads.
    pub(super) stolen: Option<Stolen>,
    pub(super) frames: &'a Frames<'a>,
    /// The threads, those with most time on the CPU first.
    pub(super) groups: Vec<Group>,
    spent: [u64; Spent::COUNT],
    kinds: Vec<Spent>,
}

impl<'a> Patient<'a> {
    pub(super) fn new(
        (row, summary): (&'a Container, &'a ContainerSummary),
        all: &'a [ContainerSummary],
        host: HostFacts,
        frames: &'a Frames<'a>,
    ) -> Self {
        let mut this = Self {
            row,
            summary,
            all,
            window_ns: host.window_ns,
            cpus: host.cpus,
            stolen: host.stolen,
            frames,
            groups: Vec::new(),
            spent: [0; Spent::COUNT],
            kinds: Vec::with_capacity(row.stacks.len()),
        };
        this.divide();
        this
    }

    fn divide(&mut self) {
        // Who reads from a connection that was made to it waits for work.
        let asks = self.workload().is_none_or(|it| {
            it.looks == 0 || it.peers.iter().any(|peer| peer.waiting != Waiting::Name)
        });
        let handed_on = HandedOn::of(self.moments());
        let mut groups: HashMap<String, Group> = HashMap::new();
        for stack in &self.row.stacks {
            let of_thread = waits::thread(&stack.thread);
            let is_blocked = !matches!(
                stack.state,
                State::OnCpuUser | State::OnCpuKernel | State::RunQueue | State::Throttled
            );
            let mut kind = spent(
                stack.state,
                stack.syscall.as_deref(),
                self.frames.says(stack),
            );
            if kind == Spent::Idle
                && stack.state == State::BlockedLock
                && self.frames.says(stack).next().is_none()
                && handed_on.among_themselves(self.frames, stack)
            {
                kind = Spent::Lock;
            }
            if is_blocked && of_thread.is_some() || kind == Spent::Network && !asks {
                kind = Spent::Idle;
            }
            self.kinds.push(kind);
            self.spent[kind as usize] += stack.time_ns;
            let name = without_digits(&stack.thread);
            let group = groups.entry(name).or_default();
            group.spent[kind as usize] += stack.time_ns;
            if kind != Spent::Runs {
                group.waits[kind as usize] += stack.count;
            } else {
                let says = self.frames.says(stack).chain(of_thread);
                match says
                    .into_iter()
                    .find(|it| matches!(it, Says::Collects | Says::Compiles))
                {
                    Some(Says::Collects) => group.collects_ns += stack.time_ns,
                    Some(Says::Compiles) => group.compiles_ns += stack.time_ns,
                    _ => {}
                }
            }
            if stack.state == State::BlockedPoll
                && !self.frames.says(stack).any(|it| it == Says::Aside)
            {
                group.polls += stack.count;
                group.polls_ns += stack.time_ns;
            }
        }
        let mut of_states: HashMap<State, u64> = HashMap::new();
        for stack in &self.row.stacks {
            *of_states.entry(stack.state).or_default() += stack.time_ns;
        }
        // What no stack stands for.
        for (state, ns) in &self.row.time_ns {
            let rest = ns.saturating_sub(of_states.get(state).copied().unwrap_or(0));
            let kind = match spent(*state, None, std::iter::empty()) {
                Spent::Network | Spent::Sleep => Spent::Idle,
                kind => kind,
            };
            self.spent[kind as usize] += rest;
        }
        self.groups = groups
            .into_iter()
            .map(|(name, group)| Group { name, ..group })
            .collect();
        self.groups.sort_by(|a, b| {
            let key = |it: &Group| (it.of(Spent::Runs), it.all_ns());
            key(b).cmp(&key(a)).then_with(|| a.name.cmp(&b.name))
        });
    }

    /// Thread time that was spent on this.
    pub(super) const fn ns(&self, spent: Spent) -> u64 {
        self.spent[spent as usize]
    }

    /// Time in which threads ran, or could have run.
    pub(super) fn runnable_ns(&self) -> u64 {
        [Spent::Runs, Spent::Queues, Spent::Throttled]
            .into_iter()
            .fold(0, |sum, spent| sum.saturating_add(self.ns(spent)))
    }

    /// Wall-clock time in which an answer of this kind was outstanding, from looks at sockets; `None` if nobody looked.
    fn outstanding_ns(&self, wanted: impl Fn(Waiting) -> bool) -> Option<u64> {
        let processes = self.workload().filter(|it| it.looks > 0)?;
        let peers = processes.peers.iter().filter(|peer| wanted(peer.waiting));
        let most = peers.map(|peer| peer.looks).max().unwrap_or(0);
        Some((self.window_ns as f64 * most as f64 / processes.looks as f64) as u64)
    }

    /// Time spent waiting for peers: of threads that sleep in a call on a socket, or by what is outstanding where threads wait
    /// for any event.
    pub(super) fn network_ns(&self) -> u64 {
        let outstanding = self.outstanding_ns(|it| it != Waiting::Name).unwrap_or(0);
        self.ns(Spent::Network).max(outstanding)
    }

    /// The same for addresses of names.
    pub(super) fn name_ns(&self) -> u64 {
        let outstanding = self.outstanding_ns(|it| it == Waiting::Name).unwrap_or(0);
        self.ns(Spent::Name).max(outstanding)
    }

    /// Sleeps that follow each other, a few in a second: those of who works in steps. A thread that sleeps for minutes keeps
    /// nobody waiting.
    pub(super) fn sleep_ns(&self) -> u64 {
        let groups = self.groups.iter().filter(|it| self.sleeps_often(it));
        groups.fold(0, |sum, it| sum.saturating_add(it.of(Spent::Sleep)))
    }

    /// Whether these threads sleep again and again.
    pub(super) fn sleeps_often(&self, group: &Group) -> bool {
        const MEAN_NS: u64 = 400_000_000;
        let (times, ns) = (group.waits[Spent::Sleep as usize], group.of(Spent::Sleep));
        times >= 10 && ns / times < MEAN_NS && ns > self.window_ns / 4
    }

    /// All time that was not spent waiting for work.
    pub(super) fn active_ns(&self) -> u64 {
        let parts = [
            self.runnable_ns(),
            self.ns(Spent::Disk),
            self.ns(Spent::Fault),
            self.ns(Spent::Lock),
            self.network_ns(),
            self.name_ns(),
            self.sleep_ns(),
        ];
        parts.into_iter().fold(0, u64::saturating_add)
    }

    /// This time as a part of all active time.
    pub(super) fn share(&self, ns: u64) -> f64 {
        ns as f64 / (self.active_ns().max(1)) as f64
    }

    /// Whether this much time is enough to be a cause of anything.
    pub(super) fn is_notable(&self, ns: u64) -> bool {
        ns as f64 >= self.window_ns as f64 * FLOOR
    }

    /// CPUs' worth of time that it used.
    pub(super) fn used_cores(&self) -> f64 {
        self.ns(Spent::Runs) as f64 / self.window_ns.max(1) as f64
    }

    /// CPUs that its threads may run on.
    pub(super) fn cpus_allowed(&self) -> u64 {
        let list = self.limits().and_then(|it| it.cpu.cpus.as_ref());
        let by_cpuset = list.map_or(0, |list| crate::views::workload::count_cpus(list));
        match by_cpuset {
            0 => self.cpus.max(1),
            cpus => u64::from(cpus),
        }
    }

    pub(super) fn limits(&self) -> Option<&'a Limits> {
        self.row.measured.get()
    }

    pub(super) fn workload(&self) -> Option<&'a Workload> {
        self.row.measured.get()
    }

    /// What it runs, as far as that was looked at.
    pub(super) fn programs(&self) -> &'a [Program] {
        self.workload().map_or(&[], |it| &it.programs)
    }

    pub(super) fn moments(&self) -> Option<&'a Moments> {
        self.row.measured.get()
    }

    pub(super) fn calls(&self) -> Option<&'a Syscalls> {
        self.row.measured.get()
    }

    /// The stacks that the time was spent in that `is_meant`.
    pub(super) fn stacks(
        &self,
        is_meant: impl Fn(&Stack, Spent) -> bool,
    ) -> impl Iterator<Item = &'a Stack> {
        let row = self.row;
        let kinds = row.stacks.iter().zip(&self.kinds);
        let meant: Vec<&Stack> = kinds
            .filter(|(stack, kind)| is_meant(stack, **kind))
            .map(|(stack, _)| stack)
            .collect();
        meant.into_iter()
    }

    /// The functions of the program with most of this time, most first.
    pub(super) fn places(&self, is_meant: impl Fn(&Stack, Spent) -> bool) -> Vec<Place> {
        self.ranked(is_meant, |stack| {
            self.frames.place(stack).map(|(id, _)| self.frames.name(id))
        })
    }

    /// The function with most of this time, if it is one that somebody could change, not the kernel's, and has a fifth of it.
    pub(super) fn function(&self, is_meant: impl Fn(&Stack, Spent) -> bool) -> Option<Place> {
        let places = self.places(is_meant).into_iter();
        let mut own = places.filter(|it| !it.function.ends_with(" [k]"));
        own.next().filter(|it| it.ns.saturating_mul(5) >= it.of_ns)
    }

    /// The innermost functions that are the program's, or a library's that not every program has.
    pub(super) fn innermost(&self, is_meant: impl Fn(&Stack, Spent) -> bool) -> Vec<Place> {
        self.ranked(is_meant, |stack| {
            self.frames.innermost(stack).map(|id| self.frames.name(id))
        })
    }

    /// Threads with most of this time.
    pub(super) fn threads(&self, is_meant: impl Fn(&Stack, Spent) -> bool) -> Vec<Place> {
        self.ranked(is_meant, |stack| Some(without_digits(&stack.thread)))
    }

    /// System calls with most of this time.
    pub(super) fn in_calls(&self, is_meant: impl Fn(&Stack, Spent) -> bool) -> Vec<Place> {
        self.ranked(is_meant, |stack| {
            stack.syscall.as_deref().map(str::to_owned)
        })
    }

    fn ranked(
        &self,
        is_meant: impl Fn(&Stack, Spent) -> bool,
        name: impl Fn(&Stack) -> Option<String>,
    ) -> Vec<Place> {
        let mut sums: HashMap<String, u64> = HashMap::new();
        let mut of_ns = 0_u64;
        for stack in self.stacks(is_meant) {
            of_ns = of_ns.saturating_add(stack.time_ns);
            if let Some(name) = name(stack) {
                let sum = sums.entry(name).or_default();
                *sum = sum.saturating_add(stack.time_ns);
            }
        }
        let mut places: Vec<Place> = sums
            .into_iter()
            .map(|(function, ns)| Place {
                function,
                ns,
                of_ns,
            })
            .collect();
        places.sort_by(|a, b| b.ns.cmp(&a.ns).then_with(|| a.function.cmp(&b.function)));
        places
    }

    /// `81.2% in f(), 9.0% in g()`, those that have a tenth at least, and are not the kernel's; `None` if none has.
    pub(super) fn mostly(&self, is_meant: impl Fn(&Stack, Spent) -> bool) -> Option<String> {
        let places = self.places(is_meant);
        let words: Vec<String> = places
            .iter()
            .filter(|it| it.ns.saturating_mul(10) >= it.of_ns && !it.function.ends_with(" [k]"))
            .take(3)
            .map(Place::words)
            .collect();
        (!words.is_empty()).then(|| words.join(", "))
    }

    /// What the kernel says of how long some or all in it were kept from work by want of a resource (PSI); `None` where that is
    /// not worth a word.
    pub(super) fn pressure(
        &self,
        of: impl Fn(&Psi) -> Option<Stall>,
        file: &str,
    ) -> Option<String> {
        let stall = of(self.row.measured.get()?)?;
        self.is_notable(stall.some_ns).then(|| {
            format!(
                "{file}: some {}, full {} of the time",
                units::percent(stall.some_ns, self.window_ns),
                units::percent(stall.full_ns, self.window_ns)
            )
        })
    }

    /// Whether this time on the CPU collects garbage.
    pub(super) fn collects(&self, stack: &Stack) -> bool {
        let says = self.frames.says(stack).chain(waits::thread(&stack.thread));
        says.into_iter().any(|it| it == Says::Collects)
    }

    /// Name for commands and sentences.
    pub(super) fn name(&self) -> &str {
        &self.summary.name
    }
}
