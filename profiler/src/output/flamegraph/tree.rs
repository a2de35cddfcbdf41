//! Stacks merged into a tree, without the frames that nobody could see.

use foldhash::{HashMap, HashMapExt as _};
use std::cmp::Reverse;

use super::colour::Class;
use super::drawn::{Drawn, DrawnNames};
use super::graph::Graph;
use crate::analysis::stacks::{NameId, StackRef, Stacks, shared_frames};
use crate::analysis::threads::{IdleThreads, ThreadGroups, Threads};

/// Stacks to draw as one tree.
#[derive(Clone, Copy)]
pub(super) struct Section<'a> {
    /// The frame below the containers, where there are several sections.
    pub(super) title: Option<&'static str>,
    /// The stacks.
    pub(super) stacks: &'a Stacks,
    /// All stacks of the recording, which tell what threads are idle.
    pub(super) whole: &'a Stacks,
    /// Their threads.
    pub(super) threads: &'a Threads,
    /// Which of their states are drawn, and whether states are frames.
    pub(super) graph: Graph,
}

/// Which containers to draw, and how much of them.
pub(super) struct Limits<'a> {
    /// Positions of the containers to show, in the order to show them.
    pub(super) containers: &'a [usize],
    /// Labels of all containers.
    pub(super) labels: &'a [&'a str],
    /// Position of the container of the kernel's threads.
    pub(super) kernel: Option<usize>,
    /// Draw the waits of idle threads, too.
    pub(super) with_idle: bool,
    /// Leave out frames below this share of their container's time.
    pub(super) min_share: f64,
    /// Draw about so many frames.
    pub(super) max_frames: usize,
}

#[derive(Clone, Copy)]
struct Node {
    name: Drawn,
    depth: u32,
    ns: u64,
}

/// The frames to draw, parents before children.
pub(super) struct Tree<'a> {
    nodes: Vec<Node>,
    drawn: DrawnNames<'a>,
    total_ns: u64,
    idle_ns: u64,
}

impl<'a> Tree<'a> {
    /// Merges the stacks, leaving out what `limits` say. Frames too small to draw still count in their parents.
    pub(super) fn build(section: &Section<'a>, limits: &Limits<'a>) -> Self {
        let stacks = section.stacks;
        let of_part;
        let Threads {
            groups: threads,
            idle,
        } = if std::ptr::eq(stacks, section.whole) {
            section.threads
        } else {
            let is_kernel = |container| limits.kernel == Some(container);
            of_part = section.threads.of_part(stacks, section.whole, is_kernel);
            &of_part
        };
        let mut place = vec![None; limits.labels.len()];
        for (order, position) in limits.containers.iter().enumerate() {
            place[*position] = Some(order);
        }
        let place = |stack: &StackRef<'_>| place[stack.container];
        let mut shown: Vec<usize> = (0..stacks.len())
            .filter(|position| {
                let stack = stacks.get(*position);
                section.graph.shows(stack.state) && place(&stack).is_some()
            })
            .collect();
        let idle_ns = if limits.with_idle {
            0
        } else {
            leave_out_idle(&mut shown, stacks, threads, idle)
        };
        // Almost in order already: work comes before waits, and threads may share a group.
        let has_calls = section.graph.has_calls();
        let calls = if has_calls {
            sums_of_calls(&shown, stacks)
        } else {
            HashMap::new()
        };
        shown.sort_by(|a, b| {
            let (a, b) = (stacks.get(*a), stacks.get(*b));
            let key = |s: &StackRef<'_>| {
                let state = (s.state.meaning(), s.state);
                let ns = calls.get(&(s.container, s.frames[0]));
                let call = ns.map(|ns| (Reverse(*ns), s.frames[0]));
                let thread = (!has_calls).then(|| threads.group(s.thread));
                (place(s), call, state, thread)
            };
            key(&a).cmp(&key(&b)).then_with(|| a.frames.cmp(b.frames))
        });
        let mut sums = vec![0_u64; limits.labels.len()];
        for position in &shown {
            let stack = stacks.get(*position);
            let sum = &mut sums[stack.container];
            *sum = sum.saturating_add(stack.ns);
        }

