//! `ctprof compare`: what B does more or less of than A, and whether that is more than noise.
//!
//! - `target`: what is compared, as it was typed
//! - `live`: what runs, recorded side by side
//! - `refusal`: why nothing can be compared, in words

mod live;
mod refusal;
mod target;

use std::collections::BTreeSet;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::switches::{self, Switches, ToCompare};
use super::{duration, output_error};
use crate::compare::outcome::Comparison;
use crate::compare::rules::Rule;
use crate::compare::{Plan, Work, compare};
use crate::model::{ViewId, Window};
use crate::output::compare::{files, json, junit, markdown, text};
use crate::output::flamegraph::Graph;
use crate::store::RecordingDir;
use crate::views;
use crate::{Error, Result, output, store};
use refusal::refused;
use target::Spec;

/// Exit code of a comparison that breaks a rule.
const BROKEN: u8 = 5;

/// Compare two recordings: what B has more or less of than A, and whether that is more than noise.
#[derive(Clone, Debug, Args)]
pub struct CompareArgs {
    /// What to compare with: a folder that `ctprof record` wrote, or what runs now: container=NAME, cgroup=PATH,
    /// pod=NAMESPACE/NAME, pid=PID, netns=INODE
    pub a: String,
    /// What to compare: the same
    pub b: String,
    /// Two rows that are one under different names: A's, B's (repeatable). Rows of one name are one, and so are the only ones
    #[arg(long = "match", value_name = "A=B", value_parser = parse_match)]
    pub matches: Vec<(String, String)>,
    /// Measure by units of work, and not by time: syscall:NAME for each call (recorded with --syscalls), samples-of:FUNCTION
    /// for each sample with this function in its stack
    #[arg(long, value_name = "WORK", value_parser = parse_per, conflicts_with = "work")]
    pub per: Option<Work>,
    /// Measure by units of work that you have counted: in A, in B
    #[arg(long, value_name = "N,M", value_parser = parse_work)]
    pub work: Option<Work>,
    /// Exit with 5 if this is so, by more than noise: cpu>+5%, throttled>1%, run_queue.p99>+20%, syscalls.total>+10%,
    /// function:NAME>+10% (repeatable)
    #[arg(long, value_name = "RULE", value_parser = parse_rule)]
    pub fail_if: Vec<Rule>,
    /// How long to record what runs. Default: 30s
    #[arg(short, long, value_name = "TIME", value_parser = duration::parse)]
    pub duration: Option<Duration>,
    /// Samples per second on each CPU of what runs. The default finds 5 % more time in a function that has a fifth of it
    /// within 30 s: 7999, or as many as the kernel allows
    #[arg(short = 'F', long, value_name = "HZ", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub frequency: Option<u64>,
    /// Views that what runs is measured by, too.
    #[command(flatten)]
    pub views: Switches<ToCompare>,
    /// Functions to list for each row, 0 for all
    #[arg(long, value_name = "N", default_value_t = text::TOP)]
    pub top: usize,
    /// Folder for the differential flame graphs (diff.svg has A's shape, diff-b.svg B's), diff.folded, profile.diff.pb.gz
    /// and comparison.json; what runs is recorded into its folders a and b
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Replace an earlier comparison in the output folder
    #[arg(long, requires = "output")]
    pub force: bool,
    /// What the flame graphs show
    #[arg(long, value_enum, default_value = Graph::OnCpu.id(), value_name = "GRAPH")]
    pub graph: Graph,
    /// Form of the report
    #[arg(long, value_enum, default_value_t)]
    pub format: CompareFormat,
}

/// How a comparison is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum CompareFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object, for machines
    Json,
    /// A test case for each rule and row, for CI systems
    Junit,
    /// For pull requests
    Markdown,
}

fn parse_match(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((a, b)) if !a.is_empty() && !b.is_empty() => Ok((a.to_owned(), b.to_owned())),
        _ => Err("has to be two names, as in web-1=web-2".to_owned()),
    }
}

fn parse_per(text: &str) -> Result<Work, String> {
    match text.split_once(':') {
        Some(("samples-of", name)) if !name.is_empty() => Some(Work::SamplesOf(name.to_owned())),
        Some((word, name)) if !name.is_empty() => Work::items(word, name),
        _ => None,
    }
    .ok_or_else(|| {
        let words = views::ALL.iter().filter_map(|view| view.named);
        let words: String = words.map(|it| format!("{}:NAME or ", it.per)).collect();
        format!("has to be {words}samples-of:FUNCTION")
    })
}

fn parse_work(text: &str) -> Result<Work, String> {
    let number = |text: &str| {
        let number: Option<f64> = text.trim().parse().ok();
        number.filter(|it| it.is_finite() && *it > 0.0)
    };
    let pair = text.split_once(',');
    let pair = pair.and_then(|(a, b)| Some((number(a)?, number(b)?)));
    let (a, b) = pair.ok_or("has to be two numbers above 0, as in 1000,1200")?;
    Ok(Work::Units(a, b))
}

