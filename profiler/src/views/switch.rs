//! Views that are measured only where somebody asks for them: by a flag of commands that record.

use std::collections::BTreeSet;
use std::marker::PhantomData;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::Result;
use crate::collect::{Environment, Hooks};
use crate::model::ViewId;

/// The flag of a view, which is also a setting of the agent.
#[derive(Debug)]
pub struct Switch {
    /// What it is called: what the view is.
    pub name: &'static str,
    /// Its help in `ctprof record`.
    pub record: &'static str,
    /// Its help in `ctprof compare`.
    pub compare: &'static str,
    /// Its help in `ctprof agent`.
    pub agent: &'static str,
    /// What is said where nobody asked, and somebody wants to see figures of the view.
    pub absent: &'static str,
    /// What is asked of the kernel half of this host.
    pub hooks: fn(&Environment) -> Result<Box<dyn Hooks>>,
}

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

/// Every flag, with the id of its view.
pub fn switches() -> impl Iterator<Item = (ViewId, &'static Switch)> {
    let views = super::ALL.iter();
    views.filter_map(|view| Some(((view.id)(), view.switch?)))
}

/// The flags as people type them: `--a, --b`.
#[must_use]
pub fn flags() -> String {
    let flags: Vec<String> = switches().map(|(_, it)| format!("--{}", it.name)).collect();
    flags.join(", ")
}

/// What views that somebody has `asked` for ask of the kernel half of this host.
///
/// # Errors
/// The host cannot be read.
pub fn asked(env: &Environment, asked: &BTreeSet<ViewId>) -> Result<Vec<Box<dyn Hooks>>> {
    let on = switches().filter(|(view, _)| asked.contains(view));
    on.map(|(_, switch)| (switch.hooks)(env)).collect()
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

#[cfg(test)]
mod tests {
    use super::switches;

    #[test]
    fn a_flag_is_called_what_its_view_is() {
        for (view, switch) in switches() {
            assert_eq!(view.as_str(), switch.name);
        }
    }
}
