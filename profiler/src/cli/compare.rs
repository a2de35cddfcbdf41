//! `ctprof compare`: what B does more or less of than A, and whether that is more than noise.

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::output_error;
use crate::compare::outcome::Comparison;
use crate::compare::rules::Rule;
use crate::compare::{Plan, Refusal, Work, compare};
use crate::model::text::printable;
use crate::output::compare::{json, text};
use crate::target::nearest;
use crate::{Error, Result, store};

/// Exit code of a comparison that breaks a rule.
const BROKEN: u8 = 5;

/// Longest list of names in an error.
const MAX_HINT_CHARS: usize = 400;

/// Compare two recordings: what B has more or less of than A, and whether that is more than noise.
#[derive(Clone, Debug, Args)]
pub struct CompareArgs {
    /// What to compare with: a folder that `ctprof record` wrote
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
    /// Functions to list for each row, 0 for all
    #[arg(long, value_name = "N", default_value_t = text::TOP)]
    pub top: usize,
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
}

fn parse_match(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((a, b)) if !a.is_empty() && !b.is_empty() => Ok((a.to_owned(), b.to_owned())),
        _ => Err("has to be two names, as in web-1=web-2".to_owned()),
    }
}

fn parse_per(text: &str) -> Result<Work, String> {
    match text.split_once(':') {
        Some(("syscall", name)) if !name.is_empty() => Ok(Work::Calls(name.to_owned())),
        Some(("samples-of", name)) if !name.is_empty() => Ok(Work::SamplesOf(name.to_owned())),
        _ => Err("has to be syscall:NAME or samples-of:FUNCTION".to_owned()),
    }
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
pub fn run(args: &CompareArgs, _log: bool) -> Result<ExitCode> {
    let (dir_a, dir_b) = (PathBuf::from(&args.a), PathBuf::from(&args.b));
    let (a, b) = (store::read(&dir_a)?, store::read(&dir_b)?);
    let plan = Plan {
        matches: args.matches.clone(),
        work: args.per.clone().or_else(|| args.work.clone()),
        rules: args.fail_if.clone(),
        paired: false,
    };
    let mut comparison = compare(&a, &b, &plan).map_err(refused)?;
    comparison.a.name.clone_from(&args.a);
    comparison.b.name.clone_from(&args.b);
    print(args, &comparison)?;
    let broken = comparison.rules.iter().any(|outcome| outcome.broken);
    Ok(if broken {
        ExitCode::from(BROKEN)
    } else {
        ExitCode::SUCCESS
    })
}

fn print(args: &CompareArgs, comparison: &Comparison) -> Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    match args.format {
        CompareFormat::Text => text::write(comparison, args.top, &mut out),
        CompareFormat::Json => json::write(comparison, &mut out),
    }
    .and_then(|()| out.flush())
    .map_err(|error| output_error(&error))
}

/// A refusal in one line, with the nearest names.
fn refused(refusal: Refusal) -> Error {
    // The names are from files that anyone may have written.
    let list = |names: &[String]| printable(&names.join(", "), MAX_HINT_CHARS);
    let hint = |wanted: &str, names: &[String]| {
        let all = match names {
            [] => "; there is none".to_owned(),
            names => format!("; there are {}", names.join(", ")),
        };
        let names = names.iter().map(String::as_str);
        printable(&nearest::hint(wanted, names, &all), MAX_HINT_CHARS)
    };
    match refusal {
        Refusal::NothingMatches(a, b) if a.is_empty() || b.is_empty() => {
            let which = if a.is_empty() { "A" } else { "B" };
            Error::NotFound(format!("cannot compare: nothing happened in {which}"))
        }
        Refusal::NothingMatches(a, b) => Error::NotFound(format!(
            "cannot compare: no row of B has the name of one of A's; say which is which with --match A=B; A has {}; B has {}",
            list(&a),
            list(&b)
        )),
        Refusal::NoRow(name, in_b, names) => Error::NotFound(format!(
            "no row {name:?} in {}{}",
            if in_b { "B" } else { "A" },
            hint(&name, &names)
        )),
        Refusal::NoWork(work, names) => {
            let wanted = work.rsplit(' ').next().unwrap_or_default().to_owned();
            Error::Usage(format!(
                "cannot measure by {work}: no row has any in both{}",
                hint(&wanted, &names)
            ))
        }
        Refusal::NoSuchThing(rule, what, names) => {
            let wanted = what.split('"').nth(1).unwrap_or(&what).to_owned();
            Error::Usage(format!(
                "cannot judge {rule:?}: {what}{}",
                if names.is_empty() {
                    String::new()
                } else {
                    hint(&wanted, &names)
                }
            ))
        }
    }
}
