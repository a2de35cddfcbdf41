//! Typed access to the maps by which the kernel half unwinds user stacks.

use aya::maps::{Array, ArrayOfMaps, HashMap, MapData};
use ctprof_ebpf::abi::unwind::{Block, MAX_MAPPED, Mapped, Mappings, image};

use super::Kernel;
use super::loader::Owned;
use super::maps::{Plain, failed};
use crate::Result;
use crate::model::ProcessKey;

/// `BPF_F_INNER_MAP` in the kernel's `bpf.h`: an array in a map of arrays may have its own size.
const BPF_F_INNER_MAP: u32 = 1 << 12;

// SAFETY: records of the border: `#[repr(C)]` integers without padding, so every bit pattern is a value.
unsafe impl aya::Pod for Plain<Block> {}
// SAFETY: as above.
unsafe impl aya::Pod for Plain<Mappings> {}

type Blocks = Array<MapData, Plain<Block>>;

/// Tables by number, and what processes have mapped.
pub struct UnwindMaps {
    tables: ArrayOfMaps<Owned, Blocks>,
    mappings: HashMap<Owned, u64, Plain<Mappings>>,
    /// In the place of tables that are not needed any more.
    empty: Blocks,
}

impl UnwindMaps {
    /// The object's maps.
    ///
    /// # Errors
    /// The object lacks one of them.
    pub fn of(kernel: &mut Kernel) -> Result<Self> {
        Ok(Self {
            tables: kernel.take("TABLES")?,
            mappings: kernel.take("MAPPINGS")?,
            empty: array(1)?,
        })
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

    /// Takes a table away from the kernel half, and its memory.
    ///
    /// # Errors
    /// The map is gone.
    pub fn remove(&mut self, number: u32) -> Result<()> {
        self.tables
            .set(number, &self.empty, 0)
            .map_err(|error| failed("remove an unwind table", &error))
    }

    /// What an image has mapped, by address; no more than [`MAX_MAPPED`] of it are taken.
    ///
    /// # Errors
    /// The kernel has no memory for it, or there are too many.
    pub fn map(&mut self, process: ProcessKey, mapped: &[Mapped]) -> Result<()> {
        let mut all = [Mapped::NONE; MAX_MAPPED];
        let count = mapped.len().min(MAX_MAPPED);
        all[..count].copy_from_slice(&mapped[..count]);
        let mappings = Plain(Mappings { mapped: all });
        self.mappings
            .insert(image(process.pid, process.exec_id), mappings, 0)
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
