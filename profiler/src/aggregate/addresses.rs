//! Which addresses need a name: each once, by program image.

use std::collections::BTreeMap;

use ctprof_ebpf::abi::count_key::CountKey;
use ctprof_ebpf::abi::stack;
use foldhash::{HashMap, HashSet};

use crate::collect::Samples;
use crate::model::{ProcessKey, Resolved};

/// Every distinct address of a recording, ready to be symbolized in batches.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Kernel addresses, in order.
    pub kernel: Vec<u64>,
    /// User addresses of each program image, in order.
    pub user: BTreeMap<ProcessKey, Vec<u64>>,
}

/// What the addresses turned into.
#[derive(Debug, Default)]
pub struct Names {
    /// Kernel addresses.
    pub kernel: HashMap<u64, Resolved>,
    /// User addresses of each program image.
    pub user: HashMap<ProcessKey, HashMap<u64, Resolved>>,
}

impl Addresses {
    /// Collects the addresses of all samples.
    #[must_use]
    pub fn of(samples: &Samples) -> Self {
        let mut kernel = Set::default();
        let mut user: HashMap<ProcessKey, Set> = HashMap::default();
        for (key, _) in samples.counts().chain(samples.wakes()) {
            kernel.add(key.kernel_stack, || kernel_call_sites(samples, key));
            if key.user_stack != 0 {
                user.entry(image(key)).or_default().add(key.user_stack, || {
                    let saved = saved_call_sites(samples, key).map(|(_, address)| address);
                    user_call_sites(samples, key).chain(saved)
                });
            }
        }
        let user = user.into_iter().map(|(image, set)| (image, set.sorted()));
        Self {
            kernel: kernel.sorted(),
            user: user.filter(|(_, all)| !all.is_empty()).collect(),
        }
    }
}

/// Addresses, each once.
#[derive(Default)]
struct Set {
    /// Stacks whose addresses are in it: rows of several states and threads share them.
    stacks: HashSet<u64>,
    addresses: HashSet<u64>,
}

impl Set {
    fn add<A: Iterator<Item = u64>>(&mut self, stack: u64, addresses: impl FnOnce() -> A) {
        if self.stacks.insert(stack) {
            self.addresses.extend(addresses());
        }
    }

    fn sorted(self) -> Vec<u64> {
        let mut all: Vec<u64> = self.addresses.into_iter().collect();
        all.sort_unstable();
        all
    }
}

/// The program image that a row belongs to.
pub(super) const fn image(key: &CountKey) -> ProcessKey {
    ProcessKey {
        pid: key.tgid,
        exec_id: key.exec_id,
    }
}

/// Addresses of the kernel half of a stack, leaf first, as they are to be looked up.
pub fn kernel_call_sites<'a>(
    samples: &'a Samples,
    key: &CountKey,
) -> impl Iterator<Item = u64> + 'a {
    samples.call_sites(key.kernel_stack)
}

/// Addresses of the user half of a stack, leaf first, as they are to be looked up.
pub fn user_call_sites<'a>(samples: &'a Samples, key: &CountKey) -> impl Iterator<Item = u64> + 'a {
    samples
        .call_sites(key.user_stack)
        .filter(|address| stack::of_saved(*address).is_none())
}

/// Return addresses above the stack pointer of a thread, with how many bytes above it, as they are to be
/// looked up.
pub(super) fn saved_call_sites<'a>(
    samples: &'a Samples,
    key: &CountKey,
) -> impl Iterator<Item = (u32, u64)> + 'a {
    let saved = samples
        .addresses(key.user_stack)
        .filter_map(stack::of_saved);
    saved.map(|(place, address)| (place, address.saturating_sub(1)))
}
