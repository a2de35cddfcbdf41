//! The flags that ask for views, of commands that record.

use std::collections::BTreeSet;
use std::marker::PhantomData;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::model::ViewId;
use crate::views::{Switch, switches};

/// What a command is told of a flag.
pub trait Purpose {
    /// The flag's help.
    fn help(switch: &Switch) -> &'static str;
}

/// For `ctprof record`.
#[derive(Clone, Copy, Debug)]
pub enum ToRecord {}

impl Purpose for ToRecord {
    fn help(switch: &Switch) -> &'static str {
        switch.record
    }
}

/// For `ctprof compare`.
#[derive(Clone, Copy, Debug)]
pub enum ToCompare {}

impl Purpose for ToCompare {
    fn help(switch: &Switch) -> &'static str {
        switch.compare
    }
}

/// The flags of a command, and those that were given.
#[derive(Clone, Debug)]
pub struct Switches<P> {
    /// Views that were asked for.
    pub on: BTreeSet<ViewId>,
    purpose: PhantomData<P>,
}

impl<P> Default for Switches<P> {
    fn default() -> Self {
        Self {
            on: BTreeSet::new(),
            purpose: PhantomData,
        }
    }
}

/// The flags as people type them: `--a, --b`.
#[must_use]
pub fn flags() -> String {
    let flags: Vec<String> = switches().map(|(_, it)| format!("--{}", it.name)).collect();
    flags.join(", ")
}

impl<P: Purpose> Args for Switches<P> {
    fn augment_args(command: Command) -> Command {
        command.args(switches().map(|(_, switch)| {
            Arg::new(switch.name)
                .long(switch.name)
                .help(P::help(switch))
                .action(ArgAction::SetTrue)
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<P: Purpose> FromArgMatches for Switches<P> {
    fn from_arg_matches(matches: &ArgMatches) -> std::result::Result<Self, clap::Error> {
        let mut this = Self::default();
        this.update_from_arg_matches(matches)?;
        Ok(this)
    }

    fn update_from_arg_matches(
        &mut self,
        matches: &ArgMatches,
    ) -> std::result::Result<(), clap::Error> {
        let on = switches().filter(|(_, switch)| matches.get_flag(switch.name));
        self.on.extend(on.map(|(view, _)| view));
        Ok(())
    }
}
