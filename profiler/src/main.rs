//! `ctprof`: parse, plan, run, exit code.

fn main() {}
