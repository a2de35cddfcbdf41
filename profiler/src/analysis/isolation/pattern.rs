//! Names of kernel functions, and what fits them.

use super::layers::{Layer, Row};

/// The name as the source has it: compilers append `.isra.0`, `.constprop.0`, `.part.0`, `.cold`, `.llvm.123` and the like,
/// and no name of C has a dot.
pub(super) fn plain(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// Whether the name fits; `*` at either end of a pattern stands for anything.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (None, None) => pattern == name,
        (Some(end), None) => name.ends_with(end),
        (None, Some(start)) => name.starts_with(start),
        (Some(rest), Some(_)) => name.contains(rest.strip_suffix('*').unwrap_or(rest)),
    }
}

/// Whether any of them fits.
pub(super) fn any_fits(patterns: &[&str], name: &str) -> bool {
    patterns.iter().any(|pattern| fits(pattern, name))
}

/// The layer of a function with this plain name, in this module (`[kernel]` for none).
pub(super) fn layer_of(rows: &[Row], name: &str, module: &str) -> Option<Layer> {
    let by_name = rows
        .iter()
        .filter(|row| !any_fits(row.except, name))
        .flat_map(|row| row.functions.iter().map(move |pattern| (row, pattern)))
        .filter(|(_, pattern)| fits(pattern, name))
        .max_by_key(|(_, pattern)| pattern.len())
        .map(|(row, _)| row.layer);
    by_name.or_else(|| {
        let mut rows = rows.iter();
        rows.find(|row| any_fits(row.modules, module))
            .map(|row| row.layer)
    })
}

/// The name of a BPF program in a symbol of the form `bpf_prog_6deef7357e7b4530_name`; empty where it has none.
pub(super) fn bpf_program(symbol: &str) -> Option<&str> {
    let rest = symbol.strip_prefix("bpf_prog_")?;
    let (tag, rest) = rest.split_at_checked(16)?;
    let is_tag = tag.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_tag {
        return None;
    }
    match rest.strip_prefix('_') {
        Some(name) => Some(name),
        None => rest.is_empty().then_some(""),
    }
}
