//! A row window by window: what every figure of it is read off.

use std::cell::OnceCell;
use std::collections::HashMap;

use crate::analysis::isolation::{Functions, Layer, Payer, layers_of_stacks};
use crate::analysis::names::{Name, NameKind};
use crate::model::{Container, FrameTable, Slice, SlicePart, State, StateGroup, ViewId, Window};

/// More windows than this say no more of how much they vary, and only take longer: those of long recordings are longer.
const MOST_WINDOWS: usize = 300;

/// A window with fewer samples than this says too little of what each stands for.
const FEW_SAMPLES: f64 = 20.0;

/// A function in one of the ledger's quarters. Inlined or called, it is one function.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FunctionKey {
    pub(super) group: StateGroup,
    pub(super) name: String,
    pub(super) kernel: bool,
}

/// What a function has.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct FunctionTime {
    /// As the leaf of the stack: ns, and samples or intervals.
    pub(super) own: (f64, f64),
    /// Anywhere on the stack, once for each.
    pub(super) total: (f64, f64),
}

/// A row's windows.
#[derive(Debug)]
pub(super) struct Series<'a> {
    pub(super) row: &'a Container,
    /// Seconds of each window.
    pub(super) seconds: Vec<f64>,
    /// Slices of each window.
    pub(super) windows: Vec<Vec<&'a Slice>>,
    /// Functions of each of the row's stacks, the leaf first.
    functions: Vec<Vec<u32>>,
    known: Vec<FunctionKey>,
    /// Time on the CPU that a sample stands for, in each window.
    pub(super) ns_a_sample: Vec<f64>,
    frames: &'a FrameTable,
    /// Layers of isolation of each of the row's stacks.
    layers: OnceCell<Vec<Option<Layer>>>,
}

impl<'a> Series<'a> {
    pub(super) fn of(window: &Window, row: &'a Container, frames: &'a FrameTable) -> Self {
        let together = together(window);
        let pieces = window.slices_ns.chunks(together);
        let seconds: Vec<f64> = pieces
            .map(|ns| ns.iter().map(|ns| *ns as f64).sum::<f64>() / 1e9)
            .collect();
        let mut windows = vec![Vec::new(); seconds.len()];
        for slice in &row.slices {
            if let Some(window) = windows.get_mut(slice.at as usize / together) {
                window.push(slice);
            }
        }
        let ns_a_sample = ns_a_sample(row, &windows);
        let (functions, known) = functions(row, frames);
        Self {
            row,
            seconds,
            windows,
            functions,
            known,
            ns_a_sample,
            frames,
            layers: OnceCell::new(),
        }
    }

    /// How many windows a row of it has.
    pub(super) fn windows_of(window: &Window) -> usize {
        let together = together(window);
        window.slices_ns.len().div_ceil(together)
    }

    /// A figure of each window.
    pub(super) fn sums(&self, figure: impl Fn(&Slice) -> f64) -> Vec<f64> {
        let windows = self.windows.iter();
        windows
            .map(|slices| slices.iter().map(|slice| figure(slice)).sum())
            .collect()
    }

    /// Length of all windows, in seconds.
    pub(super) fn row_seconds(&self) -> f64 {
        self.seconds.iter().sum()
    }

    /// Thread time of each window, in seconds.
    pub(super) fn thread_seconds(&self) -> Vec<f64> {
        self.sums(|slice| {
            let off_cpu: u64 = slice.off_cpu_ns.iter().map(|(_, ns)| *ns).sum();
            (slice.on_cpu_ns + off_cpu) as f64 / 1e9
        })
    }

    /// Times of all functions over the whole recording.
    pub(super) fn function_times(&self) -> HashMap<&FunctionKey, FunctionTime> {
        let mut times = vec![FunctionTime::default(); self.known.len()];
        for (stack, functions) in self.row.stacks.iter().zip(&self.functions) {
            add(
                &mut times,
                functions,
                stack.time_ns as f64,
                stack.count as f64,
            );
        }
        self.known.iter().zip(times).collect()
    }

