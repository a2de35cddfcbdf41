//! Rows of the kernel half as what containers called.

use std::collections::BTreeMap;

use ctprof_ebpf::views::syscalls::abi::{CallKey, CallRow, kind};

use crate::aggregate::Owners;
use crate::host::syscalls::CallNames;

/// A system call: its name, and whose number it was made by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallId {
    /// Its name; `syscall_999` where its number has none.
    pub name: String,
    /// One of [`ctprof_ebpf::abi::syscall::abi`].
    pub abi: u32,
}

impl CallId {
    /// Whether its number has a name: a profile can only name what has one.
    #[must_use]
    pub fn is_known(&self) -> bool {
        let number = self.name.strip_prefix("syscall_");
        number.is_none_or(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
    }
}

/// What a container called, and how often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Called {
    /// Calls that the kernel carried out, whatever their result. Those in progress count.
    pub executed: BTreeMap<CallId, u64>,
    /// Calls that a seccomp filter, or a tracer, answered instead, by the error that it gave; 0 for none.
    pub refused: BTreeMap<CallId, BTreeMap<u32, u64>>,
    /// These are the calls made under a seccomp filter, without those made before it was installed. `false` where
    /// there was no filter: then these are all calls.
    pub is_confined: bool,
    /// Calls made before the filter was installed, which are not in the above.
    pub before_filter: u64,
}

impl Called {
    /// Nothing was called.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.executed.is_empty() && self.refused.is_empty()
    }

    /// How often anything was called.
    #[must_use]
    pub fn times(&self) -> u64 {
        let refused = self.refused.values().flat_map(BTreeMap::values);
        self.executed.values().chain(refused).sum()
    }

    /// How many different calls were made.
    #[must_use]
    pub fn kinds(&self) -> usize {
        let only_refused = self
            .refused
            .keys()
            .filter(|call| !self.executed.contains_key(call));
        self.executed.len() + only_refused.count()
    }
}

/// What each of so many containers called. A runtime sets a container up in its cgroup before it installs the
/// filter: where there is a filter, only what came after it is the container's.
#[must_use]
pub fn called<'a>(
    rows: impl IntoIterator<Item = (&'a CallKey, &'a CallRow)>,
    names: CallNames,
    owners: &Owners,
    containers: usize,
) -> Vec<Called> {
    // By whether there was a filter.
    let mut all = vec![[Called::default(), Called::default()]; containers];
    for (key, row) in rows {
        let owner = owners.0.get(&key.slot());
        let Some(both) = owner.and_then(|owner| all.get_mut(*owner)) else {
            continue;
        };
        let call = CallId {
            name: (names.call)(key.number(), key.abi()),
            abi: key.abi(),
        };
        if key.kind() == kind::REFUSED {
            let by_error = both[1].refused.entry(call).or_default();
            *by_error.entry(key.error()).or_default() += row.count;
        } else {
            let part = &mut both[usize::from(key.is_confined())];
            *part.executed.entry(call).or_default() += row.count;
        }
    }
    all.into_iter()
        .map(|[open, confined]| {
            if confined.executed.is_empty() {
                // What was refused was so by a tracer, or nothing else was called.
                let refused = confined.refused;
                return Called { refused, ..open };
            }
            Called {
                is_confined: true,
                before_filter: open.times(),
                ..confined
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ctprof_ebpf::abi::syscall::abi;
    use ctprof_ebpf::views::syscalls::abi::{CallKey, CallRow, kind};

    use super::{CallId, called};
    use crate::aggregate::Owners;
    use crate::host::syscalls::CallNames;

    const NAMES: CallNames = CallNames {
        call: |number, _| format!("call{number}"),
        abi: |_| "",
        error: |error| format!("E{error}"),
    };

    fn id(name: &str) -> CallId {
        CallId {
            name: name.to_owned(),
            abi: abi::NATIVE,
        }
    }

    fn times(count: u64) -> CallRow {
        CallRow {
            count,
            ..CallRow::default()
        }
    }

    #[test]
    fn what_came_before_the_filter_is_the_runtimes() {
        let (setup, own) = (
            CallKey::of(3, 165, abi::NATIVE, false),
            CallKey::of(3, 1, abi::NATIVE, true),
        );
        let rows = [
            (setup, times(7)),
            (own, times(2)),
            (own.with_kind(kind::OPEN), times(1)),
            (own.with_kind(kind::REFUSED).with_error(1), times(4)),
            (CallKey::of(4, 165, abi::NATIVE, false), times(5)),
            (CallKey::of(9, 1, abi::NATIVE, true), times(100)),
        ];
        let owners = Owners([(3, 0), (4, 1)].into());
        let rows: BTreeMap<_, _> = rows.into();
        let all = called(&rows, NAMES, &owners, 2);
        let [first, second] = &all[..] else { panic!() };
        assert_eq!(first.executed, BTreeMap::from([(id("call1"), 3)]));
        assert_eq!(first.refused[&id("call1")], BTreeMap::from([(1, 4)]));
        assert!(first.is_confined);
        assert_eq!(
            (first.before_filter, first.times(), first.kinds()),
            (7, 7, 1)
        );
        // Without a filter nothing tells the runtime's calls from the container's.
        assert_eq!(second.executed, BTreeMap::from([(id("call165"), 5)]));
        assert!(!second.is_confined);
    }

    #[test]
    fn numbers_without_a_name_are_not_known() {
        assert!(!id("syscall_999").is_known());
        assert!(!id("syscall_65535_or_more").is_known());
        assert!(id("read").is_known());
    }
}
