//! The layers that stand between a container and the kernel that a plain process has, and what is known of each.
//!
//! A function belongs to the layer with the longest pattern that fits its name, without what compilers append to it. Where
//! the kernel is built with a layer as a module, all functions of the module belong to it.

use serde::Serialize;

pub use super::table::LAYERS;

/// Something that costs CPU time because a process is in a container, or that is told apart because it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// The file system of images.
    Overlayfs,
    /// Virtual network devices, and forwarding between them and the host's.
    Network,
    /// Packet filters, address translation, connection tracking.
    Netfilter,
    /// System call filters, and the slow way into the kernel that every call then takes.
    Seccomp,
    /// Charging of memory to a cgroup, and reclaim for its limit.
    Memory,
    /// CPU quotas.
    CpuBandwidth,
    /// What else is counted by cgroup.
    CgroupAccounting,
    /// Security modules.
    Lsm,
    /// Translation of user and group ids.
    UserNamespaces,
    /// Limits on block I/O.
    BlockThrottling,
    /// BPF programs of others.
    Bpf,
    /// Work in soft interrupts that came in the midst of something else.
    Softirq,
    /// ctprof's own BPF programs.
    Ctprof,
}

/// Who pays for a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payer {
    /// Containers: their isolation tax.
    Container,
    /// Processes in no container as well.
    Everyone,
    /// Nobody knows whose it is, or it is ctprof's own.
    Apart,
}

/// What is known of a layer.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Which it is.
    pub layer: Layer,
    /// What it is called in JSON, in metrics and in rules.
    pub id: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// Who pays for it.
    pub payer: Payer,
    /// What a process pays that has none of it: what the layer is compared with.
    pub compared_with: &'static str,
    /// Kernels whose names of functions these are: those that it was measured on, and those whose source was read.
    pub kernels: &'static str,
    /// Names of functions; `*` at either end stands for anything.
    pub functions: &'static [&'static str],
    /// Names of functions that would fit, and are no part of it.
    pub except: &'static [&'static str],
    /// Names of modules.
    pub modules: &'static [&'static str],
    /// Functions that hand on what the process asked for: what they do below the layer would be done without it, too.
    pub hands_on: &'static [&'static str],
    /// Functions that are no part of the layer, and are gone through once more because of it: below a function of the layer, or
    /// below one of [`through`](Self::through), they are its own, with whatever they call.
    pub repeats: &'static [&'static str],
    /// Functions that are no part of the layer either, and that what is repeated has come through.
    pub through: &'static [&'static str],
    /// Functions of the layer that do extra work whatever they call.
    pub keeps: &'static [&'static str],
}

impl Layer {
    /// What is known of it.
    #[must_use]
    pub const fn row(self) -> &'static Row {
        &LAYERS[self as usize]
    }

    /// What it is called in JSON, in metrics and in rules.
    #[must_use]
    pub const fn id(self) -> &'static str {
        self.row().id
    }

    /// Every layer.
    pub fn all() -> impl Iterator<Item = Self> {
        LAYERS.iter().map(|row| row.layer)
    }
}
