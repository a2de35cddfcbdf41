//! Taking the debug info out of the object, and making sure that no path of the build machine is left.

use anyhow::{Context, Result, bail};
use object::build::elf::{Builder, SectionData};
use object::elf;

/// Removes the DWARF sections, their relocations and their symbols. BTF stays: the loader needs it.
pub(crate) fn strip(object: &[u8]) -> Result<Vec<u8>> {
    let mut builder =
        Builder::read(object).context("cannot parse the object that bpf-linker wrote")?;
    for section in &mut builder.sections {
        let name = section.name.as_slice();
        if name.starts_with(b".debug_") || name.starts_with(b".rel.debug_") {
            section.delete = true;
        }
    }
    builder.delete_orphans();
    // LLVM keeps section names in .strtab; the builder wants a table of their own.
    let names = builder.sections.add();
    names.name = ".shstrtab".into();
    names.sh_type = elf::SHT_STRTAB;
    names.sh_addralign = 1;
    names.data = SectionData::SectionString;
    builder.set_section_sizes();
    let mut bytes = Vec::new();
    builder
        .write(&mut bytes)
        .context("cannot write the object without its debug info")?;
    Ok(bytes)
}

/// Fails when the object holds something that looks like an absolute path: it would differ from machine to
/// machine, and tell whose machine built it.
pub(crate) fn refuse_absolute_paths(object: &[u8]) -> Result<()> {
    match absolute_path(object) {
        None => Ok(()),
        Some(path) => bail!("the object holds the absolute path {path}"),
    }
}

/// The first NUL-terminated string that starts with `/` and has a second one.
fn absolute_path(bytes: &[u8]) -> Option<String> {
    bytes
        .split(|byte| *byte == 0)
        .filter_map(|string| std::str::from_utf8(string).ok())
        .find(|string| {
            string.starts_with('/')
                && string[1..].contains('/')
                && string.chars().all(|c| c.is_ascii_graphic() || c == ' ')
        })
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::absolute_path;

    #[test]
    fn only_absolute_paths_are_found() {
        assert_eq!(
            absolute_path(b"\0tp_btf/sched_switch\0crates/a/b.rs\0/\0"),
            None
        );
        assert_eq!(
            absolute_path(b"x\0/home/user/a.rs\0").as_deref(),
            Some("/home/user/a.rs")
        );
    }
}
