//! The graphs there are: what each shows, in which file, under which name.

use super::tree::Section;
use crate::analysis::View;
use crate::analysis::states::ViewState;
use crate::model::StateGroup;

/// What a graph shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Graph {
    /// Time in all states, by wall clock: container, state, thread, stack.
    WallClock,
    /// Time on the CPU: container, thread, stack.
    OnCpu,
    /// Time asleep: container, reason, thread, stack.
    OffCpu,
    /// Time waiting for a CPU: container, thread, stack.
    RunQueue,
    /// Time stopped by a quota, and beside it the code that burnt the quota.
    Throttled,
    /// Time in system calls, in whatever state: container, call, stack.
    Syscalls,
    /// Time on the CPU that only containers pay for: layer, container, thread, stack.
    Isolation,
}

impl Graph {
    /// Every graph, in the order in which they are drawn.
    pub const ALL: [Self; 7] = [
        Self::WallClock,
        Self::OnCpu,
        Self::OffCpu,
        Self::RunQueue,
        Self::Throttled,
        Self::Syscalls,
        Self::Isolation,
    ];

    /// What it is called on the command line.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::WallClock => "wall-clock",
            Self::OnCpu => "on-cpu",
            Self::OffCpu => "off-cpu",
            Self::RunQueue => "run-queue",
            Self::Throttled => "throttled",
            Self::Syscalls => "syscalls",
            Self::Isolation => "isolation",
        }
    }

    /// The file that holds it.
    #[must_use]
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::WallClock => "flamegraph.svg",
            Self::OnCpu => "on-cpu.svg",
            Self::OffCpu => "off-cpu.svg",
            Self::RunQueue => "run-queue.svg",
            Self::Throttled => "throttled.svg",
            Self::Syscalls => "syscalls.svg",
            Self::Isolation => "isolation.svg",
        }
    }

    /// How its title begins.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::WallClock => "Wall clock",
            Self::OnCpu => "On-CPU",
            Self::OffCpu => "Off-CPU",
            Self::RunQueue => "Run queue",
            Self::Throttled => "Throttled",
            Self::Syscalls => "System calls",
            Self::Isolation => "Isolation tax",
        }
    }

    /// The group of states that it shows; `None` for all.
    pub(super) const fn group(self) -> Option<StateGroup> {
        match self {
            Self::WallClock | Self::Syscalls => None,
            Self::OnCpu | Self::Isolation => Some(StateGroup::OnCpu),
            Self::OffCpu => Some(StateGroup::Blocked),
            Self::RunQueue => Some(StateGroup::RunQueue),
            Self::Throttled => Some(StateGroup::Throttled),
        }
    }

    /// Whether stacks in this state are in it.
    #[must_use]
    pub fn shows(self, state: ViewState) -> bool {
        self.group().is_none_or(|group| group == state.group())
    }

    /// Whether states are frames of their own: where there is more than one, and no call to stand for them.
    #[must_use]
    pub const fn has_states(self) -> bool {
        matches!(self, Self::WallClock | Self::OffCpu)
    }

    /// Whether the outermost frame of each stack is a system call, which stands in the thread's place.
    pub(super) const fn has_calls(self) -> bool {
        matches!(self, Self::Syscalls)
    }

    /// Whether what is drawn side by side is of one time, and not each of its own.
    pub(super) const fn has_layers(self) -> bool {
        matches!(self, Self::Isolation)
    }

    /// What is drawn side by side.
    pub(super) fn sections(self, view: &View) -> Vec<Section<'_>> {
        let main = Section {
            title: None,
            stacks: &view.stacks,
            whole: &view.stacks,
            threads: &view.threads,
            graph: self,
        };
        if self.has_calls() {
            let stacks = &view.calls;
            return vec![Section { stacks, ..main }];
        }
        if self.has_layers() {
            let layers = view.isolation.iter();
            return layers
                .map(|(layer, stacks)| Section {
                    title: Some(layer.row().title),
                    stacks,
                    ..main
                })
                .collect();
        }
        if self != Self::Throttled {
            return vec![main];
        }
        vec![
            Section {
                title: Some("was stopped by a quota"),
                ..main
            },
            Section {
                title: Some("ran in periods that ended throttled: this burnt the quota"),
                stacks: &view.burnt_quota,
                graph: Self::OnCpu,
                ..main
            },
        ]
    }
}
