//! Who delayed a row: ours by name always, of the other rows those that are bad now.
//!
//! Names take turns. How bad a row is is a sum that halves every [`HALF_LIFE`]; one that is twice as bad as the mildest of
//! the named takes its place. Each figure that is told only grows for as long as it is there, and together they are the
//! time that the row waited, so what a name had when it lost its place goes to a figure of its own: put with `other`, it
//! would be there in rates as a delay that never happened at that time.

use std::time::Duration;

/// A delay counts half after this time.
const HALF_LIFE: Duration = Duration::from_secs(300);
/// How much worse a row has to be than the mildest one that is named, to take its place.
const MARGIN: f64 = 2.0;
/// Rows without a place that are remembered, for each place and beside.
const WAITING: (usize, usize) = (2, 16);
/// As bad as nobody: such a row is forgotten.
const NOTHING_NS: f64 = 1_000.0;

/// Who had the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::agent) enum Who<Id> {
    Siblings,
    Host,
    Kernel,
    Idle,
    Row(Id),
    Other,
    Former,
}

/// A delay, and what of it is told. What the kernel half has explained may be ahead of the waits that it has counted: the
/// two are read one after the other.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    told: u64,
    ahead: u64,
}

impl Share {
    /// Tells as much as there is time for.
    fn tell(&mut self, left: &mut u64) {
        let now = self.ahead.min(*left);
        self.told += now;
        self.ahead -= now;
        *left -= now;
    }
}

/// A row that is named.
#[derive(Clone, Copy, Debug)]
struct Named<Id> {
    id: Id,
    share: Share,
    /// Halves every [`HALF_LIFE`].
    badness_ns: f64,
}

/// A row that is not.
#[derive(Clone, Copy, Debug)]
struct Waiting<Id> {
    id: Id,
    badness_ns: f64,
    /// Since the last time.
    new_ns: u64,
}

/// The culprits of one row; other rows are known by `Id`.
#[derive(Clone, Debug)]
pub(in crate::agent) struct Culprits<Id> {
    /// Siblings, host, kernel, idle.
    ours: [Share; 4],
    named: Vec<Named<Id>>,
    waiting: Vec<Waiting<Id>>,
    other: Share,
    former_ns: u64,
}

impl<Id> Default for Culprits<Id> {
    fn default() -> Self {
        Self {
            ours: [Share::default(); 4],
            named: Vec::new(),
            waiting: Vec::new(),
            other: Share::default(),
            former_ns: 0,
        }
    }
}

impl<Id: Copy + PartialEq> Culprits<Id> {
    /// Somebody ran while the row waited; `most` may be named.
    pub(super) fn add(&mut self, who: Who<Id>, ns: u64, most: usize) {
        match who {
            Who::Siblings => self.ours[0].ahead += ns,
            Who::Host => self.ours[1].ahead += ns,
            Who::Kernel => self.ours[2].ahead += ns,
            Who::Idle => self.ours[3].ahead += ns,
            Who::Row(id) => self.add_row(id, ns, most),
            Who::Other | Who::Former => self.other.ahead += ns,
        }
    }

    fn add_row(&mut self, id: Id, ns: u64, most: usize) {
        if let Some(named) = self.named.iter_mut().find(|it| it.id == id) {
            named.share.ahead += ns;
            named.badness_ns += ns as f64;
            return;
        }
        let new = Waiting {
            id,
            badness_ns: ns as f64,
            new_ns: ns,
        };
        if let Some(waiting) = self.waiting.iter_mut().find(|it| it.id == id) {
            waiting.badness_ns += new.badness_ns;
            waiting.new_ns += ns;
        } else if self.waiting.len() < WAITING.0 * most + WAITING.1 {
            self.waiting.push(new);
        } else {
            let mildest = self
                .waiting
                .iter_mut()
                .min_by(|a, b| a.badness_ns.total_cmp(&b.badness_ns));
            let gone_ns = match mildest {
                Some(mildest) if mildest.badness_ns < new.badness_ns => {
                    std::mem::replace(mildest, new).new_ns
                }
                _ => ns,
            };
            self.other.ahead += gone_ns;
        }
    }

