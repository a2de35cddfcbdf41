//! Privileges are given up as soon as nothing needs them: what is not on the list of capabilities at the start, what
//! only starting and recordings need once everything is attached.
//!
//! Capabilities belong to threads. These calls come while there is one thread; those that begin later inherit.

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

use crate::host::capabilities::{ALL, Capability, SYS_ADMIN, Use};

/// Keeps what starting needs. `bpf_statistics`: only `CAP_SYS_ADMIN` may have the kernel measure BPF programs.
pub(super) fn before_attaching(bpf_statistics: bool) {
    // Nothing that this process starts, if anything, may regain what it gives up.
    if let Err(error) = rustix::thread::set_no_new_privs(true) {
        tracing::debug!("no_new_privs: {error}");
    }
    let held = held();
    let listed = ALL.iter().map(Capability::bit);
    let mut keep: CapabilitySet = listed.map(flag).collect();
    let stands_in = !held.contains(CapabilitySet::BPF | CapabilitySet::PERFMON);
    // A port below 1024 may be bound.
    keep |= CapabilitySet::NET_BIND_SERVICE;
    if bpf_statistics || stands_in {
        keep |= flag(SYS_ADMIN);
    }
    retain(keep);
}

/// Keeps what measuring needs, and recordings on demand if there are any.
pub(super) fn after_attaching(profiles: bool) {
    let held = held();
    let still = |capability: &&Capability| profiles || capability.usage == Use::Always;
    let mut keep: CapabilitySet = ALL
        .iter()
        .filter(still)
        .map(Capability::bit)
        .map(flag)
        .collect();
    if profiles && !held.contains(CapabilitySet::BPF | CapabilitySet::PERFMON) {
        keep |= flag(SYS_ADMIN);
    }
    retain(keep);
    let names: Vec<&str> = ALL
        .iter()
        .filter(|capability| (held & keep).contains(flag(capability.bit())))
        .map(|capability| capability.name)
        .collect();
    tracing::info!("capabilities kept: {}", names.join(", "));
}

const fn flag(bit: u32) -> CapabilitySet {
    CapabilitySet::from_bits_retain(1 << bit)
}

fn held() -> CapabilitySet {
    capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.permitted)
}

/// Gives up everything else, for good.
fn retain(keep: CapabilitySet) {
    let kept = held() & keep;
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    // Ambient ones go with the inheritable ones.
    if let Err(error) = set_capabilities(None, sets) {
        tracing::warn!("cannot give up capabilities: {error}");
    }
}
