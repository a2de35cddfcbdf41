//! The fields of the table, resolved against a kernel's BTF.

use ctprof_ebpf::abi::layout::{self, GlobalName, throttle};

use super::Btf;
use super::fields::{FIELDS, Need, Value};

/// A required field that this kernel does not describe.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "the kernel's BTF has no field {type_name}.{member}; this kernel is not supported yet (see docs/architecture.md)"
)]
pub struct MissingField {
    /// The struct.
    pub type_name: &'static str,
    /// The member, by its newest name.
    pub member: &'static str,
}

/// Values for the layout globals of the kernel half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Global and value, one for each field that is there.
    pub offsets: Vec<(GlobalName, u32)>,
    /// The first field that the ledger lacks, if there is one.
    pub lacks_for_ledger: Option<MissingField>,
}

/// How throttled time can be told from time on the run queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Throttle {
    /// Each thread is marked when it is stopped, and its queue keeps the time (6.18).
    ByThread,
    /// The queue keeps the time (6.6).
    ByQueue,
    /// Hooks on the functions that stop and release a queue, if they can be attached.
    ByHook,
    /// The queue keeps the time by another clock, which lags where CPUs run below full speed.
    ByPelt,
    /// Not at all.
    Unknown,
}

impl Throttle {
    /// The value that the kernel half knows it by.
    #[must_use]
    pub const fn value(self) -> u32 {
        match self {
            Self::ByThread => throttle::BY_THREAD,
            Self::ByQueue => throttle::BY_QUEUE,
            Self::ByHook => throttle::BY_HOOK,
            Self::ByPelt => throttle::BY_PELT,
            Self::Unknown => throttle::UNKNOWN,
        }
    }
}

impl Layout {
    /// Resolves the whole table for a host whose CPU controller is in cgroup v1, or not.
    ///
    /// # Errors
    /// The first required field that this kernel does not have.
    pub fn resolve(btf: &Btf, cgroup_v1: bool) -> Result<Self, MissingField> {
        let mut layout = Self {
            offsets: Vec::with_capacity(FIELDS.len()),
            lacks_for_ledger: None,
        };
        for field in FIELDS {
            let place = field
                .paths
                .iter()
                .find_map(|path| btf.member(field.type_name, path));
            if let Some(member) = place {
                let value = match field.value {
                    Value::Offset => member.offset,
                    Value::Bit => 1 << member.bit,
                };
                layout.offsets.push((field.global, value));
                continue;
            }
            let missing = MissingField {
                type_name: field.type_name,
                member: field.paths.first().copied().unwrap_or_default(),
            };
            match field.need {
                Need::Always => return Err(missing),
                Need::OnV1 if cgroup_v1 => return Err(missing),
                Need::OnV2 if !cgroup_v1 => return Err(missing),
                Need::Ledger => {
                    layout.lacks_for_ledger.get_or_insert(missing);
                }
                Need::OnV1 | Need::OnV2 | Need::Optional => {}
            }
        }
        Ok(layout)
    }

    /// Whether the kernel has all these fields.
    fn has(&self, globals: &[GlobalName]) -> bool {
        globals
            .iter()
            .all(|global| self.offsets.iter().any(|(name, _)| name == global))
    }

    /// Whether the system call that a thread sleeps in can be told.
    #[must_use]
    pub fn tells_syscalls(&self) -> bool {
        self.has(&[layout::OFF_REGS_NUMBER, layout::OFF_REGS_FIRST])
    }

    /// The best way to tell throttled time.
    #[must_use]
    pub fn throttle(&self) -> Throttle {
        let own_clock = [
            layout::OFF_TASK_QUEUE,
            layout::OFF_QUEUE_TOTAL,
            layout::OFF_QUEUE_SINCE,
            layout::OFF_QUEUE_RQ,
            layout::OFF_RQ_CLOCK,
        ];
        if self.has(&own_clock) && self.has(&[layout::OFF_TASK_STOPPED]) {
            Throttle::ByThread
        } else if self.has(&own_clock) {
            Throttle::ByQueue
        } else if self.has(&[
            layout::OFF_TASK_QUEUE,
            layout::OFF_QUEUE_COUNT,
            layout::OFF_RQ_CPU,
            layout::OFF_TG_QUEUES,
        ]) {
            Throttle::ByHook
        } else {
            self.pelt()
        }
    }

