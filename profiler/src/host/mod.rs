//! Facts about this host, no policy.

pub mod aside;
pub mod btf;
pub mod calibration;
pub mod capabilities;
pub mod cgroup;
pub mod clock;
pub mod containers;
pub mod descriptor;
pub mod kernel;
pub mod namespaces;
pub mod proc;
pub mod stolen;
pub mod syscall_arguments;
pub mod syscalls;

pub use proc::Host;
