//! Stacks merged into a tree, without the frames that nobody could see.

use std::collections::HashMap;

use super::Graph;
use super::colour::Class;
use crate::model::StateGroup;
use crate::output::names::{INLINED_SUFFIX, KERNEL_SUFFIX};
use crate::output::stacks::{NameId, StackRef, Stacks};

/// What the levels below the stacks' root are.
pub(super) struct Levels<'a> {
    /// Which states, and whether they are a level.
    pub(super) graph: Graph,
    /// Positions of the containers to show, in the order to show them.
    pub(super) containers: &'a [usize],
    /// Labels of all containers.
    pub(super) labels: Vec<&'a str>,
}

/// A name as it is drawn: with the mark of its class at the end, which `svg::finish` takes out again.
type Drawn = u32;

#[derive(Clone, Copy)]
struct Node {
    name: Drawn,
    depth: u32,
    ns: u64,
}

impl Node {
    /// Containers always are: inferno's total is the sum of what it draws.
    const fn is_worth(&self, floor: u64) -> bool {
        self.depth == 0 || self.ns >= floor
    }
}

/// The frames to draw, parents before children.
pub(super) struct Tree<'a> {
    nodes: Vec<Node>,
    drawn: DrawnNames<'a>,
    total_ns: u64,
}

impl<'a> Tree<'a> {
    /// Merges the stacks, leaving out frames below `min_share` of the whole, and the smallest beyond
    /// `max_frames`. What is left out still counts in its parents.
    pub(super) fn build(
        stacks: &'a Stacks,
        levels: &Levels<'a>,
        min_share: f64,
        max_frames: usize,
    ) -> Self {
        let threads = ThreadGroups::of(stacks);
        let mut place = vec![None; levels.labels.len()];
        for (order, position) in levels.containers.iter().enumerate() {
            place[*position] = Some(order);
        }
        let place = |stack: &StackRef<'_>| place[stack.container];
        let mut shown: Vec<usize> = (0..stacks.len())
            .filter(|position| {
                let stack = stacks.get(*position);
                levels.graph.shows(stack.state) && place(&stack).is_some()
            })
            .collect();
        // Almost in order already: only threads that share a group are not.
        shown.sort_by(|a, b| {
            let (a, b) = (stacks.get(*a), stacks.get(*b));
            let key = |s: &StackRef<'_>| (place(s), s.state, threads.group(s.thread));
            key(&a).cmp(&key(&b)).then_with(|| a.frames.cmp(b.frames))
        });
        let total_ns = shown.iter().fold(0_u64, |sum, position| {
            sum.saturating_add(stacks.get(*position).ns)
        });
        let floor = (total_ns as f64 * min_share) as u64;

        let mut drawn = DrawnNames::new(stacks.names().len());
        let mut nodes = Growing::new(floor);
        let mut path = Vec::new();
        for position in shown {
            let stack = stacks.get(position);
            let thread = threads.group(stack.thread);
            path.clear();
            path.push(drawn.label(levels.labels[stack.container]));
            if levels.graph == Graph::WallClock {
                path.push(drawn.state(stack.state));
            }
            path.push(drawn.thread(threads.name(stacks, thread), thread));
            path.extend(
                stack
                    .frames
                    .iter()
                    .map(|frame| drawn.frame(stacks.name(*frame), *frame, stack.state)),
            );
            nodes.add(&path, stack.ns);
        }
        let mut nodes = nodes.finish();
        keep_largest(&mut nodes, max_frames);
        Self {
            nodes,
            drawn,
            total_ns,
        }
    }

    /// Time of the whole graph.
    pub(super) const fn total_ns(&self) -> u64 {
        self.total_ns
    }

    /// Names that occur in the graph, with their classes.
    pub(super) fn names(&self) -> impl Iterator<Item = (&str, Class)> {
        let mut used = vec![false; self.drawn.names.len()];
        for node in &self.nodes {
            used[node.name as usize] = true;
        }
        self.drawn
            .names
            .iter()
            .zip(used)
            .filter(|(_, used)| *used)
            .map(|((name, class), _)| (name.as_str(), *class))
    }

    /// One line for each frame that has time of its own, a frame before the frames that it called.
    pub(super) fn folded(&self) -> Vec<String> {
        let mut lines = Vec::new();
        // Byte length of the prefix at each open depth.
        let mut path: Vec<usize> = Vec::new();
        let mut prefix = String::new();
        for (i, node) in self.nodes.iter().enumerate() {
            path.truncate(node.depth as usize);
            prefix.truncate(path.last().copied().unwrap_or(0));
            if node.depth > 0 {
                prefix.push(';');
            }
            prefix.push_str(&self.drawn.names[node.name as usize].0);
            path.push(prefix.len());
            let own = node.ns.saturating_sub(self.children_ns(i));
            if own > 0 {
                lines.push(format!("{prefix} {own}"));
            }
        }
        lines
    }

    fn children_ns(&self, parent: usize) -> u64 {
        let depth = self.nodes[parent].depth;
        self.nodes[parent + 1..]
            .iter()
            .take_while(|node| node.depth > depth)
            .filter(|node| node.depth == depth + 1)
            .fold(0, |sum, node| sum.saturating_add(node.ns))
    }
}

/// Builds the nodes from paths in order; a subtree below the floor is dropped when it is complete.
struct Growing {
    nodes: Vec<Node>,
    open: Vec<usize>,
    floor: u64,
}

