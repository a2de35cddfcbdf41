//! Tells the kernel half how to unwind user stacks.

use std::collections::HashSet;

use crate::Result;
use crate::bpf::{Kernel, UnwindMaps};
use crate::model::{ProcessKey, Unavailable, ViewId};
use crate::unwind::News;

/// The kernel half's side of unwinding by tables.
#[derive(Debug)]
pub(super) struct Unwinding {
    maps: UnwindMaps,
    /// What the kernel half has.
    tables: HashSet<u32>,
    images: HashSet<ProcessKey>,
    /// The kernel did not take something, and that has been said.
    has_failed: bool,
}

/// Stacks by tables.
const UNWINDING: ViewId = ViewId::new("unwinding");

impl Unwinding {
    pub(super) fn new(maps: UnwindMaps) -> Self {
        Self {
            maps,
            tables: HashSet::new(),
            images: HashSet::new(),
            has_failed: false,
        }
    }

    /// Whether the kernel half has anything.
    pub(super) fn has_told(&self) -> bool {
        !self.tables.is_empty() || !self.images.is_empty()
    }

    /// Passes on what is new, in order. What the kernel does not take is unwound by frame pointers; says so the first time.
    pub(super) fn tell(&mut self, news: Vec<News>, kernel: &mut Kernel) -> Option<Unavailable> {
        let mut first = None;
        for news in news {
            if let Err(error) = self.pass_on(news, kernel) {
                tracing::debug!("unwinding: {error}");
                first.get_or_insert(error);
            }
        }
        let error = first?;
        let is_first = !std::mem::replace(&mut self.has_failed, true);
        is_first.then(|| Unavailable {
            view: UNWINDING,
            cause: format!("some stacks were unwound by frame pointers alone: {error}"),
        })
    }

    fn pass_on(&mut self, news: News, kernel: &mut Kernel) -> Result<()> {
        match news {
            News::Anew => {
                for image in self.images.drain() {
                    self.maps.forget(image);
                }
                let tables = std::mem::take(&mut self.tables);
                tables.into_iter().try_for_each(|it| self.maps.remove(it))
            }
            News::Table(number, table, own) => {
                self.tables.insert(number);
                self.maps.add(number, table.blocks())?;
                if let Some(own) = own {
                    self.maps.show(number, table.pages(), own, kernel)?;
                }
                Ok(())
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