    /// The times of these functions in each window: for each function, one entry a window.
    pub(super) fn function_series(&self, wanted: &[&FunctionKey]) -> Vec<Vec<FunctionTime>> {
        let numbers: HashMap<&FunctionKey, u32> = wanted.iter().copied().zip(0..).collect();
        let known: Vec<Option<u32>> = self
            .known
            .iter()
            .map(|key| numbers.get(key).copied())
            .collect();
        let mut series = vec![vec![FunctionTime::default(); self.windows.len()]; wanted.len()];
        for (at, slices) in self.windows.iter().enumerate() {
            for part in slices.iter().flat_map(|slice| &slice.stacks) {
                let place = part.of as usize;
                let (Some(functions), Some(stack)) =
                    (self.functions.get(place), self.row.stacks.get(place))
                else {
                    continue;
                };
                let count = part.count as f64;
                let ns = match stack.state.group() {
                    StateGroup::OnCpu => count * self.ns_a_sample[at],
                    _ => part.ns as f64,
                };
                for (depth, function) in functions.iter().enumerate() {
                    let Some(number) = known[*function as usize] else {
                        continue;
                    };
                    let time = &mut series[number as usize][at];
                    add_time(time, depth == 0, ns, count);
                }
            }
        }
        series
    }

    /// Time on the CPU of each window in this state, as its samples are, and how many they are.
    pub(super) fn on_cpu(&self, state: State) -> (Vec<f64>, f64) {
        self.sampled(|place| {
            let stack = self.row.stacks.get(place);
            stack.is_some_and(|stack| stack.state == state)
        })
    }

    /// The same in this layer of isolation; `None` for all that only containers pay for.
    pub(super) fn isolation(&self, layer: Option<Layer>) -> (Vec<f64>, f64) {
        let layers = self
            .layers
            .get_or_init(|| layers_of_stacks(self.row, &Functions::of_row(self.row, self.frames)));
        self.sampled(|place| {
            let of_stack = layers.get(place).copied().flatten();
            of_stack.is_some_and(|it| match layer {
                Some(layer) => it == layer,
                None => it.row().payer == Payer::Container,
            })
        })
    }

    /// Time on the CPU of each window in the stacks that are meant, and how many samples they have.
    fn sampled(&self, is_meant: impl Fn(usize) -> bool) -> (Vec<f64>, f64) {
        let counts = self.sums(|slice| {
            let parts = slice
                .stacks
                .iter()
                .filter(|part| is_meant(part.of as usize));
            parts.map(|part| part.count as f64).sum()
        });
        let samples = counts.iter().sum();
        let pairs = counts.iter().zip(&self.ns_a_sample);
        (pairs.map(|(count, ns)| count * ns).collect(), samples)
    }

    /// Samples of each window whose stack has a function of this name.
    pub(super) fn samples_of(&self, name: &str) -> Vec<f64> {
        let has: Vec<bool> = self
            .functions
            .iter()
            .map(|functions| {
                let mut keys = functions.iter().map(|id| &self.known[*id as usize]);
                keys.any(|key| key.group == StateGroup::OnCpu && key.name == name)
            })
            .collect();
        self.sums(|slice| {
            let parts = slice.stacks.iter();
            let meant = parts.filter(|part| has.get(part.of as usize) == Some(&true));
            meant.map(|part| part.count as f64).sum()
        })
    }

