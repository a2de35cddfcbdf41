//! The stacks of both sides together, by name.

use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::analysis::stacks::Stacks;
use crate::analysis::states::ViewState;
use crate::compare::outcome::Comparison;
use crate::model::Window;
use crate::output::flamegraph::Graph;
use crate::output::flamegraph::diff::Times;

/// A stack: the row's position among the pairs, its state, its frames from the root as folded stacks have them.
type Key = (usize, ViewState, Vec<String>);

/// Stacks of matched rows. Threads are left out: they have other names from one recording to the next.
#[derive(Debug, Default)]
pub struct BothStacks {
    /// Time in A and in B, in ns.
    times: BTreeMap<Key, (u64, u64)>,
    names: Vec<String>,
    /// What B's time of a row is to be multiplied by to stand beside A's.
    scales: Vec<f64>,
}

impl BothStacks {
    /// The stacks of rows that are compared.
    #[must_use]
    pub fn of(a: &Window, b: &Window, comparison: &Comparison) -> Self {
        let mut both = Self::default();
        for pair in &comparison.pairs {
            both.names.push(pair.name.clone());
        }
        let rows = comparison.rows.iter().filter(|row| !row.whole);
        both.scales = rows.map(|row| row.scale_b).collect();
        let order = |of: fn(&crate::compare::Pair) -> usize| -> Vec<usize> {
            comparison.pairs.iter().map(of).collect()
        };
        both.add(&Stacks::of(a, &order(|pair| pair.a)), |times| &mut times.0);
        both.add(&Stacks::of(b, &order(|pair| pair.b)), |times| &mut times.1);
        both
    }

    fn add(&mut self, stacks: &Stacks, side: fn(&mut (u64, u64)) -> &mut u64) {
        for stack in stacks.iter() {
            let frames = stack.frames.iter().map(|frame| {
                let name = stacks.name(*frame);
                format!("{}{}", name.text, name.kind.mark())
            });
            let key = (stack.container, stack.state, frames.collect());
            let sum = side(self.times.entry(key).or_default());
            *sum = sum.saturating_add(stack.ns);
        }
    }

    /// Writes `row;state;outermost;…;leaf A B`, which differential flame graph tools read. Times are as they were measured.
    ///
    /// # Errors
    /// What the writer fails with.
    pub fn write_folded(&self, out: &mut impl Write) -> io::Result<()> {
        for ((row, state, frames), (a, b)) in &self.times {
            let name = self.names[*row].replace(';', ":");
            writeln!(out, "{name};{};{} {a} {b}", state.name(), frames.join(";"))?;
        }
        Ok(())
    }

    /// The stacks that a graph shows, by row where there are several, and B's by A's length or work.
    #[must_use]
    pub fn of_graph(&self, graph: Graph) -> BTreeMap<Vec<String>, Times> {
        let mut shown: BTreeMap<Vec<String>, Times> = BTreeMap::new();
        for ((row, state, frames), (a, b)) in &self.times {
            if !graph.shows(*state) {
                continue;
            }
            let mut path = Vec::with_capacity(frames.len() + 2);
            if self.names.len() > 1 {
                path.push(self.names[*row].replace(';', ":"));
            }
            if graph.has_states() {
                path.push(state.title().to_owned());
            }
            path.extend_from_slice(frames);
            let times = shown.entry(path).or_default();
            *times = (times.0 + *a as f64, times.1 + *b as f64 * self.scales[*row]);
        }
        shown
    }
}