        let mut drawn = DrawnNames::new(stacks.names().len());
        let container_depth = u32::from(section.title.is_some());
        let mut nodes = Growing::new(container_depth);
        let mut path: Vec<Drawn> = Vec::new();
        let mut last: Option<StackRef<'_>> = None;
        for position in shown {
            let stack = stacks.get(position);
            let floor = (sums[stack.container] as f64 * limits.min_share) as u64;
            // Neighbours share most of their frames, and then everything above them.
            if let Some(last) = last.replace(stack)
                && let shared = shared_frames(&last, &stack)
                && shared > 0
            {
                path.truncate(path.len() - last.frames.len() + shared);
                path.extend(
                    stack.frames[shared..]
                        .iter()
                        .map(|frame| drawn.frame(stacks.name(*frame), *frame, stack.state)),
                );
                nodes.add(&path, stack.ns, floor);
                continue;
            }
            let thread = threads.group(stack.thread);
            path.clear();
            path.extend(section.title.map(|title| drawn.section(title)));
            path.push(drawn.label(limits.labels[stack.container]));
            if section.graph.has_states() {
                path.push(drawn.state(stack.state));
            }
            let frames = match stack.frames.split_first() {
                Some((call, frames)) if has_calls => {
                    path.push(drawn.call(&stacks.name(*call).text, *call));
                    frames
                }
                _ => {
                    path.push(drawn.thread(threads.name(stacks, thread), thread));
                    stack.frames
                }
            };
            path.extend(
                frames
                    .iter()
                    .map(|frame| drawn.frame(stacks.name(*frame), *frame, stack.state)),
            );
            nodes.add(&path, stack.ns, floor);
        }
        let mut nodes = nodes.finish();
        keep_largest(&mut nodes, limits.max_frames, container_depth);
        Self {
            nodes,
            drawn,
            total_ns: sums.iter().fold(0, |sum, ns| sum.saturating_add(*ns)),
            idle_ns,
        }
    }

    /// Time of idle threads' waits that are not in the graph.
    pub(super) const fn idle_ns(&self) -> u64 {
        self.idle_ns
    }

    /// Time of the whole graph.
    pub(super) const fn total_ns(&self) -> u64 {
        self.total_ns
    }

    /// Names that occur in the graph, with their classes.
    pub(super) fn names(&self) -> impl Iterator<Item = (&str, Class)> {
        let mut used = vec![false; self.drawn.len()];
        for node in &self.nodes {
            used[node.name as usize] = true;
        }
        (0..self.drawn.len())
            .filter(move |name| used[*name])
            .map(|name| self.drawn.get(name as Drawn))
    }

    /// One line for each frame that has time of its own, a frame before the frames that it called. Times are
    /// multiplied by `scale`.
    pub(super) fn folded(&self, scale: f64) -> Vec<(String, u64)> {
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
            prefix.push_str(self.drawn.get(node.name).0);
            path.push(prefix.len());
            let own = node.ns.saturating_sub(self.children_ns(i));
            // Exact where nothing is stretched.
            let own = if scale > 1.0 {
                (own as f64 * scale).round() as u64
            } else {
                own
            };
            if own > 0 {
                lines.push((prefix.clone(), own));
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

/// The time in each system call, container by container.
fn sums_of_calls(shown: &[usize], stacks: &Stacks) -> HashMap<(usize, NameId), u64> {
    let mut sums: HashMap<(usize, NameId), u64> = HashMap::new();
    for position in shown {
        let stack = stacks.get(*position);
        let sum = sums.entry((stack.container, stack.frames[0])).or_default();
        *sum = sum.saturating_add(stack.ns);
    }
    sums
}

/// Takes the idle waits out of `shown`, and returns their sum; nothing where idle threads are all there is.
fn leave_out_idle(
    shown: &mut Vec<usize>,
    stacks: &Stacks,
    threads: &ThreadGroups,
    idle: &IdleThreads,
) -> u64 {
    // A graph of nothing but waits of idle threads shows them: it would have nothing else.
    let waits_idly = |position: &usize| idle.waits_idly(&stacks.get(*position), threads);
    if shown.iter().all(waits_idly) {
        return 0;
    }
    let mut idle_ns: u64 = 0;
    shown.retain(|position| {
        let stack = stacks.get(*position);
        let left_out = idle.waits_idly(&stack, threads);
        if left_out {
            idle_ns = idle_ns.saturating_add(stack.ns);
        }
        !left_out
    });
    idle_ns
}

/// Builds the nodes from paths in order; a subtree below the floor is dropped when it is complete.
struct Growing {
    nodes: Vec<Node>,
    open: Vec<usize>,
    /// Containers are drawn however little time they have, because inferno's total is the sum of what it draws.
    container_depth: u32,
    /// That of the container whose nodes are open.
    floor: u64,
}

impl Growing {
    const fn new(container_depth: u32) -> Self {
        Self {
            nodes: Vec::new(),
            open: Vec::new(),
            container_depth,
            floor: 0,
        }
    }

    fn add(&mut self, path: &[Drawn], ns: u64, floor: u64) {
        let shared = self
            .open
            .iter()
            .zip(path)
            .take_while(|(node, name)| self.nodes[**node].name == **name)
            .count();
        self.close(shared);
        self.floor = floor;
        for (depth, name) in path.iter().enumerate().skip(shared) {
            self.open.push(self.nodes.len());
            self.nodes.push(Node {
                name: *name,
                depth: depth as u32,
                ns: 0,
            });
        }
        if let Some(leaf) = self.open.last() {
            self.give(*leaf, ns);
        }
    }

    fn give(&mut self, node: usize, ns: u64) {
        let sum = &mut self.nodes[node].ns;
        *sum = sum.saturating_add(ns);
    }

    fn close(&mut self, depth: usize) {
        while self.open.len() > depth {
            let Some(node) = self.open.pop() else {
                return;
            };
            // A node is given its time by its children when they are complete.
            let Node { depth, ns, .. } = self.nodes[node];
            if let Some(parent) = self.open.last() {
                self.give(*parent, ns);
            }
            if depth > self.container_depth && ns < self.floor {
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
fn keep_largest(nodes: &mut Vec<Node>, max: usize, container_depth: u32) {
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
    nodes.retain(|node| node.depth <= container_depth || node.ns >= limit);
}