impl Growing {
    const fn new(floor: u64) -> Self {
        Self {
            nodes: Vec::new(),
            open: Vec::new(),
            floor,
        }
    }

    fn add(&mut self, path: &[Drawn], ns: u64) {
        let shared = self
            .open
            .iter()
            .zip(path)
            .take_while(|(node, name)| self.nodes[**node].name == **name)
            .count();
        self.close(shared);
        for (depth, name) in path.iter().enumerate().skip(shared) {
            self.open.push(self.nodes.len());
            self.nodes.push(Node {
                name: *name,
                depth: depth as u32,
                ns: 0,
            });
        }
        for node in &self.open {
            let sum = &mut self.nodes[*node].ns;
            *sum = sum.saturating_add(ns);
        }
    }

    fn close(&mut self, depth: usize) {
        while self.open.len() > depth {
            if let Some(node) = self.open.pop()
                && !self.nodes[node].is_worth(self.floor)
            {
                // Its children have even less: they are gone already.
                self.nodes.truncate(node);
            }
        }
    }

    fn finish(mut self) -> Vec<Node> {
        self.close(0);
        self.nodes
    }
}

/// Drops the smallest until about `max` are left. A parent has at least its child's time, so no child loses
/// its parent.
fn keep_largest(nodes: &mut Vec<Node>, max: usize) {
    if nodes.len() <= max {
        return;
    }
    let mut times: Vec<u64> = nodes.iter().map(|node| node.ns).collect();
    let (_, least, _) = times.select_nth_unstable_by(max - 1, |a, b| b.cmp(a));
    let least = *least;
    let with_ties = nodes.iter().filter(|node| node.ns >= least).count();
    let limit = if with_ties <= 2 * max {
        least
    } else {
        least + 1
    };
    nodes.retain(|node| node.is_worth(limit));
}

/// Threads whose names differ in digits only are one: pools number their threads.
struct ThreadGroups {
    /// First thread with the same pattern, for each name that is a thread's, else the name itself.
    first: Vec<NameId>,
    /// Name of the groups with more than one member.
    patterns: HashMap<NameId, String>,
}

impl ThreadGroups {
    fn of(stacks: &Stacks) -> Self {
        let mut by_pattern: HashMap<String, NameId> = HashMap::new();
        let mut first: Vec<NameId> = (0..stacks.names().len() as NameId).collect();
        let mut patterns = HashMap::new();
        let mut threads: Vec<NameId> = stacks.iter().map(|stack| stack.thread).collect();
        threads.sort_unstable();
        threads.dedup();
        for thread in threads {
            let pattern = without_digits(stacks.name(thread));
            let leader = *by_pattern.entry(pattern.clone()).or_insert(thread);
            if leader != thread {
                patterns.insert(leader, pattern);
            }
            first[thread as usize] = leader;
        }
        Self { first, patterns }
    }

    fn group(&self, thread: NameId) -> NameId {
        self.first[thread as usize]
    }

    fn name<'a>(&'a self, stacks: &'a Stacks, group: NameId) -> &'a str {
        self.patterns
            .get(&group)
            .map_or_else(|| stacks.name(group), String::as_str)
    }
}

fn without_digits(name: &str) -> String {
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

/// Names with their marks, each made once.
struct DrawnNames<'a> {
    names: Vec<(String, Class)>,
    labels: HashMap<&'a str, Drawn>,
    states: HashMap<StateGroup, Drawn>,
    threads: HashMap<NameId, Drawn>,
    /// Of every frame of every stack: no place for hashing.
    frames: Vec<[Option<Drawn>; StateGroup::ALL.len()]>,
}

impl<'a> DrawnNames<'a> {
    fn new(names: usize) -> Self {
        Self {
            names: Vec::new(),
            labels: HashMap::new(),
            states: HashMap::new(),
            threads: HashMap::new(),
            frames: vec![[None; StateGroup::ALL.len()]; names],
        }
    }

    fn label(&mut self, label: &'a str) -> Drawn {
        let names = &mut self.names;
        *self
            .labels
            .entry(label)
            .or_insert_with(|| drawn(names, label, Class::Container))
    }

    fn state(&mut self, state: StateGroup) -> Drawn {
        let names = &mut self.names;
        *self
            .states
            .entry(state)
            .or_insert_with(|| drawn(names, state.title(), Class::State(state)))
    }

    fn thread(&mut self, name: &str, id: NameId) -> Drawn {
        let names = &mut self.names;
        *self
            .threads
            .entry(id)
            .or_insert_with(|| drawn(names, name, Class::Thread))
    }

    fn frame(&mut self, name: &str, id: NameId, state: StateGroup) -> Drawn {
        let names = &mut self.names;
        *self.frames[id as usize][state as usize].get_or_insert_with(|| {
            if let Some(plain) = name.strip_suffix(KERNEL_SUFFIX) {
                drawn(names, plain, Class::Kernel(state))
            } else if let Some(plain) = name.strip_suffix(INLINED_SUFFIX) {
                drawn(names, plain, Class::Inlined(state))
            } else {
                drawn(names, name, Class::User(state))
            }
        })
    }
}

fn drawn(names: &mut Vec<(String, Class)>, name: &str, class: Class) -> Drawn {
    names.push((format!("{name}{}", class.mark()), class));
    (names.len() - 1) as Drawn
}
