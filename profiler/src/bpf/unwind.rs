//! Typed access to the maps by which the kernel half unwinds user stacks.

use std::collections;

use aya::maps::{Array, ArrayOfMaps, HashMap, MapData};
use ctprof_ebpf::abi::unwind::{
    Block, LookedUp, MAX_MAPPED, Mapped, Mappings, NO_IMAGE, Shown, ShownTable, image,
};

use super::loader::Owned;
use super::maps::{Plain, failed};
use super::{Kernel, probes};
use crate::Result;
use crate::model::ProcessKey;
use crate::unwind::Own;

/// `BPF_F_INNER_MAP` in the kernel's `bpf.h`: an array in a map of arrays may have its own size.
const BPF_F_INNER_MAP: u32 = 1 << 12;

// SAFETY: records of the border: `#[repr(C)]` integers without padding, so every bit pattern is a value.
unsafe impl aya::Pod for Plain<Block> {}
// SAFETY: as above.
unsafe impl aya::Pod for Plain<Mappings> {}
// SAFETY: as above.
unsafe impl aya::Pod for Plain<Shown> {}
// SAFETY: as above.
unsafe impl aya::Pod for Plain<LookedUp> {}
// SAFETY: as above.
unsafe impl aya::Pod for Plain<ShownTable> {}

/// How often the kernel is asked what a mapping of ours shows: while another thread changes what is mapped, it cannot tell.
const TRIES: usize = 8;

type Blocks = Array<MapData, Plain<Block>>;

/// Tables by number, and what processes have mapped.
pub struct UnwindMaps {
    tables: ArrayOfMaps<Owned, Blocks>,
    mappings: HashMap<Owned, u64, Plain<Mappings>>,
    asked: Array<Owned, Plain<LookedUp>>,
    shown: HashMap<Owned, Plain<Shown>, Plain<ShownTable>>,
    /// By what the files of tables are recognised. The mapping keeps the file's inode: it is no other file's meanwhile.
    own: collections::HashMap<u32, Own>,
    /// Tables by what their files show: overlay mounts of one image layer have different files of the same inode.
    tables_of: collections::HashMap<Shown, Vec<ShownTable>>,
    /// In the place of tables that are not needed any more.
    empty: Blocks,
}

impl UnwindMaps {
    /// The object's maps.
    ///
    /// # Errors
    /// The object lacks one of them.
    pub fn of(kernel: &mut Kernel) -> Result<Self> {
        let mut maps = Self {
            tables: kernel.take("TABLES")?,
            mappings: kernel.take("MAPPINGS")?,
            asked: kernel.take("ASKED")?,
            shown: kernel.take("SHOWN")?,
            own: collections::HashMap::new(),
            tables_of: collections::HashMap::new(),
            empty: array(1)?,
        };
        maps.insert(NO_IMAGE, &[])?;
        Ok(maps)
    }

    /// Gives the kernel half a table.
    ///
    /// # Errors
    /// The kernel has no memory for it.
    pub fn add(&mut self, number: u32, blocks: impl ExactSizeIterator<Item = Block>) -> Result<()> {
        let size = u32::try_from(blocks.len()).unwrap_or(u32::MAX).max(1);
        let mut table = array(size)?;
        for (at, block) in (0..).zip(blocks) {
            table
                .set(at, Plain(block), 0)
                .map_err(|error| failed("fill an unwind table", &error))?;
        }
        self.tables
            .set(number, &table, 0)
            .map_err(|error| failed("add an unwind table", &error))
    }

    /// Has the kernel half recognise the file of a table in processes of which it is told nothing. Without the program for it, or
    /// where the kernel cannot say what our own mapping shows, such processes have no whole stacks.
    ///
    /// # Errors
    /// The kernel has no memory for it.
    pub fn show(&mut self, number: u32, pages: u32, own: Own, kernel: &mut Kernel) -> Result<()> {
        let content = (0..TRIES).find_map(|_| self.content(own.address(), kernel));
        let Some(content) = content else {
            return Ok(());
        };
        for piece in own.pieces() {
            let page = piece.page;
            let key = Shown { content, page };
            let table = ShownTable {
                origin: piece.origin,
                table: number,
                pages,
            };
            self.shown
                .insert(Plain(key), Plain(table), 0)
                .map_err(|error| failed("tell by what a file is recognised", &error))?;
            self.tables_of.entry(key).or_default().push(table);
        }
        tracing::debug!("table {number} is recognised by {content:#x}");
        self.own.insert(number, own);
        Ok(())
    }

    /// What a mapping of our own shows.
    fn content(&mut self, address: u64, kernel: &mut Kernel) -> Option<u64> {
        if let Err(error) = kernel.call(&probes::ASK_MAPPING, address) {
            tracing::debug!("cannot ask what a mapping shows: {error}");
            return None;
        }
        let asked = self.asked.get(&0, 0).ok()?.0.area;
        (asked.end != 0 && asked.shown.content != 0).then_some(asked.shown.content)
    }

    /// Takes a table away from the kernel half, and its memory.
    ///
    /// # Errors
    /// The map is gone.
    pub fn remove(&mut self, number: u32) -> Result<()> {
        self.hide(number)?;
        self.tables
            .set(number, &self.empty, 0)
            .map_err(|error| failed("remove an unwind table", &error))
    }

    /// A file is recognised no more.
    fn hide(&mut self, number: u32) -> Result<()> {
        let Some(_own) = self.own.remove(&number) else {
            return Ok(());
        };
        let (maps, mut result) = (&mut self.shown, Ok(()));
        self.tables_of.retain(|key, tables| {
            let before = tables.len();
            tables.retain(|it| it.table != number);
            let changed = match tables.last() {
                _ if tables.len() == before => Ok(()),
                Some(other) => maps.insert(Plain(*key), Plain(*other), 0),
                None => maps.remove(&Plain(*key)),
            };
            if let Err(error) = changed {
                result = Err(failed("forget by what a file is recognised", &error));
            }
            !tables.is_empty()
        });
        result
    }

    /// What an image has mapped, by address; no more than [`MAX_MAPPED`] of it are taken.
    ///
    /// # Errors
    /// The kernel has no memory for it, or there are too many.
    pub fn map(&mut self, process: ProcessKey, mapped: &[Mapped]) -> Result<()> {
        self.insert(image(process.pid, process.exec_id), mapped)
    }

    fn insert(&mut self, image: u64, mapped: &[Mapped]) -> Result<()> {
        let mut all = [Mapped::NONE; MAX_MAPPED];
        let count = mapped.len().min(MAX_MAPPED);
        all[..count].copy_from_slice(&mapped[..count]);
        let mappings = Plain(Mappings { mapped: all });
        self.mappings
            .insert(image, mappings, 0)
            .map_err(|error| failed("tell what a process has mapped", &error))
    }

    /// An image is gone.
    pub fn forget(&mut self, process: ProcessKey) {
        // It may never have been told.
        let _ = self.mappings.remove(&image(process.pid, process.exec_id));
    }
}

impl std::fmt::Debug for UnwindMaps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnwindMaps").finish_non_exhaustive()
    }
}

fn array(blocks: u32) -> Result<Blocks> {
    Array::create(blocks, BPF_F_INNER_MAP)
        .map_err(|error| failed("make room for an unwind table", &error))
}
