//! The stacks of a recording by name: what `stacks.folded` holds, and what flame graphs and the report's
//! function tables are made from.
//!
//! `record` makes it from a profile, `report` from the file. Both then go the same way, so that a recording
//! printed again is the same text, and a graph drawn again the same graph.

use foldhash::{HashMap, HashMapExt as _};
use std::sync::Arc;

use super::names;
use super::states::ViewState;
use crate::model::{Container, FrameTable, Profile, Stack, stand_in};

/// Number of a name in [`Stacks::names`]. Numbers are in the order of the names' bytes.
pub type NameId = u32;

/// One distinct stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    container: u32,
    state: ViewState,
    thread: NameId,
    /// Where its frames are in `frames`.
    first: u32,
    len: u32,
    ns: u64,
}

impl Entry {
    const fn range(&self) -> std::ops::Range<usize> {
        self.first as usize..self.first as usize + self.len as usize
    }
}

/// A stack as views read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackRef<'a> {
    /// Position of the container in the summary.
    pub container: usize,
    /// What the thread was doing.
    pub state: ViewState,
    /// The thread's name.
    pub thread: NameId,
    /// Root first, at least one.
    pub frames: &'a [NameId],
    /// Time spent.
    pub ns: u64,
}

/// All stacks of a recording, each once, in the order container, state, thread, frames.
#[derive(Clone, Debug, Default)]
pub struct Stacks {
    names: Vec<Arc<str>>,
    entries: Vec<Entry>,
    frames: Vec<NameId>,
}

impl PartialEq for Stacks {
    fn eq(&self, other: &Self) -> bool {
        // Where the frames of a stack are stored does not matter.
        self.names == other.names && self.iter().eq(other.iter())
    }
}

impl Stacks {
    /// The stacks of `profile`, whose containers the summary shows in this `order`.
    ///
    /// They add up to the containers' times: what no stack stands for has an entry that says so.
    #[must_use]
    pub fn of(profile: &Profile, order: &[usize]) -> Self {
        let mut naming = Naming::new(&profile.frames);
        for (position, index) in order.iter().enumerate() {
            let container = &profile.containers[*index];
            for stack in &container.stacks {
                naming.push(position, None, stack);
            }
            naming.push_rest(position, container);
        }
        naming.builder.finish()
    }

    /// The on-CPU stacks of quota periods that ended throttled: a part of [`of`](Self::of).
    #[must_use]
    pub fn of_burnt_quota(profile: &Profile, order: &[usize]) -> Self {
        let mut naming = Naming::new(&profile.frames);
        for (position, index) in order.iter().enumerate() {
            for stack in &profile.containers[*index].stacks {
                if stack.burnt_quota {
                    naming.push(position, None, stack);
                }
            }
        }
        naming.builder.finish()
    }

    /// The stacks of threads in a system call, with the call as outermost frame: a part of [`of`](Self::of).
    #[must_use]
    pub fn of_calls(profile: &Profile, order: &[usize]) -> Self {
        let mut naming = Naming::new(&profile.frames);
        for (position, index) in order.iter().enumerate() {
            for stack in &profile.containers[*index].stacks {
                if let Some(call) = &stack.syscall {
                    naming.push(position, Some(call), stack);
                }
            }
        }
        naming.builder.finish()
    }

    /// Every name, in the order of bytes.
    #[must_use]
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// The name with this number.
    #[must_use]
    pub fn name(&self, id: NameId) -> &str {
        &self.names[id as usize]
    }

    /// The number of this name, if it occurs.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<NameId> {
        let found = self.names.binary_search_by(|other| (**other).cmp(name));
        found.ok().map(|position| position as NameId)
    }

    /// Number of distinct stacks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no stack at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The stacks in order.
    pub fn iter(&self) -> impl Iterator<Item = StackRef<'_>> {
        (0..self.entries.len()).map(|position| self.get(position))
    }

    /// The stack at this position of the order.
    #[must_use]
    pub fn get(&self, position: usize) -> StackRef<'_> {
        let entry = &self.entries[position];
        StackRef {
            container: entry.container as usize,
            state: entry.state,
            thread: entry.thread,
            frames: &self.frames[entry.range()],
            ns: entry.ns,
        }
    }
}

/// Turns a profile's stacks into stacks by name.
struct Naming<'a> {
    builder: Builder,
    table: &'a FrameTable,
    /// Names of the table's frames, made when first used.
    known: Vec<Option<NameId>>,
    threads: HashMap<&'a str, NameId>,
    frames: Vec<NameId>,
}

impl<'a> Naming<'a> {
    fn new(table: &'a FrameTable) -> Self {
        Self {
            builder: Builder::default(),
            table,
            known: vec![None; table.frames().len()],
            threads: HashMap::new(),
            frames: Vec::new(),
        }
    }

