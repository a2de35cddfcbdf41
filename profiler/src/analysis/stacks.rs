//! The stacks of a window by name: frames of one function are one, wherever in it they are, and so are stacks that
//! differ in nothing else.

use foldhash::{HashMap, HashMapExt as _};

use super::names::{self, Name};
use super::states::ViewState;
use crate::model::{Container, FrameTable, Stack, Window, stand_in};

/// Number of a name in [`Stacks::names`]. Numbers are in the order of the names.
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

/// All stacks of a window, each once, in the order container, state, thread, frames.
#[derive(Clone, Debug, Default)]
pub struct Stacks {
    names: Vec<Name>,
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
    /// The stacks of `window`, whose rows the summary shows in this `order`.
    ///
    /// They add up to the containers' times: what no stack stands for has an entry that says so.
    #[must_use]
    pub fn of(window: &Window, order: &[usize]) -> Self {
        let mut naming = Naming::new(&window.frames);
        for (position, index) in order.iter().enumerate() {
            let container = &window.rows[*index];
            for stack in &container.stacks {
                naming.push(position, None, stack);
            }
            naming.push_rest(position, container);
        }
        naming.builder.finish()
    }

    /// The on-CPU stacks of quota periods that ended throttled: a part of [`of`](Self::of).
    #[must_use]
    pub fn of_burnt_quota(window: &Window, order: &[usize]) -> Self {
        let mut naming = Naming::new(&window.frames);
        for (position, index) in order.iter().enumerate() {
            for stack in &window.rows[*index].stacks {
                if stack.burnt_quota {
                    naming.push(position, None, stack);
                }
            }
        }
        naming.builder.finish()
    }

    /// The stacks of threads in a system call, with the call as outermost frame: a part of [`of`](Self::of).
    #[must_use]
    pub fn of_calls(window: &Window, order: &[usize]) -> Self {
        let mut naming = Naming::new(&window.frames);
        for (position, index) in order.iter().enumerate() {
            for stack in &window.rows[*index].stacks {
                if let Some(call) = &stack.syscall {
                    naming.push(position, Some(call), stack);
                }
            }
        }
        naming.builder.finish()
    }

    /// The stacks that are meant, by the position of their container in the summary and their own in its row: a part of
    /// [`of`](Self::of).
    #[must_use]
    pub fn of_part(
        window: &Window,
        order: &[usize],
        is_meant: impl Fn(usize, usize) -> bool,
    ) -> Self {
        let mut naming = Naming::new(&window.frames);
        for (position, index) in order.iter().enumerate() {
            for (at, stack) in window.rows[*index].stacks.iter().enumerate() {
                if is_meant(position, at) {
                    naming.push(position, None, stack);
                }
            }
        }
        naming.builder.finish()
    }

    /// Every name, in order.
    #[must_use]
    pub fn names(&self) -> &[Name] {
        &self.names
    }

    /// The name with this number.
    #[must_use]
    pub fn name(&self, id: NameId) -> &Name {
        &self.names[id as usize]
    }

    /// The number of this name, if it occurs.
    #[must_use]
    pub fn find(&self, name: &Name) -> Option<NameId> {
        let found = self.names.binary_search(name);
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

/// How many frames from the root two stacks have in common, if they are of one thread in one state.
#[must_use]
pub fn shared_frames(one: &StackRef<'_>, other: &StackRef<'_>) -> usize {
    let owner = |stack: &StackRef<'_>| (stack.container, stack.state, stack.thread);
    if owner(one) != owner(other) {
        return 0;
    }
    let pairs = one.frames.iter().zip(other.frames);
    pairs.take_while(|(one, other)| one == other).count()
}

/// Turns a window's stacks into stacks by name.
struct Naming<'a> {
    builder: Builder,
    table: &'a FrameTable,
    /// Names of the table's frames, made when first used.
    known: Vec<Option<NameId>>,
    /// Those of threads and system calls.
    plain: HashMap<&'a str, NameId>,
    frames: Vec<NameId>,
}

impl<'a> Naming<'a> {
    fn new(table: &'a FrameTable) -> Self {
        Self {
            builder: Builder::default(),
            table,
            known: vec![None; table.frames().len()],
            plain: HashMap::new(),
            frames: Vec::new(),
        }
    }

    fn push(&mut self, container: usize, call: Option<&'a str>, stack: &'a Stack) {
        let Self {
            builder,
            table,
            known,
            plain,
            frames,
        } = self;
        let mut plain = |name: &'a str| {
            *plain
                .entry(name)
                .or_insert_with(|| builder.name(Name::plain(name)))
        };
        let thread = plain(&stack.thread);
        frames.clear();
        frames.extend(call.map(plain));
        frames.extend(stack.frames.iter().rev().map(|id| {
            *known[id.0 as usize]
                .get_or_insert_with(|| builder.name(Name::of_frame(table.frame(*id))))
        }));
        if stack.frames.is_empty() {
            frames.push(builder.name(Name::stand_in(stand_in::NO_STACK)));
        }
        let state = ViewState::of(stack.state);
        builder.push(container, state, thread, frames, stack.time_ns);
    }

    fn push_rest(&mut self, position: usize, container: &Container) {
        for (state, ns) in rest(container) {
            let thread = self.builder.name(Name::stand_in(names::ANY_THREAD));
            let frame = self.builder.name(Name::stand_in(names::rest_of(state)));
            self.builder.push(position, state, thread, &[frame], ns);
        }
    }
}

/// The time of a container that none of its stacks accounts for, state by state.
pub fn rest(container: &Container) -> impl Iterator<Item = (ViewState, u64)> {
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
    ids: HashMap<Name, NameId>,
    names: Vec<Name>,
    entries: Vec<Entry>,
    frames: Vec<NameId>,
}

impl Builder {
    /// The number of this name until [`finish`](Self::finish), new or known.
    pub fn name(&mut self, name: Name) -> NameId {
        if let Some(id) = self.ids.get(&name) {
            return *id;
        }
        let id = NameId::try_from(self.names.len()).unwrap_or(NameId::MAX);
        self.names.push(name.clone());
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
    fn is_full(&self, more_frames: usize) -> bool {
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
                .map(|id| names[id as usize].clone())
                .collect(),
            entries,
            frames,
        }
    }
}
