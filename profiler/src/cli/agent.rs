//! `ctprof agent`: every container's ledger for Prometheus, profiles on demand.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::log_to_stderr;
use crate::Result;
use crate::agent::settings::{Kind, Layers, TABLE};
use crate::agent::{CorePlan, service};
use crate::collect::block_on;

/// Variable that names the file of settings.
const CONFIG_VARIABLE: &str = "CTPROF_CONFIG";

const ABOUT: &str =
    "Measure every container for Prometheus, all the time; profiles and flame graphs on demand";

const LONG_ABOUT: &str = "\
Measure every container for Prometheus, all the time; profiles and flame graphs on demand.

Serves / (a page for people), /metrics, /debug/pprof/profile?container=NAME&seconds=30 (for `go tool pprof`, whatever
the language), /flamegraph?container=NAME&seconds=30&state=all, /healthz and /readyz.

Every setting is a flag, an environment variable or a key of the file, and counts in this order. SIGHUP reads the file
again without losing a counter; SIGTERM answers what is in progress and ends.

Where DEBUGINFOD_URLS is in its environment, profiles ask these servers for debug information that this host has not.";

/// The agent's flags, as they were typed. What flags there are follows from the table of settings.
#[derive(Debug)]
pub struct AgentArgs {
    flags: Vec<(&'static str, String)>,
    config: Option<PathBuf>,
    born_slots: Option<u32>,
}

impl Args for AgentArgs {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .help(format!(
                "File of settings, in TOML [env: {CONFIG_VARIABLE}]"
            ));
        // No setting: it makes what happens after weeks testable.
        let born_slots = Arg::new("born-slots")
            .long("born-slots")
            .value_parser(clap::value_parser!(u32))
            .hide(true);
        let command = command.about(ABOUT).long_about(LONG_ABOUT);
        let command = command.arg(config).arg(born_slots);
        TABLE.iter().fold(command, |command, setting| {
            let mut help = format!("{} [env: {}]", setting.help, setting.variable());
            let arg = Arg::new(setting.name).long(setting.name);
            let arg = match setting.kind {
                Kind::Switch => arg
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true")
                    .hide_possible_values(true)
                    .value_name("true|false"),
                Kind::Value(name) => arg.value_name(name),
                Kind::List(name) => arg.value_name(name).action(ArgAction::Append),
            };
            if !setting.default.is_empty() && setting.kind != Kind::Switch {
                help = format!("{help} [default: {}]", setting.default);
            }
            command.arg(arg.help(help))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for AgentArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let flags = TABLE
            .iter()
            .filter_map(|setting| {
                let values: Vec<&str> = matches
                    .get_many::<String>(setting.name)?
                    .map(String::as_str)
                    .collect();
                Some((setting.name, values.join(",")))
            })
            .collect();
        let config = matches.get_one::<String>("config").map(PathBuf::from);
        Ok(Self {
            flags,
            config,
            born_slots: matches.get_one("born-slots").copied(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Runs until it is told to end.
///
/// # Errors
/// A setting that means nothing, a missing privilege or kernel feature, an address that cannot be used.
pub fn run(args: &AgentArgs, verbose: u8) -> Result<ExitCode> {
    let layers = Layers {
        flags: args.flags.clone(),
        config: args.config.clone().or_else(|| {
            let path = std::env::var_os(CONFIG_VARIABLE)?;
            (!path.is_empty()).then(|| PathBuf::from(path))
        }),
        environment: |name| std::env::var_os(name),
    };
    let resolved = layers.resolve()?;
    log_to_stderr(verbose, "ctprof=info,warn", resolved.settings.log_format);
    let base = CorePlan {
        born_slots: args.born_slots,
        log: verbose > 0,
        ..CorePlan::default()
    };
    block_on(service::run(&layers, resolved, &base))?;
    Ok(ExitCode::SUCCESS)
}