    /// Names of all functions that were sampled on the CPU.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let on_cpu = self
            .known
            .iter()
            .filter(|key| key.group == StateGroup::OnCpu);
        on_cpu.map(|key| key.name.as_str())
    }

    /// Items of this name that ended in each window, of whatever variant.
    pub(super) fn items(&self, view: &ViewId, name: &str) -> Vec<f64> {
        self.sum_items(view, name, |part| part.count)
    }

    /// Time of items of this name in each window, in ns.
    pub(super) fn item_ns(&self, view: &ViewId, name: &str) -> Vec<f64> {
        self.sum_items(view, name, |part| part.ns)
    }

    fn sum_items(&self, view: &ViewId, name: &str, figure: fn(&SlicePart) -> u64) -> Vec<f64> {
        self.sums(|slice| {
            let items = slice.items_of(self.row, view);
            let meant = items.filter(|(item, _)| item.name == name);
            meant.map(|(_, part)| figure(part) as f64).sum()
        })
    }
}

/// Slices that make a window.
fn together(window: &Window) -> usize {
    window.slices_ns.len().div_ceil(MOST_WINDOWS).max(1)
}

/// The exact time of a window by its samples: where a hypervisor takes the CPU away, or interrupts are held up, there are fewer of
/// them, and each stands for more. By all of the row where a window has few.
fn ns_a_sample(row: &Container, windows: &[Vec<&Slice>]) -> Vec<f64> {
    let is_on_cpu = |place: u32| {
        let stack = row.stacks.get(place as usize);
        stack.is_some_and(|it| it.state.group() == StateGroup::OnCpu)
    };
    let sums: Vec<(f64, f64)> = windows
        .iter()
        .map(|slices| {
            let ns: f64 = slices.iter().map(|slice| slice.on_cpu_ns as f64).sum();
            let parts = slices.iter().flat_map(|slice| &slice.stacks);
            let samples = parts.filter(|part| is_on_cpu(part.of));
            (ns, samples.map(|part| part.count as f64).sum())
        })
        .collect();
    let all = sums
        .iter()
        .fold((0.0, 0.0), |all, one| (all.0 + one.0, all.1 + one.1));
    let ratio = |(ns, samples): (f64, f64)| if samples > 0.0 { ns / samples } else { 0.0 };
    let sums = sums.into_iter();
    sums.map(|one| ratio(if one.1 >= FEW_SAMPLES { one } else { all }))
        .collect()
}

fn add(times: &mut [FunctionTime], functions: &[u32], ns: f64, count: f64) {
    for (depth, function) in functions.iter().enumerate() {
        add_time(&mut times[*function as usize], depth == 0, ns, count);
    }
}

fn add_time(time: &mut FunctionTime, is_leaf: bool, ns: f64, count: f64) {
    time.total = (time.total.0 + ns, time.total.1 + count);
    if is_leaf {
        time.own = (time.own.0 + ns, time.own.1 + count);
    }
}

/// For each stack of the row its functions, each once, the leaf's first; and all functions that there are.
fn functions(row: &Container, frames: &FrameTable) -> (Vec<Vec<u32>>, Vec<FunctionKey>) {
    let names: Vec<Name> = frames.frames().iter().map(Name::of_frame).collect();
    let mut numbers: HashMap<FunctionKey, u32> = HashMap::new();
    let mut of_frame: HashMap<(StateGroup, u32), Option<u32>> = HashMap::new();
    let mut known = Vec::new();
    let stacks = row.stacks.iter().map(|stack| {
        let group = stack.state.group();
        let mut functions: Vec<u32> = Vec::with_capacity(stack.frames.len());
        for frame in &stack.frames {
            let id = *of_frame.entry((group, frame.0)).or_insert_with(|| {
                let name = &names[frame.0 as usize];
                let key = FunctionKey {
                    group,
                    name: name.text.to_string(),
                    kernel: name.kind == NameKind::Kernel,
                };
                let next = known.len() as u32;
                (!name.is_stand_in()).then(|| {
                    *numbers.entry(key).or_insert_with_key(|key| {
                        known.push(key.clone());
                        next
                    })
                })
            });
            if let Some(id) = id.filter(|id| !functions.contains(id)) {
                functions.push(id);
            }
        }
        functions
    });
    let stacks = stacks.collect();
    (stacks, known)
}
