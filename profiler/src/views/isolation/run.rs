//! Samples while the session goes on: each is told its layer as it comes, and only sums are kept.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use aya::maps::RingBuf;
use ctprof_ebpf::views::isolation::abi::KernelSample;

use super::Sampled;
use super::functions::KernelFunctions;
use crate::Result;
use crate::analysis::isolation::{Found, Function, Layer, classify};
use crate::bpf::Kernel;
use crate::bpf::view_maps::Owned;
use crate::collect::{Hooked, Raw};
use crate::model::{Figures as _, ViewId};

/// How often functions are looked up anew: modules and BPF programs come and go.
const REFRESH: Duration = Duration::from_secs(300);

/// Time by slot and layer since the session began, in ns.
#[derive(Clone, Debug, Default)]
pub(super) struct RawTimes(pub(super) HashMap<(u32, Layer), u64>);

impl Raw for RawTimes {
    fn view(&self) -> ViewId {
        Sampled::VIEW
    }
}

/// What is known of who a slot is, from its samples so far.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Its calls go through a filter.
    is_filtered: bool,
    /// Its files on overlayfs are released at once.
    releases_at_once: bool,
}

/// Turns samples into sums.
#[derive(Debug)]
pub(super) struct Sorter {
    functions: KernelFunctions,
    period_ns: u64,
    seen: HashMap<u32, Seen>,
    times: HashMap<(u32, Layer), u64>,
}

impl Sorter {
    pub(super) fn new(functions: KernelFunctions, period_ns: u64) -> Self {
        Self {
            functions,
            period_ns,
            seen: HashMap::new(),
            times: HashMap::new(),
        }
    }

    /// One sample of this slot, the innermost address first.
    pub(super) fn add(&mut self, slot: u32, addresses: &[u64]) {
        // All but the innermost are return addresses, which may lie in the next function.
        let sites = addresses.iter().enumerate();
        let sites = sites.map(|(depth, address)| address.saturating_sub(u64::from(depth > 0)));
        let functions: Vec<Function> = sites.map(|site| self.functions.at(site)).collect();
        let has = |is: fn(&Function) -> bool| functions.iter().any(is);
        let is_filtered = has(Function::is_filter);
        let releases_at_once = has(Function::is_release) && !has(Function::is_late_release);
        let found = classify(functions.iter().copied());
        if is_filtered || releases_at_once {
            let seen = self.seen.entry(slot).or_default();
            seen.is_filtered |= is_filtered;
            seen.releases_at_once |= releases_at_once;
        }
        let seen = self.seen.get(&slot).copied().unwrap_or_default();
        let layer = match found {
            Some(Found::Layer(layer)) => Some(layer),
            Some(Found::SlowEntry) => seen.is_filtered.then_some(Layer::Seccomp),
            Some(Found::LateRelease) => seen.releases_at_once.then_some(Layer::Overlayfs),
            None => None,
        };
        if let Some(layer) = layer {
            let sum = self.times.entry((slot, layer)).or_default();
            *sum = sum.saturating_add(self.period_ns);
        }
    }

    fn take(&mut self, slots: &HashSet<u32>) -> RawTimes {
        self.seen.retain(|slot, _| !slots.contains(slot));
        let taken = self.times.extract_if(|(slot, _), _| slots.contains(slot));
        RawTimes(taken.collect())
    }
}

/// The ring of samples, and what they came to so far.
#[derive(Debug)]
pub(super) struct Samples {
    ring: Ring,
    sorter: Sorter,
    kallsyms: Option<PathBuf>,
    /// Functions that are being looked up.
    coming: Option<Receiver<KernelFunctions>>,
    looked_up: Instant,
}

struct Ring(RingBuf<Owned>);

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ring")
    }
}

impl Samples {
    pub(super) fn open(
        kernel: &mut Kernel,
        kallsyms: Option<&Path>,
        period_ns: u64,
    ) -> Result<Self> {
        Ok(Self {
            ring: Ring(kernel.take("ISOLATION")?),
            sorter: Sorter::new(KernelFunctions::default(), period_ns),
            kallsyms: kallsyms.map(Path::to_owned),
            coming: kallsyms.map(look_up),
            looked_up: Instant::now(),
        })
    }

