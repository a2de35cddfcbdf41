//! Views that the kernel half counts for while a session goes on: what they ask of it, and what it counted.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::sync::Arc;

use super::RawPart;
use crate::bpf::probes::{Hook, Probe};
use crate::bpf::{Kernel, Links, ProbeState, Sampler, SamplingEvent, Settings};
use crate::model::{Unavailable, ViewId};
use crate::{Result, views};

/// What a view asks of the kernel half.
pub trait Hooks: Debug + Sync {
    /// The view.
    fn id(&self) -> ViewId;

    /// Its programs, in the order in which they attach. They detach in the opposite order, before the ledger ends.
    fn probes(&self) -> Vec<&'static Probe>;

    /// What they have to know before they are verified, and the sizes of its maps.
    fn settings(&self) -> Settings;

    /// Whether they take user stacks.
    fn has_stacks(&self) -> bool {
        false
    }

    /// What its programs on perf events are run by, and how often a second and CPU.
    fn sampling(&self) -> Option<(SamplingEvent, u64)> {
        None
    }

    /// Takes its maps out of the loaded object.
    ///
    /// # Errors
    /// The object lacks one of them.
    fn open(&self, kernel: &mut Kernel) -> Result<Box<dyn Hooked>>;
}

/// The maps of a view while they are filled.
pub trait Hooked: Any + Debug {
    /// Called twice a second.
    fn tick(&mut self) {}

    /// Everything counted since the session began.
    ///
    /// # Errors
    /// A map cannot be read.
    fn read(&mut self) -> Result<Arc<dyn Raw>>;

    /// What a notice of this kind says; `None` if it is none of the view's.
    fn notice(&self, _kind: u32, _bytes: &[u8]) -> Option<Box<dyn Notice>> {
        None
    }

    /// Slots that a CPU still has something of which is not in the maps.
    ///
    /// # Errors
    /// A map cannot be read.
    fn held_back(&self) -> Result<HashSet<u32>>;

    /// Takes what was counted for these slots out, for good.
    ///
    /// # Errors
    /// A map cannot be read.
    fn take(&mut self, slots: &HashSet<u32>) -> Result<Arc<dyn Raw>>;

    /// The last reading, after the hooks were detached and the ledger was closed at this moment of `CLOCK_MONOTONIC`.
    ///
    /// # Errors
    /// A map cannot be read.
    fn finish(self: Box<Self>, ended_ns: u64) -> Result<Arc<dyn Raw>>;
}

/// What the kernel half tells of a view, one at a time.
pub trait Notice: Any + Debug {
    /// Key of the user stack that it came with; 0 for none.
    fn user_stack(&self) -> u64 {
        0
    }
}

/// What the kernel half counted for a view, by slot.
pub trait Raw: Any + Debug + Send + Sync {
    /// The view.
    fn view(&self) -> ViewId;

    /// How often each thing that the view counts one by one has ended, and how long all took, since the session began: by
    /// slot and by a number of the view's own, which [`Named::name`](crate::views::Named::name) has a name for.
    fn items(&self) -> HashMap<(u32, u64), RawPart> {
        HashMap::new()
    }
}

/// The same of every view that was counted. Copies are cheap: they share it.
#[derive(Clone, Debug, Default)]
pub struct RawViews(Vec<Arc<dyn Raw>>);

impl RawViews {
    /// What was counted for the view whose type this is; `None` where there is no such view.
    #[must_use]
    pub fn get<R: Raw>(&self) -> Option<&R> {
        let mut all = self.0.iter().map(|raw| -> &dyn Any { &**raw });
        all.find_map(|raw| raw.downcast_ref())
    }

    /// Every one.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Raw> {
        self.0.iter().map(|raw| &**raw)
    }
}

impl FromIterator<Arc<dyn Raw>> for RawViews {
    fn from_iter<I: IntoIterator<Item = Arc<dyn Raw>>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}

