//! Segments and sections: what an ELF file says that it consists of.

pub(super) const PT_LOAD: u32 = 1;

const SHF_EXECINSTR: u64 = 4;

const SHF_COMPRESSED: u64 = 0x800;

const PF_X: u32 = 1;

const SHT_NOBITS: u32 = 8;

/// A part of the file that the kernel maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) kind: u32,
    pub(super) flags: u32,
    pub(crate) offset: u64,
    pub(crate) address: u64,
    pub(crate) file_size: u64,
}

impl Segment {
    /// The kernel maps it.
    pub(crate) fn is_loaded(&self) -> bool {
        self.kind == PT_LOAD
    }

    /// Its bytes are mapped to be executed.
    pub(crate) fn is_code(&self) -> bool {
        self.kind == PT_LOAD && self.flags & PF_X != 0
    }
}

/// A section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) kind: u32,
    pub(super) flags: u64,
    pub(crate) address: u64,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) link: u32,
}

impl Section {
    pub(crate) fn is_code(&self) -> bool {
        self.flags & SHF_EXECINSTR != 0
    }

    /// Its bytes are compressed, with the header of the ELF standard.
    pub(super) fn is_compressed(&self) -> bool {
        self.flags & SHF_COMPRESSED != 0
    }

    /// Its bytes in the file are not those that it is made of.
    pub(crate) fn is_packed(&self) -> bool {
        self.is_compressed() || self.name.starts_with(".zdebug_")
    }

    /// Where its bytes are in the file.
    #[cfg(test)]
    pub(crate) fn file_range(&self) -> Option<std::ops::Range<usize>> {
        let (start, end) = (self.offset, self.offset.checked_add(self.size)?);
        self.has_bytes()
            .then_some(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
    }

    pub(crate) fn has_bytes(&self) -> bool {
        self.kind != SHT_NOBITS && self.size > 0
    }
}