    /// Takes over what has come. Samples that come before there are names wait in the ring.
    fn drain(&mut self) {
        if let Some(functions) = self.coming.as_ref().and_then(|it| it.try_recv().ok()) {
            self.sorter.functions = functions;
            self.coming = None;
        }
        if self.sorter.functions.is_empty() {
            return;
        }
        while let Some(item) = self.ring.0.next() {
            if item.len() < size_of::<KernelSample>() {
                continue;
            }
            // SAFETY: the entry is at least as large as a `KernelSample`, whose fields are integers.
            let sample: KernelSample =
                unsafe { item.as_ptr().cast::<KernelSample>().read_unaligned() };
            let frames = usize::try_from(sample.frames).unwrap_or(usize::MAX);
            let addresses = sample.addresses.get(..frames);
            self.sorter
                .add(sample.slot, addresses.unwrap_or(&sample.addresses));
        }
    }

    fn now(&self) -> Arc<dyn Raw> {
        Arc::new(RawTimes(self.sorter.times.clone()))
    }
}

/// Looks functions up beside the event loop: the kernel takes tens of milliseconds to list them, and sorting them by layer some
/// hundred.
fn look_up(kallsyms: &Path) -> Receiver<KernelFunctions> {
    let (found, coming) = channel();
    let kallsyms = kallsyms.to_owned();
    let work = move || {
        if let Ok(functions) = KernelFunctions::read(&kallsyms) {
            // The session may have ended.
            let _ = found.send(functions);
        }
    };
    // Without a thread, the functions that are known have to do.
    let _ = std::thread::Builder::new()
        .name("kallsyms".to_owned())
        .spawn(work);
    coming
}

impl Hooked for Samples {
    fn tick(&mut self) {
        if self.looked_up.elapsed() >= REFRESH {
            self.looked_up = Instant::now();
            self.coming = self.kallsyms.as_deref().map(look_up);
        }
        self.drain();
    }

    fn read(&mut self) -> Result<Arc<dyn Raw>> {
        self.drain();
        Ok(self.now())
    }

    fn held_back(&self) -> Result<HashSet<u32>> {
        Ok(HashSet::new())
    }

    fn take(&mut self, slots: &HashSet<u32>) -> Result<Arc<dyn Raw>> {
        self.drain();
        Ok(Arc::new(self.sorter.take(slots)))
    }

    fn finish(mut self: Box<Self>, _: u64) -> Result<Arc<dyn Raw>> {
        self.read()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{KernelFunctions, Layer, Sorter};

    #[test]
    fn samples_are_sorted_as_they_come() {
        let names = [
            "do_syscall_64",
            "syscall_trace_enter",
            "__seccomp_filter",
            "ovl_release",
            "task_work_run",
            "exit_to_user_mode_loop",
            "vfs_read",
        ];
        let symbols = (1..)
            .zip(names)
            .map(|(at, name)| (100 * at, name, "[kernel]"));
        let mut sorter = Sorter::new(KernelFunctions::of(symbols), 10);
        let [call, entry, filter, release, late, leave] = [101, 201, 301, 401, 501, 601];
        // Nobody knows yet that there is a filter, nor who releases what.
        sorter.add(7, &[entry, call]);
        sorter.add(7, &[late, leave, call]);
        assert!(sorter.times.is_empty());
        sorter.add(7, &[filter, entry, call]);
        sorter.add(7, &[entry, call]);
        sorter.add(7, &[release, call]);
        sorter.add(7, &[late, leave, call]);
        sorter.add(8, &[entry, call]);
        // A call that is the last instruction of its function returns to the next one.
        sorter.add(8, &[701, 400]);
        let slots = HashSet::from([7, 8]);
        let mut times: Vec<_> = sorter.take(&slots).0.into_iter().collect();
        times.sort_unstable();
        assert_eq!(
            times,
            [
                ((7, Layer::Overlayfs), 20),
                ((7, Layer::Seccomp), 20),
                ((8, Layer::Seccomp), 10)
            ]
        );
        assert!(sorter.seen.is_empty() && sorter.times.is_empty());
    }
}