/// What these views ask of the kernel half; the maps of others are as small as they can be.
pub(crate) fn settings(wanted: &[&dyn Hooks]) -> Settings {
    let mut settings = Settings::default();
    for view in views::hooks() {
        settings.map_sizes.extend(view.settings().map_sizes);
    }
    for wanted in wanted.iter().map(|view| view.settings()) {
        settings.map_sizes.extend(wanted.map_sizes);
        settings.globals.extend(wanted.globals);
    }
    settings
}

/// A view of a session.
#[derive(Debug)]
struct One {
    id: ViewId,
    probes: Vec<&'static Probe>,
    sampling: Option<(SamplingEvent, u64)>,
    links: Option<Links>,
    samplers: Vec<Sampler>,
    maps: Box<dyn Hooked>,
}

impl One {
    fn attach(&mut self, kernel: &mut Kernel) -> std::result::Result<Links, String> {
        let is_sampled = |probe: &&'static Probe| probe.hook == Hook::PerfEvent;
        if let Some((event, frequency_hz)) = self.sampling {
            for probe in self.probes.iter().copied().filter(is_sampled) {
                let sampler = Sampler::of(probe.program, kernel, event, frequency_hz);
                self.samplers
                    .push(sampler.map_err(|error| error.to_string())?);
            }
        }
        let hooks = self.probes.iter().copied();
        Links::attach(kernel, hooks.filter(|probe| !is_sampled(probe)))
    }
}

/// The views of a session.
#[derive(Debug, Default)]
pub(super) struct HookedViews(Vec<One>);

impl HookedViews {
    /// Loads their programs. Those that the kernel refuses are in `unavailable`, with the cause.
    pub(super) fn load(
        wanted: &[&dyn Hooks],
        kernel: &mut Kernel,
        unavailable: &mut Vec<Unavailable>,
    ) -> Result<Self> {
        let mut all = Vec::new();
        for view in wanted {
            let (id, probes) = (view.id(), view.probes());
            let maps = view.open(kernel)?;
            let refused = probes.iter().find_map(|probe| {
                let (ProbeState::Skipped(cause) | ProbeState::Failed(cause)) =
                    kernel.load_probe(probe)
                else {
                    return None;
                };
                Some(format!("cannot load {}: {cause}", probe.id))
            });
            match refused {
                Some(cause) => unavailable.push(Unavailable { view: id, cause }),
                None => all.push(One {
                    id,
                    probes,
                    sampling: view.sampling(),
                    links: None,
                    samplers: Vec::new(),
                    maps,
                }),
            }
        }
        Ok(Self(all))
    }

    /// Attaches their programs. Views whose programs the kernel refuses are not there any more.
    pub(super) fn attach(&mut self, kernel: &mut Kernel, unavailable: &mut Vec<Unavailable>) {
        self.0.retain_mut(|view| {
            match view.attach(kernel) {
                Ok(links) => view.links = Some(links),
                Err(cause) => unavailable.push(Unavailable {
                    view: view.id.clone(),
                    cause,
                }),
            }
            view.links.is_some()
        });
    }

    /// Takes over what must not wait for a reading, and follows CPUs that come and go.
    pub(super) fn tick(&mut self, kernel: &mut Kernel) -> Result<()> {
        for view in &mut self.0 {
            view.maps.tick();
            for sampler in &mut view.samplers {
                sampler.follow_cpus(kernel)?;
            }
        }
        Ok(())
    }

    /// Nothing is counted after this.
    pub(super) fn detach(&mut self) {
        for links in self.0.iter_mut().filter_map(|view| view.links.take()) {
            links.detach();
        }
    }

    /// There is none.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this one is there.
    pub(super) fn has(&self, id: &ViewId) -> bool {
        self.0.iter().any(|view| view.id == *id)
    }

    /// The view whose maps have this type.
    pub(super) fn get_mut<H: Hooked>(&mut self) -> Option<&mut H> {
        let mut all = self.0.iter_mut();
        all.find_map(|view| -> Option<&mut H> {
            let maps: &mut dyn Any = &mut *view.maps;
            maps.downcast_mut()
        })
    }

