//! What of the kernel tests the whole test run tries on which kernel; `cargo xtask vm` tries all of it. A boot and its
//! emulated trials take half a minute: what no kernel can change is tried on the host's own alone.

use super::kernels::Series;

/// Subjects that are about user space, whatever the kernel; what runs programs that a machine does not have; and what
/// other subjects try along with the kernel's part of it: births and moves of `scope`, attaching of `lifecycle`, visits and
/// batches of the agent (`quota` and `blocked` make recordings with the same ones).
const USER_SPACE: [&str; 24] = [
    "agent",
    // Reading the names of all functions of the kernel takes minutes there.
    "agent_isolation",
    "agent_limits",
    "call_memory",
    "call_oracles",
    "call_stacks",
    "command",
    "compare",
    "debuginfod",
    "errors",
    "http_fuzz",
    "identity",
    "lifecycle",
    // Needs a compiler; `verifier` loads its programs.
    "moments",
    "namespaces",
    "on_demand",
    "options",
    "passwords",
    "scope",
    "seccomp",
    "service",
    "serving",
    "slots",
    "slow_calls",
];

/// Subjects whose hooks, fields or rules differ from one kernel to the next: throttling, sleeps, moves.
const BY_KERNEL: [&str; 4] = ["blocked", "moves", "quota", "verifier"];

/// Whether the whole test run tries this subject on this kernel: on the oldest everything that a kernel can change, on
/// those between it and the host's what has changed.
pub(super) fn is_tried(series: Series, subject: &str) -> bool {
    match series {
        Series::V6_1 => !USER_SPACE.contains(&subject),
        Series::V6_12 => BY_KERNEL.contains(&subject),
    }
}
