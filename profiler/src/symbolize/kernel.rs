//! Kernel functions, from `/proc/kallsyms`.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use super::problems::Problem;

/// A kernel with all modules has a few hundred thousand symbols, about 20 MB of text.
const MAX_TEXT: u64 = 256 << 20;

/// An address further behind the start of the last function than this is not in it.
const MAX_FUNCTION: u64 = 1 << 20;

/// A function of the kernel, its name in the common text.
#[derive(Clone, Copy, Debug)]
struct Symbol {
    address: u64,
    name: u32,
    name_len: u16,
    /// Index in `modules`.
    module: u16,
}

/// Every function of the kernel, its modules and its BPF programs, by address.
#[derive(Debug, Default)]
pub(crate) struct KernelSymbols {
    symbols: Vec<Symbol>,
    names: String,
    modules: Vec<String>,
}

/// What a lookup found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KernelFunction<'a> {
    pub(super) name: &'a str,
    /// `[kernel]`, or a module's name in brackets.
    pub(super) module: &'a str,
}

impl KernelSymbols {
    /// Reads the table once: it takes the kernel tens of milliseconds to write it.
    pub(crate) fn read(path: &Path) -> (Self, Option<Problem>) {
        let Ok(file) = File::open(path) else {
            return (Self::default(), Some(Problem::KernelSymbolsUnreadable));
        };
        let mut table = Self::default();
        let mut reader = BufReader::with_capacity(256 * 1024, file.take(MAX_TEXT));
        let mut line = Vec::new();
        loop {
            line.clear();
            match reader.read_until(b'\n', &mut line) {
                Ok(0) => break,
                Ok(_) => table.add(&line),
                Err(_) => return (Self::default(), Some(Problem::KernelSymbolsUnreadable)),
            }
        }
        let hidden = table.symbols.iter().all(|symbol| symbol.address == 0);
        if hidden {
            return (Self::default(), Some(Problem::KernelAddressesHidden));
        }
        table.finish();
        (table, None)
    }

    /// Takes a line of the form `address type name [module]`, if it is a function.
    fn add(&mut self, line: &[u8]) {
        let Ok(line) = std::str::from_utf8(line) else {
            return;
        };
        let mut words = line.split_ascii_whitespace();
        let (Some(address), Some(kind), Some(name)) = (words.next(), words.next(), words.next())
        else {
            return;
        };
        if !matches!(kind, "t" | "T" | "w" | "W") || name.len() > usize::from(u16::MAX) {
            return;
        }
        let (Ok(address), Ok(start)) = (
            u64::from_str_radix(address, 16),
            u32::try_from(self.names.len()),
        ) else {
            return;
        };
        let module = self.module(words.next().unwrap_or("[kernel]"));
        self.names.push_str(name);
        self.symbols.push(Symbol {
            address,
            name: start,
            name_len: name.len() as u16,
            module,
        });
    }

    /// Number of a module; the symbols of one come in a row.
    fn module(&mut self, name: &str) -> u16 {
        let at = self.modules.iter().rposition(|known| known == name);
        let at = at.unwrap_or_else(|| {
            self.modules.push(name.to_owned());
            self.modules.len() - 1
        });
        u16::try_from(at).unwrap_or(u16::MAX)
    }

    /// Sorts, and of several names for one address keeps one: the first, as the kernel itself does.
    fn finish(&mut self) {
        self.symbols.sort_by_key(|symbol| symbol.address);
        self.symbols.dedup_by_key(|symbol| symbol.address);
        self.symbols.shrink_to_fit();
        self.names.shrink_to_fit();
    }

    /// Every function by address: its beginning, its name and its module.
    pub(crate) fn each(&self) -> impl Iterator<Item = (u64, &str, &str)> {
        self.symbols.iter().filter_map(|symbol| {
            let start = symbol.name as usize;
            let name = self
                .names
                .get(start..start + usize::from(symbol.name_len))?;
            let module = self.modules.get(usize::from(symbol.module))?;
            Some((symbol.address, name, module.as_str()))
        })
    }

    /// The function that contains `address`.
    pub(super) fn find(&self, address: u64) -> Option<KernelFunction<'_>> {
        let after = self.symbols.partition_point(|s| s.address <= address);
        let symbol = self.symbols.get(after.checked_sub(1)?)?;
        // Without sizes, the next symbol ends a function; the last of a module ends nowhere.
        if address - symbol.address > MAX_FUNCTION {
            return None;
        }
        let start = symbol.name as usize;
        Some(KernelFunction {
            name: self
                .names
                .get(start..start + usize::from(symbol.name_len))?,
            module: self.modules.get(usize::from(symbol.module))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> (KernelSymbols, Option<Problem>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kallsyms");
        std::fs::write(&path, text).unwrap();
        KernelSymbols::read(&path)
    }

    #[test]
    fn functions_are_found_whatever_the_order() {
        let (table, problem) = table(
            "ffffffff81000000 T _text\n\
             ffffffff81000000 T _stext\n\
             ffffffff81000100 D some_data\n\
             ffffffffc0001000 t nf_hook\t[nf_tables]\n\
             broken\n\
             ffffffff81002000 t schedule\n\
             ffffffffc0002000 t bpf_prog_6deef7357e7b4530_on_cpu\t[bpf]\n",
        );
        assert_eq!(problem, None);
        let find = |address| table.find(address).map(|f| (f.name, f.module));
        assert_eq!(find(0xffffffff81000150), Some(("_text", "[kernel]")));
        assert_eq!(find(0xffffffff81002000), Some(("schedule", "[kernel]")));
        assert_eq!(find(0xffffffffc0001fff), Some(("nf_hook", "[nf_tables]")));
        assert_eq!(
            find(0xffffffffc0002001),
            Some(("bpf_prog_6deef7357e7b4530_on_cpu", "[bpf]"))
        );
        assert_eq!(find(0xffffffff80ffffff), None);
        assert_eq!(find(0xffffffffffff0000), None);
    }

    #[test]
    fn hidden_addresses_are_a_problem_of_their_own() {
        let (table, problem) = table("0000000000000000 T _text\n0000000000000000 t schedule\n");
        assert_eq!(problem, Some(Problem::KernelAddressesHidden));
        assert_eq!(table.find(0), None);
        assert_eq!(
            KernelSymbols::read(Path::new("/nonexistent")).1,
            Some(Problem::KernelSymbolsUnreadable)
        );
    }
}
