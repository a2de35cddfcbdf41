//! What a situation is, as data.

/// Something that goes wrong in a container, or does not, and what ctprof is to say of it.
pub(super) struct Situation {
    /// Its name for `--only`.
    pub(super) name: &'static str,
    /// What it is, as a row of the table.
    pub(super) is: &'static str,
    /// Started in this order. The first one that is [`Container::judged`] is what ctprof is asked about.
    pub(super) containers: &'static [Container],
    /// What has to hold by the kernel's and Docker's own accounts, or the situation is not what it is called.
    pub(super) truth: &'static [Truth],
    pub(super) expected: Expected,
    /// What the advice comes to, for those whose effect can be measured; empty for the others.
    pub(super) changes: &'static [Change],
    /// From when on it is watched.
    pub(super) from: From,
}

/// From when on a situation is watched.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// Its first work, and a few seconds on top.
    Work,
    /// The start of its container.
    Birth,
}

/// What ctprof has to say.
pub(super) enum Expected {
    Finding {
        /// Ids of which one has to come first.
        first: &'static [&'static str],
        /// Regular expressions, each of which has to match a title or a line of evidence of findings with these ids.
        evidence: &'static [&'static str],
        /// The same for their advice.
        advice: &'static [&'static str],
    },
    /// Nothing above `info`, with the same for evidence of what it says at all.
    Healthy { evidence: &'static [&'static str] },
}

/// A container of a situation.
#[derive(Clone, Copy)]
pub(super) struct Container {
    pub(super) name: &'static str,
    /// Options of `docker run`, each with its value behind `=`.
    pub(super) options: &'static [&'static str],
    /// What it runs. `/app/NAME` is built from the source of that name in `xtask/situations`, `@NAME` is a program of this
    /// machine.
    pub(super) command: &'static [&'static str],
    /// Whether ctprof is asked about it.
    pub(super) judged: bool,
}

impl Container {
    /// The one that ctprof is asked about.
    pub(super) const fn judged(
        name: &'static str,
        options: &'static [&'static str],
        command: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            options,
            command,
            judged: true,
        }
    }

    /// One that is beside it: a peer, a client, a neighbour.
    pub(super) const fn beside(
        name: &'static str,
        options: &'static [&'static str],
        command: &'static [&'static str],
    ) -> Self {
        Self {
            judged: false,
            ..Self::judged(name, options, command)
        }
    }
}

/// What the advice comes to for one container.
pub(super) struct Change {
    pub(super) container: &'static str,
    /// Options that take the place of those of the same name; one without a value takes it away. A value that begins with `?` is the number that the advice
    /// names behind this option, and what follows the `?` where it names none.
    pub(super) options: &'static [&'static str],
    /// Another command, where there is one.
    pub(super) command: Option<&'static [&'static str]>,
    /// It is not started at all.
    pub(super) gone: bool,
}

impl Change {
    pub(super) const fn options(container: &'static str, options: &'static [&'static str]) -> Self {
        Self {
            container,
            options,
            command: None,
            gone: false,
        }
    }

    pub(super) const fn command(container: &'static str, command: &'static [&'static str]) -> Self {
        Self {
            container,
            options: &[],
            command: Some(command),
            gone: false,
        }
    }

    pub(super) const fn without(container: &'static str) -> Self {
        Self {
            container,
            options: &[],
            command: None,
            gone: true,
        }
    }
}

/// A fact about the judged container while it is watched.
#[derive(Debug, Clone, Copy)]
pub(super) enum Truth {
    /// CPUs that it uses, by the account of its cgroup.
    Cores(f64, f64),
    /// Share of periods in which its quota stopped it, by `cpu.stat`.
    Throttled(f64, f64),
    /// How often per second it ran into its memory limit, by `memory.failcnt` or `memory.events`.
    LimitHits(f64),
    /// Starts over again after it was killed for its memory, by Docker.
    Killed(u64),
    /// Of the looks at which some thread of it sleeps, the share at which one has a kernel function with one of these words in
    /// its name on its stack (`/proc/PID/task/TID/stack`).
    Waits(&'static [&'static str], f64),
    /// Processes that the host starts per second.
    Births(f64),
    /// Threads that it has.
    Threads(u64),
    /// Connections per second that were dropped at full listen queues in the network namespace of this container.
    Overflows(&'static str, f64),
    /// Pieces of work per second.
    Work(f64, f64),
}
