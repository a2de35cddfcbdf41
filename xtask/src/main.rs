//! `cargo xtask`: a dispatcher; every task has a file of its own.

#![allow(clippy::print_stdout, reason = "a task's output is its result")]

mod bench;
mod btf;
mod cmd;
mod demo;
mod ebpf;
mod image;
#[cfg(test)]
mod map;
mod paths;
mod setup;
mod situations;
mod static_build;
mod summary;
mod test;
#[cfg(test)]
mod views;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Every task that a developer of ctprof needs.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    Bench(bench::Args),
    #[command(hide = true)]
    BenchLoad(bench::load::Args),
    #[command(hide = true)]
    BenchStacks(bench::stacks::Args),
    BenchThreads(bench::ring::Args),
    /// Cut a small BTF file for tests out of a kernel's BTF.
    BtfFixture(btf::Args),
    Demo(demo::Args),
    #[command(hide = true)]
    DemoLoad(demo::load::Args),
    /// Build the BPF object and its manifest into profiler/bpf.
    Ebpf(ebpf::Args),
    /// Build the container image.
    Image(image::Args),
    /// Install or name what is missing.
    Setup(setup::Args),
    Situations(situations::Args),
    /// Run every test, as root and on other kernels too.
    Test(test::Args),
    /// Run the kernel tests on other kernels, in QEMU.
    Vm(vm::Args),
}

fn main() -> ExitCode {
    let result = match Args::parse().task {
        Task::Bench(args) => bench::run(&args),
        Task::BenchLoad(args) => bench::load::run(&args),
        Task::BenchStacks(args) => bench::stacks::run(&args),
        Task::BenchThreads(args) => bench::ring::run(&args),
        Task::BtfFixture(args) => btf::run(&args),
        Task::Demo(args) => demo::run(&args),
        Task::DemoLoad(args) => demo::load::run(&args),
        Task::Ebpf(args) => ebpf::run(&args),
        Task::Image(args) => image::run(&args),
        Task::Setup(args) => setup::run(&args),
        Task::Situations(args) => situations::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Vm(args) => vm::run(&args),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
