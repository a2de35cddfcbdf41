//! The kernel half of ctprof. On the host it is empty, so that plain cargo builds the workspace.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(not(target_arch = "bpf"))]
fn main() {}
