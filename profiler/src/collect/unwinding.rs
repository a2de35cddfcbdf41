//! Tells the kernel half how to unwind user stacks.

use std::collections::HashSet;

use crate::Result;
use crate::bpf::UnwindMaps;
use crate::model::ProcessKey;
use crate::unwind::News;

/// The kernel half's side of unwinding by tables.
#[derive(Debug)]
pub(super) struct Unwinding {
    maps: UnwindMaps,
    /// What the kernel half has.
    tables: HashSet<u32>,
    images: HashSet<ProcessKey>,
}

impl Unwinding {
    pub(super) fn new(maps: UnwindMaps) -> Self {
        Self {
            maps,
            tables: HashSet::new(),
            images: HashSet::new(),
        }
    }

    /// Whether the kernel half has anything.
    pub(super) fn has_told(&self) -> bool {
        !self.tables.is_empty() || !self.images.is_empty()
    }

    /// Passes on what is new, in order. What the kernel has no room for is unwound by frame pointers.
    pub(super) fn tell(&mut self, news: Vec<News>) {
        for news in news {
            if let Err(error) = self.pass_on(news) {
                tracing::debug!("unwinding: {error}");
            }
        }
    }

    fn pass_on(&mut self, news: News) -> Result<()> {
        match news {
            News::Anew => {
                for image in self.images.drain() {
                    self.maps.forget(image);
                }
                let tables = std::mem::take(&mut self.tables);
                tables.into_iter().try_for_each(|it| self.maps.remove(it))
            }
            News::Table(number, table) => {
                self.tables.insert(number);
                self.maps.add(number, table.blocks())
            }
            News::NoTable(number) => {
                self.tables.remove(&number);
                self.maps.remove(number)
            }
            News::Mapped(process, mapped) => {
                self.images.insert(process);
                self.maps.map(process, &mapped)
            }
            News::Gone(process) => {
                self.images.remove(&process);
                self.maps.forget(process);
                Ok(())
            }
        }
    }
}
