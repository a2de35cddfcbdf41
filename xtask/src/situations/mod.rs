//! `cargo xtask situations`: what goes wrong in containers, run for real in Docker, and whether ctprof says what it is.
//!
//! Each situation is checked to be what it is called by the kernel's and Docker's own accounts. ctprof has to name the right
//! cause first, with its evidence and with what to change; that is then changed, and the effect compared with the promise.
//! As many healthy containers may have no warning.
//!
//! - `model`: what a situation is, as data; `table`: all of them
//! - `docker`: the daemon; `programs`: the image and what runs in it, built from `xtask/situations`
//! - `world`: the containers of one situation; `watch`: their speed and truth, with `cgroup` for the kernel's counters
//! - `findings`: what ctprof says; `judge`: whether that is right; `score`: one situation from start to end
//! - `report`: the tables and the score
//! - `elsewhere`: how busy the host is with something else; `ahead`: a cgroup that is ahead of that; `interrupt`: Ctrl-C

mod ahead;
mod cgroup;
mod docker;
mod elsewhere;
mod findings;
mod interrupt;
mod judge;
mod model;
mod programs;
mod report;
mod score;
mod table;
mod watch;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use ahead::Ahead;
use docker::Docker;
use interrupt::Interrupt;
use model::Situation;
use programs::Programs;
use report::Report;
use world::Host;

use crate::{cmd, setup, static_build};

/// Run what goes wrong in containers and score what ctprof says of it. Needs root and dockerd; all of it takes about 40 minutes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this situation (repeatable); default: all.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// List the situations, and run none.
    #[arg(long)]
    list: bool,
    /// How long ctprof looks at each, in seconds; speeds are measured for as long.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = seconds)]
    duration: Duration,
    /// Another ctprof than a static one built of this source.
    #[arg(long, value_name = "PATH")]
    ctprof: Option<PathBuf>,
    /// Also write everything that was found and measured to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Give containers and ctprof most of the CPUs whatever else wants them, on a host that is not quiet.
    #[arg(long)]
    ahead: bool,
    /// Take what is not run now from what an earlier run wrote to this file.
    #[arg(long, value_name = "FILE")]
    with: Option<PathBuf>,
    /// Put the tables into docs/doctor.md.
    #[arg(long)]
    publish: bool,
}

/// Runs the task. The exit code is 1 when too little is right.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if args.list {
        for situation in table::all() {
            println!("{:<20} {}", situation.name, situation.is);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = choose(&args.only)?;
    ensure!(
        !args.publish || args.only.is_empty() || args.with.is_some(),
        "tables of a part are not published: --with FILE has the rest, from --json of an earlier run"
    );
    let known = args.with.as_deref().map(Report::read).transpose()?;
    ensure!(
        setup::is_root(),
        "situations need root, for dockerd and for ctprof"
    );
    let ctprof = match &args.ctprof {
        Some(path) => path
            .canonicalize()
            .with_context(|| format!("there is no {}", path.display()))?,
        None => {
            println!("building a static ctprof");
            cmd::built(
                &static_build::cargo(&["build", "--bin", "ctprof"])?,
                "ctprof",
            )?
        }
    };
    let mut report = try_all(&chosen, args, &ctprof)?;
    if let Some(known) = known {
        report.complete(known);
    }
    println!("\n{}", report.markdown());
    if let Some(file) = &args.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(file, text + "\n")
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    if args.publish {
        report.publish()?;
    }
    Ok(if report.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn try_all(chosen: &[&'static Situation], args: &Args, ctprof: &std::path::Path) -> Result<Report> {
    let interrupt = Interrupt::watch()?;
    let ahead = args.ahead.then(Ahead::create).transpose()?;
    let docker = Docker::start(ahead.is_some().then_some(ahead::CONTAINERS))?;
    println!("building workloads");
    let programs = Programs::prepare(&docker, chosen)?;
    let host = Host {
        docker: &docker,
        programs: &programs,
        interrupt: &interrupt,
        ctprof,
        ahead: ahead.as_ref(),
    };
    let mut rows = Vec::new();
    for (number, situation) in chosen.iter().enumerate() {
        println!("{}/{} {}", number + 1, chosen.len(), situation.name);
        let row = score::run(situation, &host, args.duration)?;
        row.print();
        rows.push(row);
    }
    Ok(Report { rows })
}

fn choose(only: &[String]) -> Result<Vec<&'static Situation>> {
    if only.is_empty() {
        return Ok(table::all().collect());
    }
    let find = |name: &String| {
        let found = table::all().find(|it| it.name == *name);
        found.with_context(|| {
            format!("no situation is called {name}: `cargo xtask situations --list`")
        })
    };
    only.iter().map(find).collect()
}

/// `15s` or `15`.
fn seconds(text: &str) -> Result<Duration> {
    let number: u64 = text
        .strip_suffix('s')
        .unwrap_or(text)
        .parse()
        .with_context(|| format!("`{text}` is no number of seconds, such as 15s"))?;
    if number == 0 {
        bail!("nothing can be seen in no time");
    }
    Ok(Duration::from_secs(number))
}
