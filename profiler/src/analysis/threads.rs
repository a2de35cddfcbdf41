//! Threads as views group them, and which of these groups are idle.
//!
//! A host has hundreds of threads that wait for work all the time. Their waits are whole windows long each and
//! would dwarf whatever somebody is looking for, so views leave them out and say so.

use foldhash::{HashMap, HashMapExt as _, HashSet};

use super::names::{self, Name};
use super::stacks::{NameId, StackRef, Stacks};
use super::states::{Meaning, ViewState};

/// Threads that worked or were stalled for less than this share of their time are idle.
pub const IDLE_BELOW_PERCENT: u64 = 1;

/// The threads of some stacks.
#[derive(Clone, Debug)]
pub struct Threads {
    /// Their groups.
    pub groups: ThreadGroups,
    /// Which of these are idle.
    pub idle: IdleThreads,
}

impl Threads {
    /// The threads of all stacks of a window; `is_kernel` tells the container of the kernel's threads.
    #[must_use]
    pub fn of(stacks: &Stacks, is_kernel: impl Fn(usize) -> bool) -> Self {
        let groups = ThreadGroups::of(stacks);
        Self {
            idle: IdleThreads::of(stacks, &groups, is_kernel),
            groups,
        }
    }

    /// The threads of a `part` of the stacks: they are idle by what they do in the `whole`.
    #[must_use]
    pub fn of_part(
        &self,
        part: &Stacks,
        whole: &Stacks,
        is_kernel: impl Fn(usize) -> bool,
    ) -> Self {
        let groups = ThreadGroups::of(part);
        let mut threads: HashSet<(usize, NameId)> = HashSet::default();
        threads.extend(part.iter().map(|stack| (stack.container, stack.thread)));
        let idle = threads
            .into_iter()
            .filter(|(container, thread)| {
                let thread = whole.find(part.name(*thread));
                thread.is_some_and(|it| self.idle.is_idle(*container, self.groups.group(it)))
            })
            .map(|(container, thread)| (container, groups.group(thread)))
            .collect();
        Self {
            idle: IdleThreads::with(idle, part, &groups, is_kernel),
            groups,
        }
    }
}

/// Threads whose names differ in digits only are one group: pools number their threads.
#[derive(Clone, Debug)]
pub struct ThreadGroups {
    /// First thread with the same pattern, for each name that is a thread's, else the name itself.
    first: Vec<NameId>,
    /// Name of the groups with more than one member.
    patterns: HashMap<NameId, String>,
}

impl ThreadGroups {
    /// The groups of these stacks' threads.
    #[must_use]
    pub fn of(stacks: &Stacks) -> Self {
        let mut by_pattern: HashMap<String, NameId> = HashMap::new();
        let mut first: Vec<NameId> = (0..stacks.names().len() as NameId).collect();
        let mut patterns = HashMap::new();
        let mut threads: Vec<NameId> = stacks.iter().map(|stack| stack.thread).collect();
        threads.sort_unstable();
        threads.dedup();
        for thread in threads {
            let pattern = without_digits(&stacks.name(thread).text);
            let leader = *by_pattern.entry(pattern.clone()).or_insert(thread);
            if leader != thread {
                patterns.insert(leader, pattern);
            }
            first[thread as usize] = leader;
        }
        Self { first, patterns }
    }

    /// The group of this thread, by one of its members.
    #[must_use]
    pub fn group(&self, thread: NameId) -> NameId {
        self.first[thread as usize]
    }

    /// The name of a group: its only thread's, or what its threads' names have in common.
    #[must_use]
    pub fn name<'a>(&'a self, stacks: &'a Stacks, group: NameId) -> &'a str {
        self.patterns
            .get(&group)
            .map_or_else(|| &*stacks.name(group).text, String::as_str)
    }
}

pub(crate) fn without_digits(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut in_number = false;
    for c in name.chars() {
        let digit = c.is_ascii_digit();
        if !digit {
            out.push(c);
        } else if !in_number {
            out.push('*');
        }
        in_number = digit;
    }
    out
}

/// Which groups of threads are idle, container by container.
#[derive(Clone, Debug)]
pub struct IdleThreads {
    idle: HashSet<(usize, NameId)>,
    /// The container of the kernel's threads.
    kernel: Option<usize>,
    /// The name of threads that are not known.
    unknown: Option<NameId>,
    /// Time of idle threads in states that mean waiting, for each container and state.
    waits: HashMap<(usize, ViewState), u64>,
}

