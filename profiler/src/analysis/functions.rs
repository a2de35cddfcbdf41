//! Self and total time of functions, per container.

use serde::Serialize;

use super::names::{Name, NameKind};
use super::stacks::{NameId, Stacks};
use crate::model::StateGroup;

/// One function of one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Whether it is the kernel's.
    pub kernel: bool,
    /// Time as the leaf of the stack.
    pub self_ns: u64,
    /// Time anywhere on the stack, once for each stack however often it recurs.
    pub total_ns: u64,
}

/// The functions of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Functions {
    /// Most self time first.
    pub top: Vec<Function>,
    /// Number of all functions, shown or not.
    pub distinct: usize,
    /// Time of all stacks, also of those without a function.
    pub total_ns: u64,
}

/// The `limit` functions with most self time of each of `containers` containers, in `group`. A limit of 0
/// means all, also those that only call others.
///
/// A function counts as one whether it was inlined or called.
#[must_use]
pub fn top(stacks: &Stacks, containers: usize, group: StateGroup, limit: usize) -> Vec<Functions> {
    let canonical = canonical_names(stacks);
    let mut result = vec![Functions::default(); containers];
    let mut sums = Sums::new(stacks.names().len());
    let mut current = None;
    for stack in stacks.iter().filter(|stack| stack.state.group() == group) {
        if let Some(container) = current
            && container != stack.container
        {
            sums.take(stacks, limit, &mut result[container]);
        }
        current = Some(stack.container);
        sums.add(
            stack.frames.iter().map(|f| canonical[*f as usize]),
            stack.ns,
        );
        let total = &mut result[stack.container].total_ns;
        *total = total.saturating_add(stack.ns);
    }
    if let Some(container) = current {
        sums.take(stacks, limit, &mut result[container]);
    }
    result
}

/// For each name the one that its function goes by: an inlined function's plain name, if that occurs too.
fn canonical_names(stacks: &Stacks) -> Vec<NameId> {
    (0..)
        .zip(stacks.names())
        .map(|(id, name)| {
            let plain = (name.kind == NameKind::Inlined).then(|| Name {
                kind: NameKind::Plain,
                ..name.clone()
            });
            plain.and_then(|plain| stacks.find(&plain)).unwrap_or(id)
        })
        .collect()
}

/// Sums for one container at a time; `touched` keeps the cost independent of the number of names.
struct Sums {
    self_ns: Vec<u64>,
    total_ns: Vec<u64>,
    seen_in: Vec<u64>,
    stack: u64,
    touched: Vec<NameId>,
}

impl Sums {
    fn new(names: usize) -> Self {
        Self {
            self_ns: vec![0; names],
            total_ns: vec![0; names],
            seen_in: vec![0; names],
            stack: 0,
            touched: Vec::new(),
        }
    }

    fn add(&mut self, frames: impl Iterator<Item = NameId>, ns: u64) {
        self.stack += 1;
        let mut leaf = None;
        for id in frames {
            leaf = Some(id);
            let i = id as usize;
            if self.seen_in[i] == self.stack {
                continue;
            }
            self.seen_in[i] = self.stack;
            if self.total_ns[i] == 0 {
                self.touched.push(id);
            }
            self.total_ns[i] = self.total_ns[i].saturating_add(ns);
        }
        if let Some(id) = leaf {
            let sum = &mut self.self_ns[id as usize];
            *sum = sum.saturating_add(ns);
        }
    }

    fn take(&mut self, stacks: &Stacks, limit: usize, into: &mut Functions) {
        let touched = std::mem::take(&mut self.touched);
        let mut ids: Vec<NameId> = touched
            .iter()
            .copied()
            .filter(|id| !stacks.name(*id).is_stand_in())
            .collect();
        into.distinct = ids.len();
        ids.sort_unstable_by_key(|id| {
            let i = *id as usize;
            (
                std::cmp::Reverse(self.self_ns[i]),
                std::cmp::Reverse(self.total_ns[i]),
                *id,
            )
        });
        let shown = if limit == 0 {
            ids.len()
        } else {
            let leaves = ids.partition_point(|id| self.self_ns[*id as usize] > 0);
            limit.min(leaves)
        };
        into.top = ids[..shown]
            .iter()
            .map(|id| {
                let name = stacks.name(*id);
                Function {
                    name: name.text.to_string(),
                    kernel: name.kind == NameKind::Kernel,
                    self_ns: self.self_ns[*id as usize],
                    total_ns: self.total_ns[*id as usize],
                }
            })
            .collect();
        for id in touched {
            self.self_ns[id as usize] = 0;
            self.total_ns[id as usize] = 0;
        }
    }
}
