//! Which names say something about a program: not those of libraries and runtimes, nor what the kernel does on every path to
//! the scheduler.

mod rank;

pub(crate) use rank::Rank;
pub use rank::is_kernel_plumbing;