impl IdleThreads {
    /// Finds the idle groups. Kernel threads, which `is_kernel` tells by their container, wait for work and nothing
    /// else: all their waits are idle. So are, for want of knowledge, those of which only the container is known.
    #[must_use]
    pub fn of(stacks: &Stacks, groups: &ThreadGroups, is_kernel: impl Fn(usize) -> bool) -> Self {
        let mut times: HashMap<(usize, NameId), (u64, u64)> = HashMap::new();
        for stack in stacks.iter() {
            let (busy, all) = times
                .entry((stack.container, groups.group(stack.thread)))
                .or_default();
            *all = all.saturating_add(stack.ns);
            if stack.state.meaning() != Meaning::Blocked {
                *busy = busy.saturating_add(stack.ns);
            }
        }
        let idle = times
            .into_iter()
            .filter(|(_, (busy, all))| *busy < all / 100 * IDLE_BELOW_PERCENT)
            .map(|(key, _)| key)
            .collect();
        Self::with(idle, stacks, groups, is_kernel)
    }

    fn with(
        idle: HashSet<(usize, NameId)>,
        stacks: &Stacks,
        groups: &ThreadGroups,
        is_kernel: impl Fn(usize) -> bool,
    ) -> Self {
        let mut this = Self {
            idle,
            kernel: None,
            unknown: stacks.find(&Name::stand_in(names::ANY_THREAD)),
            waits: HashMap::new(),
        };
        for stack in stacks.iter() {
            if this.kernel.is_none() && is_kernel(stack.container) {
                this.kernel = Some(stack.container);
            }
            if this.waits_idly(&stack, groups) {
                let sum = this
                    .waits
                    .entry((stack.container, stack.state))
                    .or_default();
                *sum = sum.saturating_add(stack.ns);
            }
        }
        this
    }

    /// Whether this stack is a wait of an idle thread.
    #[must_use]
    pub fn waits_idly(&self, stack: &StackRef<'_>, groups: &ThreadGroups) -> bool {
        stack.state.meaning() == Meaning::Blocked
            && (self.kernel == Some(stack.container)
                || self.unknown == Some(stack.thread)
                || self.is_idle(stack.container, groups.group(stack.thread)))
    }

    /// Whether this group of threads of a container is idle.
    #[must_use]
    pub fn is_idle(&self, container: usize, group: NameId) -> bool {
        self.idle.contains(&(container, group))
    }

    /// Time that idle threads of this container waited in this state.
    #[must_use]
    pub fn wait_ns(&self, container: usize, state: ViewState) -> u64 {
        self.waits.get(&(container, state)).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::{IdleThreads, ThreadGroups};
    use crate::analysis::names::{ANY_THREAD, Name};
    use crate::analysis::stacks::{Builder, Stacks};
    use crate::analysis::states::ViewState;
    use crate::model::State;

    fn stacks(entries: &[(usize, &str, State, u64)]) -> Stacks {
        let mut builder = Builder::default();
        for (container, thread, state, ns) in entries {
            let thread = match *thread {
                ANY_THREAD => Name::stand_in(ANY_THREAD),
                thread => Name::plain(thread),
            };
            let (thread, frame) = (builder.name(thread), builder.name(Name::plain("f")));
            let state = ViewState::of(*state);
            builder.push(*container, state, thread, &[frame], *ns);
        }
        builder.finish()
    }

    #[test]
    fn numbered_threads_are_one_group() {
        let stacks = stacks(&[
            (0, "worker-1", State::OnCpuUser, 1),
            (0, "worker-12", State::OnCpuUser, 1),
            (0, "main", State::OnCpuUser, 1),
        ]);
        let groups = ThreadGroups::of(&stacks);
        let mut names: Vec<&str> = stacks
            .iter()
            .map(|stack| groups.name(&stacks, groups.group(stack.thread)))
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["main", "worker-*", "worker-*"]);
    }

    #[test]
    fn idle_is_less_than_a_percent_of_work_and_lost_time() {
        let poll = ViewState::of(State::BlockedPoll);
        let stacks = stacks(&[
            // 1 % busy, half of it stalled: not idle.
            (0, "busy", State::OnCpuKernel, 500),
            (0, "busy", State::BlockedDisk, 500),
            (0, "busy", State::BlockedPoll, 99_000),
            // Just below.
            (0, "idle", State::OnCpuUser, 999),
            (0, "idle", State::BlockedPoll, 99_001),
            // Nobody's in particular.
            (2, "[any]", State::OnCpuUser, 900),
            (2, "[any]", State::BlockedPoll, 100),
            // Of another container: a group of its own.
            (1, "idle", State::OnCpuUser, 99_000),
            (1, "idle", State::BlockedPoll, 1_000),
        ]);
        let groups = ThreadGroups::of(&stacks);
        let idle = IdleThreads::of(&stacks, &groups, |_| false);
        assert_eq!(idle.wait_ns(0, poll), 99_001);
        assert_eq!(idle.wait_ns(1, poll), 0);
        assert_eq!(idle.wait_ns(2, poll), 100);
        let idle_ns: u64 = stacks
            .iter()
            .filter(|stack| idle.waits_idly(stack, &groups))
            .map(|stack| stack.ns)
            .sum();
        assert_eq!(idle_ns, 99_001 + 100, "its work is not left out");
        let kernel = IdleThreads::of(&stacks, &groups, |container| container == 1);
        assert_eq!(kernel.wait_ns(1, poll), 1_000, "busy as it may be");
    }
}