    /// What a notice of this kind says; `None` if no view knows it.
    pub(super) fn notice(&self, kind: u32, bytes: &[u8]) -> Option<Box<dyn Notice>> {
        let mut all = self.0.iter();
        all.find_map(|view| view.maps.notice(kind, bytes))
    }

    /// Everything counted since the start.
    pub(super) fn read(&mut self) -> Result<RawViews> {
        self.0.iter_mut().map(|view| view.maps.read()).collect()
    }

    /// Takes what was counted for these slots out, for good. A slot that a CPU still has something of is taken from `slots`
    /// instead: its time has not come.
    pub(super) fn take(&mut self, slots: &mut HashSet<u32>) -> Result<RawViews> {
        for view in &self.0 {
            for slot in view.maps.held_back()? {
                slots.remove(&slot);
            }
        }
        let all = self.0.iter_mut();
        all.map(|view| view.maps.take(slots)).collect()
    }

    /// The last reading, after the ledger was closed at this moment of `CLOCK_MONOTONIC`.
    pub(super) fn finish(mut self, ended_ns: u64) -> Result<RawViews> {
        self.detach();
        let all = self.0.into_iter();
        all.map(|view| view.maps.finish(ended_ns)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::any::Any;
    use std::collections::HashSet;
    use std::sync::Arc;

    use super::{Hooked, HookedViews, Notice, One, Raw, RawViews};
    use crate::Result;
    use crate::model::ViewId;

    /// A view whose notices have this kind, and that has something of this slot on a CPU.
    #[derive(Debug)]
    struct Fake(u32);

    #[derive(Debug)]
    struct Told(Vec<u8>);

    impl Notice for Told {}

    impl Raw for Told {
        fn view(&self) -> ViewId {
            ViewId::new("fake")
        }
    }

    impl Hooked for Fake {
        fn read(&mut self) -> Result<Arc<dyn Raw>> {
            Ok(Arc::new(Told(vec![self.0 as u8])))
        }

        fn notice(&self, kind: u32, bytes: &[u8]) -> Option<Box<dyn Notice>> {
            (kind == self.0).then(|| Box::new(Told(bytes.to_vec())) as _)
        }

        fn held_back(&self) -> Result<HashSet<u32>> {
            Ok([self.0].into())
        }

        fn take(&mut self, slots: &HashSet<u32>) -> Result<Arc<dyn Raw>> {
            Ok(Arc::new(Told(
                slots.iter().map(|slot| *slot as u8).collect(),
            )))
        }

        fn finish(self: Box<Self>, _: u64) -> Result<Arc<dyn Raw>> {
            Ok(Arc::new(Told(Vec::new())))
        }
    }

    fn views() -> HookedViews {
        let of = |number| One {
            id: ViewId::new("fake"),
            probes: Vec::new(),
            sampling: None,
            links: None,
            samplers: Vec::new(),
            maps: Box::new(Fake(number)),
        };
        HookedViews(vec![of(4), of(7)])
    }

    #[test]
    fn a_notice_is_read_by_the_view_whose_it_is() {
        let told = views().notice(7, &[1, 2]).unwrap();
        let told: &dyn Any = &*told;
        assert_eq!(told.downcast_ref::<Told>().unwrap().0, [1, 2]);
        assert!(views().notice(5, &[1, 2]).is_none());
    }

    #[test]
    fn slots_that_a_view_has_something_of_are_not_taken_from_any() {
        let mut slots: HashSet<u32> = [3, 4, 7].into();
        let taken: RawViews = views().take(&mut slots).unwrap();
        assert_eq!(slots, [3].into());
        for raw in taken.iter() {
            let raw: &dyn Any = raw;
            assert_eq!(raw.downcast_ref::<Told>().unwrap().0, [3]);
        }
    }
}