    fn push(&mut self, container: usize, call: Option<&str>, stack: &'a Stack) {
        let Self {
            builder,
            table,
            known,
            threads,
            frames,
        } = self;
        let thread = *threads
            .entry(&stack.thread)
            .or_insert_with(|| builder.name(&names::field(&stack.thread)));
        frames.clear();
        frames.extend(call.map(|call| builder.name(&names::field(call))));
        frames.extend(stack.frames.iter().rev().map(|id| {
            *known[id.0 as usize]
                .get_or_insert_with(|| builder.name(&names::frame(table.frame(*id))))
        }));
        if stack.frames.is_empty() {
            frames.push(builder.name(stand_in::NO_STACK));
        }
        let state = ViewState::of(stack.state);
        builder.push(container, state, thread, frames, stack.time_ns);
    }

    fn push_rest(&mut self, position: usize, container: &Container) {
        for (state, ns) in rest(container) {
            let thread = self.builder.name(names::ANY_THREAD);
            let frame = self.builder.name(names::rest_of(state));
            self.builder.push(position, state, thread, &[frame], ns);
        }
    }
}

/// The time of a container that none of its stacks accounts for, state by state.
pub(super) fn rest(container: &Container) -> impl Iterator<Item = (ViewState, u64)> {
    let mut rest = [0_u64; ViewState::ALL.len()];
    for (state, ns) in &container.time_ns {
        let rest = &mut rest[ViewState::of(*state).index()];
        *rest = rest.saturating_add(*ns);
    }
    for stack in &container.stacks {
        let rest = &mut rest[ViewState::of(stack.state).index()];
        *rest = rest.saturating_sub(stack.time_ns);
    }
    ViewState::ALL
        .into_iter()
        .zip(rest)
        .filter(|(_, ns)| *ns > 0)
}

/// Collects stacks in any order.
#[derive(Debug, Default)]
pub struct Builder {
    ids: HashMap<Arc<str>, NameId>,
    names: Vec<Arc<str>>,
    entries: Vec<Entry>,
    frames: Vec<NameId>,
}

impl Builder {
    /// The number of this name if it is known.
    #[must_use]
    pub fn known_name(&self, name: &str) -> Option<NameId> {
        self.ids.get(name).copied()
    }

    /// The number of this name until [`finish`](Self::finish), new or known. The name is taken as it is.
    pub fn name(&mut self, name: &str) -> NameId {
        if let Some(id) = self.known_name(name) {
            return id;
        }
        let id = NameId::try_from(self.names.len()).unwrap_or(NameId::MAX);
        let name: Arc<str> = name.into();
        self.names.push(Arc::clone(&name));
        self.ids.insert(name, id);
        id
    }

    /// Adds one stack, root first; one without time is left out.
    pub fn push(
        &mut self,
        container: usize,
        state: ViewState,
        thread: NameId,
        frames: &[NameId],
        ns: u64,
    ) {
        if ns == 0 || self.is_full(frames.len()) {
            return;
        }
        self.entries.push(Entry {
            container: container as u32,
            state,
            thread,
            first: self.frames.len() as u32,
            len: frames.len() as u32,
            ns,
        });
        self.frames.extend_from_slice(frames);
    }

    /// Whether a stack with so many more frames no longer fits: 4 billion frames are 16 GB.
    #[must_use]
    pub fn is_full(&self, more_frames: usize) -> bool {
        self.frames.len().saturating_add(more_frames) > u32::MAX as usize
    }

    /// Puts names and stacks in order and merges equal stacks.
    #[must_use]
    pub fn finish(self) -> Stacks {
        let Self {
            names,
            mut entries,
            mut frames,
            ids,
        } = self;
        drop(ids);
        let mut by_name: Vec<NameId> = (0..names.len() as NameId).collect();
        by_name.sort_unstable_by(|a, b| names[*a as usize].cmp(&names[*b as usize]));
        let mut rank = vec![0; names.len()];
        for (position, id) in by_name.iter().enumerate() {
            rank[*id as usize] = position as NameId;
        }
        for frame in &mut frames {
            *frame = rank[*frame as usize];
        }
        for entry in &mut entries {
            entry.thread = rank[entry.thread as usize];
        }
        let key = |entry: &Entry| {
            (
                entry.container,
                entry.state,
                entry.thread,
                &frames[entry.range()],
            )
        };
        entries.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
        entries.dedup_by(|next, kept| {
            let same = key(next) == key(kept);
            if same {
                kept.ns = kept.ns.saturating_add(next.ns);
            }
            same
        });
        Stacks {
            names: by_name
                .into_iter()
                .map(|id| Arc::clone(&names[id as usize]))
                .collect(),
            entries,
            frames,
        }
    }
}
