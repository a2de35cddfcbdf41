//! Names as they are drawn: with the mark of their class at the end, which `svg::finish` takes out again.

use foldhash::{HashMap, HashMapExt as _};

use super::colour::Class;
use crate::analysis::names::{Name, NameKind};
use crate::analysis::stacks::NameId;
use crate::analysis::states::ViewState;

/// Number of a drawn name.
pub(super) type Drawn = u32;

/// Drawn names, each made once.
pub(super) struct DrawnNames<'a> {
    names: Vec<(String, Class)>,
    sections: HashMap<&'static str, Drawn>,
    labels: HashMap<&'a str, Drawn>,
    states: [Option<Drawn>; ViewState::ALL.len()],
    threads: HashMap<NameId, Drawn>,
    calls: HashMap<NameId, Drawn>,
    /// Of every frame of every stack: no place for hashing.
    frames: Vec<[Option<Drawn>; ViewState::ALL.len()]>,
}

impl<'a> DrawnNames<'a> {
    /// None yet, of stacks with so many names.
    pub(super) fn new(names: usize) -> Self {
        Self {
            names: Vec::new(),
            sections: HashMap::new(),
            labels: HashMap::new(),
            states: [None; ViewState::ALL.len()],
            threads: HashMap::new(),
            calls: HashMap::new(),
            frames: vec![[None; ViewState::ALL.len()]; names],
        }
    }

    /// The name and its class.
    pub(super) fn get(&self, name: Drawn) -> (&str, Class) {
        let (name, class) = &self.names[name as usize];
        (name, *class)
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn section(&mut self, title: &'static str) -> Drawn {
        let names = &mut self.names;
        *self
            .sections
            .entry(title)
            .or_insert_with(|| drawn(names, title, Class::Section))
    }

    pub(super) fn label(&mut self, label: &'a str) -> Drawn {
        let names = &mut self.names;
        *self
            .labels
            .entry(label)
            .or_insert_with(|| drawn(names, label, Class::Container))
    }

    pub(super) fn state(&mut self, state: ViewState) -> Drawn {
        let names = &mut self.names;
        *self.states[state.index()]
            .get_or_insert_with(|| drawn(names, state.title(), Class::State(state)))
    }

    pub(super) fn thread(&mut self, name: &str, group: NameId) -> Drawn {
        let names = &mut self.names;
        *self
            .threads
            .entry(group)
            .or_insert_with(|| drawn(names, name, Class::Thread))
    }

    pub(super) fn call(&mut self, name: &str, id: NameId) -> Drawn {
        let names = &mut self.names;
        *self
            .calls
            .entry(id)
            .or_insert_with(|| drawn(names, name, Class::Call))
    }

    pub(super) fn frame(&mut self, name: &Name, id: NameId, state: ViewState) -> Drawn {
        let names = &mut self.names;
        *self.frames[id as usize][state.index()].get_or_insert_with(|| {
            let class = match name.kind {
                NameKind::Kernel => Class::Kernel(state),
                NameKind::Inlined => Class::Inlined(state),
                NameKind::Plain | NameKind::StandIn => Class::User(state),
            };
            drawn(names, &name.text, class)
        })
    }
}

fn drawn(names: &mut Vec<(String, Class)>, name: &str, class: Class) -> Drawn {
    names.push((format!("{name}{}", class.mark()), class));
    (names.len() - 1) as Drawn
}
