//! Which addresses need a name: each once, by program image.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ctprof_ebpf::abi::count_key::CountKey;

use crate::collect::Samples;
use crate::model::{ProcessKey, Resolved};

/// Every distinct address of a recording, ready to be symbolized in batches.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Kernel addresses.
    pub kernel: BTreeSet<u64>,
    /// User addresses of each program image.
    pub user: BTreeMap<ProcessKey, BTreeSet<u64>>,
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
        let mut all = Self::default();
        for (key, _) in samples.counts() {
            all.kernel.extend(kernel_call_sites(samples, key));
            let mut user = user_call_sites(samples, key).peekable();
            if user.peek().is_some() {
                all.user.entry(image(key)).or_default().extend(user);
            }
        }
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
    samples.call_sites(key.user_stack)
}
