//! `cargo xtask`: a dispatcher; every task has a file of its own.

fn main() {}