    /// Brings what is told up to all the time that the row has waited, after so long.
    pub(super) fn settle(&mut self, waited_ns: u64, elapsed: Duration, most: usize) {
        self.take_turns(most);
        let kept = 0.5_f64.powf(elapsed.as_secs_f64() / HALF_LIFE.as_secs_f64());
        for named in &mut self.named {
            named.badness_ns *= kept;
        }
        for waiting in &mut self.waiting {
            self.other.ahead += std::mem::take(&mut waiting.new_ns);
            waiting.badness_ns *= kept;
        }
        self.waiting.retain(|it| it.badness_ns >= NOTHING_NS);
        let mut left = waited_ns.saturating_sub(self.told_ns());
        for share in self.shares() {
            share.tell(&mut left);
        }
        // Nobody can be named for the rest.
        self.other.told += left;
    }

    fn take_turns(&mut self, most: usize) {
        while self.named.len() > most {
            self.demote_mildest();
        }
        while let Some(worst) = worst(&self.waiting) {
            let bad_ns = self.waiting[worst].badness_ns;
            if self.named.len() >= most {
                let mildest_ns = self
                    .named
                    .iter()
                    .map(|it| it.badness_ns)
                    .min_by(f64::total_cmp);
                if mildest_ns.is_none_or(|mildest_ns| bad_ns <= mildest_ns * MARGIN) {
                    return;
                }
                self.demote_mildest();
            }
            let Waiting {
                id,
                badness_ns,
                new_ns,
            } = self.waiting.swap_remove(worst);
            // What it had before stays with the others.
            self.named.push(Named {
                id,
                share: Share {
                    told: 0,
                    ahead: new_ns,
                },
                badness_ns,
            });
        }
    }

    fn demote_mildest(&mut self) {
        let mildest = self
            .named
            .iter()
            .enumerate()
            .min_by(|(_, a), (_, b)| a.badness_ns.total_cmp(&b.badness_ns));
        if let Some((place, _)) = mildest {
            let named = self.named.swap_remove(place);
            self.former_ns += named.share.told;
            self.waiting.push(Waiting {
                id: named.id,
                badness_ns: named.badness_ns,
                new_ns: named.share.ahead,
            });
        }
    }

    /// Forgets rows that are not there any more.
    pub(super) fn forget(&mut self, is_gone: impl Fn(Id) -> bool) {
        self.named.retain(|named| {
            let is_gone = is_gone(named.id);
            if is_gone {
                self.former_ns += named.share.told;
                self.other.ahead += named.share.ahead;
            }
            !is_gone
        });
        self.waiting.retain(|waiting| {
            let is_gone = is_gone(waiting.id);
            if is_gone {
                self.other.ahead += waiting.new_ns;
            }
            !is_gone
        });
    }

    /// Takes over those of a row that was never told of.
    pub(super) fn absorb(&mut self, other: Self, most: usize) {
        for (ours, more) in self.ours.iter_mut().zip(other.ours) {
            ours.ahead += more.told + more.ahead;
        }
        for named in other.named {
            self.add_row(named.id, named.share.told + named.share.ahead, most);
        }
        for waiting in other.waiting {
            self.add_row(waiting.id, waiting.new_ns, most);
        }
        self.other.ahead += other.other.told + other.other.ahead + other.former_ns;
    }

    /// What is told of each, in no particular order: the named and `other` always, the others where they had any.
    pub(super) fn told(&self) -> impl Iterator<Item = (Who<Id>, u64)> + '_ {
        let ours = [Who::Siblings, Who::Host, Who::Kernel, Who::Idle]
            .into_iter()
            .zip(self.ours.iter().map(|share| share.told));
        ours.chain([(Who::Former, self.former_ns)])
            .filter(|(_, ns)| *ns > 0)
            .chain(self.named.iter().map(|it| (Who::Row(it.id), it.share.told)))
            .chain([(Who::Other, self.other.told)])
    }

    fn told_ns(&self) -> u64 {
        self.told().map(|(_, ns)| ns).sum()
    }

    fn shares(&mut self) -> impl Iterator<Item = &mut Share> {
        let named = self.named.iter_mut().map(|it| &mut it.share);
        named.chain(&mut self.ours).chain([&mut self.other])
    }

    /// How many rows are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.named.len() + self.waiting.len()
    }
}

fn worst<Id>(waiting: &[Waiting<Id>]) -> Option<usize> {
    let places = waiting.iter().enumerate();
    places
        .max_by(|(_, a), (_, b)| a.badness_ns.total_cmp(&b.badness_ns))
        .map(|(place, _)| place)
}

#[cfg(test)]
mod tests;
