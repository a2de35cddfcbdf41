//! Views that are measured only where somebody asks for them, by a flag of commands that record or a setting of the agent.

use std::collections::BTreeSet;

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

/// Every flag, with the id of its view.
pub fn switches() -> impl Iterator<Item = (ViewId, &'static Switch)> {
    let views = super::ALL.iter();
    views.filter_map(|view| Some(((view.id)(), view.switch?)))
}

/// What views that somebody has `asked` for ask of the kernel half of this host.
///
/// # Errors
/// The host cannot be read.
pub fn asked(env: &Environment, asked: &BTreeSet<ViewId>) -> Result<Vec<Box<dyn Hooks>>> {
    let on = switches().filter(|(view, _)| asked.contains(view));
    on.map(|(_, switch)| (switch.hooks)(env)).collect()
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
