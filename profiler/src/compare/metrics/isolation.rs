//! What isolation costs, by layer.

use super::{Metric, Read, metric};
use crate::analysis::isolation::Layer;

macro_rules! isolation {
    ($id:literal, $meaning:literal, $layer:expr) => {
        metric($id, $meaning, Read::Isolation($layer))
    };
}

/// All layers, and each.
pub(super) const METRICS: &[Metric] = &[
    isolation!(
        "isolation",
        "time on the CPU that only containers pay for, all layers",
        None
    ),
    isolation!(
        "isolation.overlayfs",
        "of it, in overlayfs",
        Some(Layer::Overlayfs)
    ),
    isolation!(
        "isolation.network",
        "of it, in virtual network devices",
        Some(Layer::Network)
    ),
    isolation!(
        "isolation.netfilter",
        "of it, in packet filters and connection tracking",
        Some(Layer::Netfilter)
    ),
    isolation!(
        "isolation.seccomp",
        "of it, in system call filters",
        Some(Layer::Seccomp)
    ),
    isolation!(
        "isolation.memory",
        "of it, charging memory",
        Some(Layer::Memory)
    ),
    isolation!(
        "isolation.cpu_bandwidth",
        "of it, for CPU quotas",
        Some(Layer::CpuBandwidth)
    ),
    isolation!(
        "isolation.cgroup_accounting",
        "of it, counting by cgroup",
        Some(Layer::CgroupAccounting)
    ),
    isolation!(
        "isolation.user_namespaces",
        "of it, mapping ids",
        Some(Layer::UserNamespaces)
    ),
    isolation!(
        "isolation.block_throttling",
        "of it, for limits on block I/O",
        Some(Layer::BlockThrottling)
    ),
    isolation!(
        "isolation.bpf",
        "of it, in BPF programs of others",
        Some(Layer::Bpf)
    ),
    isolation!(
        "isolation.lsm",
        "time in LSM hooks, which every process pays for",
        Some(Layer::Lsm)
    ),
];