    /// The load-tracking clock, if there is one.
    #[must_use]
    pub fn pelt(&self) -> Throttle {
        let clock = [
            layout::OFF_TASK_QUEUE,
            layout::OFF_QUEUE_COUNT,
            layout::OFF_QUEUE_PELT,
            layout::OFF_QUEUE_PSINCE,
            layout::OFF_QUEUE_RQ,
            layout::OFF_RQ_PELT,
            layout::OFF_RQ_LOST,
        ];
        if self.has(&clock) {
            Throttle::ByPelt
        } else {
            Throttle::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{FIELDS, Layout, MissingField, Throttle};
    use crate::host::btf::Btf;

    fn fixture(kernel: &str) -> Btf {
        let path: PathBuf = [
            env!("CARGO_MANIFEST_DIR"),
            "tests/fixtures/btf",
            &format!("{kernel}.btf"),
        ]
        .iter()
        .collect();
        Btf::from_file(&path).unwrap()
    }

    /// Offsets as `pahole` and the kernels' own BTF have them: they drift from kernel to kernel.
    #[test]
    fn offsets_of_three_kernels() {
        let expected = [
            ("6.1.192", [664, 3600, 128, 248, 104]),
            ("6.12.117", [688, 3584, 128, 256, 96]),
            ("6.18.44", [712, 2376, 112, 256, 96]),
        ];
        let globals = [
            "OFF_TASK_GROUP",
            "OFF_TASK_CGROUPS",
            "OFF_CSET_DFL",
            "OFF_CGROUP_KN",
            "OFF_KN_ID",
        ];
        for (kernel, offsets) in expected {
            let btf = fixture(kernel);
            for cgroup_v1 in [false, true] {
                let layout = Layout::resolve(&btf, cgroup_v1).unwrap();
                assert_eq!(layout.lacks_for_ledger, None, "{kernel}");
                assert!(layout.tells_syscalls());
                for (global, offset) in globals.iter().zip(offsets) {
                    let found = layout.offsets.iter().find(|(name, _)| name == global);
                    assert_eq!(found, Some(&(*global, offset)), "{kernel}");
                }
            }
        }
    }

    #[test]
    fn how_throttled_time_is_told() {
        let of = |kernel| Layout::resolve(&fixture(kernel), false).unwrap();
        assert_eq!(of("6.1.192").throttle(), Throttle::ByHook);
        assert_eq!(of("6.1.192").pelt(), Throttle::ByPelt);
        assert_eq!(of("6.12.117").throttle(), Throttle::ByQueue);
        assert_eq!(of("6.18.44").throttle(), Throttle::ByThread);
        assert_eq!(of("6.18.44").offsets.len(), FIELDS.len());
        let bare = fixture("6.18.44").without("cfs_rq");
        let layout = Layout::resolve(&bare, false).unwrap();
        assert_eq!(layout.throttle(), Throttle::Unknown);
        assert_eq!(layout.lacks_for_ledger, None);
    }

    #[test]
    fn members_of_anonymous_and_nested_structs() {
        let btf = fixture("6.18.44");
        assert_eq!(
            btf.member("task_struct", "se.cfs_rq").map(|it| it.offset),
            Some(296)
        );
        assert_eq!(btf.member("task_struct", "no_such_field"), None);
        assert_eq!(btf.member("no_such_struct", "se"), None);
        // `throttled` became a bit field: one bit at a byte of its own.
        let throttled = btf.member("cfs_rq", "throttled").unwrap();
        assert_eq!(throttled.offset * 8 + throttled.bit, 3328);
    }

    #[test]
    fn a_missing_field_is_named_if_this_host_needs_it() {
        let only_v2 = fixture("6.12.117").without("task_group");
        assert!(Layout::resolve(&only_v2, false).is_ok());
        assert_eq!(
            Layout::resolve(&only_v2, true),
            Err(MissingField {
                type_name: "task_group",
                member: "css"
            })
        );
    }
}
