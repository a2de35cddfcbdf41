//! Which addresses of the kernel say something of what isolation costs.

use std::path::Path;

use crate::analysis::isolation::Function;
use crate::model::Problem;
use crate::symbolize::KernelSymbols;

/// Where each stretch of functions begins that mean the same: most of the kernel means nothing.
#[derive(Debug, Default)]
pub(super) struct KernelFunctions(Vec<(u64, Function)>);

impl KernelFunctions {
    /// Those of the running kernel, its modules and BPF programs.
    pub(super) fn read(kallsyms: &Path) -> Result<Self, Problem> {
        let (symbols, problem) = KernelSymbols::read(kallsyms);
        match problem {
            Some(problem) => Err(problem),
            None => Ok(Self::of(symbols.each())),
        }
    }

    /// Those of these functions, by address.
    pub(super) fn of<'a>(symbols: impl Iterator<Item = (u64, &'a str, &'a str)>) -> Self {
        let mut all = Vec::new();
        let mut last = Function::default();
        for (address, name, module) in symbols {
            let function = Function::new(name, module);
            if function != last {
                all.push((address, function));
                last = function;
            }
        }
        all.shrink_to_fit();
        Self(all)
    }

    /// Whether nothing is known.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The function at this address.
    pub(super) fn at(&self, address: u64) -> Function {
        let after = self.0.partition_point(|(start, _)| *start <= address);
        let before = after.checked_sub(1).and_then(|at| self.0.get(at));
        before.map_or_else(Function::default, |(_, function)| *function)
    }
}

#[cfg(test)]
mod tests {
    use super::KernelFunctions;
    use crate::analysis::isolation::Function;

    #[test]
    fn functions_end_where_others_begin() {
        let kernel = "[kernel]";
        let symbols = [
            (10, "vfs_read", kernel),
            (20, "ovl_open", kernel),
            (30, "ovl_release", kernel),
            (40, "ovl_read_iter", kernel),
            (50, "vfs_write", kernel),
            (60, "vfs_open", kernel),
        ];
        let functions = KernelFunctions::of(symbols.into_iter());
        assert_eq!(functions.0.len(), 4);
        let named = |name| Function::new(name, kernel);
        for (address, function) in [
            (9, Function::default()),
            (19, Function::default()),
            (20, named("ovl_open")),
            (39, named("ovl_release")),
            (49, named("ovl_read_iter")),
            (99, Function::default()),
        ] {
            assert_eq!(functions.at(address), function, "{address}");
        }
    }
}