fn parse_rule(text: &str) -> Result<Rule, String> {
    Rule::parse(text)
}

/// Compares and prints. The exit code is 5 where a rule is broken.
///
/// # Errors
/// A recording that cannot be read, rows that match nothing, rules about nothing, an output that cannot be written.
pub fn run(args: &CompareArgs, log: bool) -> Result<ExitCode> {
    let code = measure_and_compare(args, log);
    if let (Err(_), Some(dir)) = (&code, &args.output) {
        // Nothing in it: it was made for nothing. Fails on a folder that is not empty, as it should.
        let _ = std::fs::remove_dir(dir);
    }
    code
}

fn measure_and_compare(args: &CompareArgs, log: bool) -> Result<ExitCode> {
    if matches!(args.graph, Graph::Syscalls | Graph::Isolation) {
        return Err(Error::Usage(format!(
            "cannot draw the difference of {}: use wall-clock, on-cpu, off-cpu, run-queue or throttled",
            args.graph.id()
        )));
    }
    let specs = [Spec::parse(&args.a)?, Spec::parse(&args.b)?];
    if let Some(dir) = &args.output {
        files::open(dir, args.force)?;
    }
    let Measured {
        windows: [a, b],
        is_live,
        notes,
    } = measure(&specs, args, log)?;
    let plan = Plan {
        matches: args.matches.clone(),
        work: args.per.clone().or_else(|| args.work.clone()),
        rules: args.fail_if.clone(),
        paired: is_live,
    };
    let mut comparison = compare(&a, &b, &plan).map_err(refused)?;
    comparison.a.name.clone_from(&args.a);
    comparison.b.name.clone_from(&args.b);
    comparison.notes.extend(notes);
    if let Some(dir) = &args.output {
        files::write(dir, (&a, &b), &comparison, args.graph)?;
        for (name, window, spec) in [("a", &a, &specs[0]), ("b", &b, &specs[1])] {
            if matches!(spec, Spec::Live(..)) {
                output::write_all(&RecordingDir::open(&dir.join(name), args.force)?, window)?;
            }
        }
    }
    print(args, &comparison)?;
    let broken = comparison.rules.iter().any(|outcome| outcome.broken);
    Ok(if broken {
        ExitCode::from(BROKEN)
    } else {
        ExitCode::SUCCESS
    })
}

/// Both sides.
struct Measured {
    windows: [Window; 2],
    /// Both were recorded at once, just now.
    is_live: bool,
    notes: Vec<String>,
}

/// Reads what was recorded, and records what runs.
fn measure(specs: &[Spec; 2], args: &CompareArgs, log: bool) -> Result<Measured> {
    let mut windows = [None, None];
    let mut live = Vec::new();
    // What cannot be read is said before anything is recorded.
    for (window, spec) in windows.iter_mut().zip(specs) {
        match spec {
            Spec::Recording(dir) => *window = Some(store::read(dir)?),
            Spec::Live(name, target) => live.push((name.as_str(), target)),
        }
    }
    let is_recording = [
        args.duration.is_some(),
        args.frequency.is_some(),
        !args.views.on.is_empty(),
    ];
    if live.is_empty() && is_recording.contains(&true) {
        return Err(Error::Usage(format!(
            "cannot compare: --duration, --frequency and {} are for what runs now, and both are recordings",
            switches::flags()
        )));
    }
    let (recorded, notes) = if live.is_empty() {
        (Vec::new(), Vec::new())
    } else {
        live::record(&live, args, log)?
    };
    let mut recorded = recorded.into_iter();
    for window in &mut windows {
        if window.is_none() {
            *window = recorded.next();
        }
    }
    Ok(Measured {
        windows: windows.map(Option::unwrap_or_default),
        is_live: live.len() == 2,
        notes,
    })
}

impl CompareArgs {
    /// Views that what runs is measured by because somebody asked: by a flag, or by wanting to see figures of them.
    fn asked(&self) -> BTreeSet<ViewId> {
        let rules = self.fail_if.iter().filter_map(Rule::needs);
        let work = self.per.iter().filter_map(Work::needs);
        self.views
            .on
            .iter()
            .cloned()
            .chain(rules)
            .chain(work)
            .collect()
    }
}

fn print(args: &CompareArgs, comparison: &Comparison) -> Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    match args.format {
        CompareFormat::Text => text::write(comparison, args.top, &mut out),
        CompareFormat::Json => json::write(comparison, &mut out),
        CompareFormat::Junit => junit::write(comparison, &mut out),
        CompareFormat::Markdown => markdown::write(comparison, args.top, &mut out),
    }
    .and_then(|()| out.flush())
    .map_err(|error| output_error(&error))
}
