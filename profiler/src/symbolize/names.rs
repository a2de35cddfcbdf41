//! What a function is called in the output: demangled, printable, of bounded length.

use std::fmt;
use std::sync::Arc;

use cpp_demangle::{BorrowedSymbol, DemangleOptions};

use crate::model::text::printable;

/// Longest function name in characters; C++ templates and hostile files have longer ones.
pub(super) const MAX_NAME: usize = 512;

/// Longest mangled name that is handed to a demangler; a longer one is shown as it is, cut.
const MAX_MANGLED: usize = 16 * 1024;

/// The name of the symbol `raw`, as people write it: demangled (C++ without parameters and return type,
/// Rust without its hash), printable, at most [`MAX_NAME`] characters.
pub(super) fn function(raw: &[u8]) -> Arc<str> {
    let raw = String::from_utf8_lossy(&raw[..raw.len().min(4 * MAX_MANGLED)]);
    match demangle(&raw) {
        Some(name) => clean(&name),
        None => clean(&raw),
    }
}

/// The name of a Go function as Go's own tools write it: `slices.Sorted[...]`, since what is in the brackets is
/// the compiler's (`go.shape.string`).
pub(super) fn go_function(raw: &[u8]) -> Arc<str> {
    let raw = String::from_utf8_lossy(raw);
    match (raw.find('['), raw.rfind(']')) {
        (Some(open), Some(close)) if open < close => {
            clean(&format!("{}[...]{}", &raw[..open], &raw[close + 1..]))
        }
        _ => clean(&raw),
    }
}

/// `text` with the cut and the character set of a function name.
pub(super) fn clean(text: &str) -> Arc<str> {
    if text.len() <= MAX_NAME && text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        return Arc::from(text);
    }
    Arc::from(printable(text, MAX_NAME))
}

/// What stands for a function that has no name: `[file+0xoffset]`.
pub(super) fn unnamed(file: &str, offset: u64) -> Arc<str> {
    Arc::from(format!("[{file}+{offset:#x}]"))
}

/// The last part of a path that a process wrote, printable: `redis-server`.
pub(super) fn base_name(path: &str) -> &str {
    path.rsplit('/')
        .find(|part| !part.is_empty())
        .unwrap_or(path)
}

fn demangle(raw: &str) -> Option<String> {
    if raw.len() > MAX_MANGLED {
        return None;
    }
    // Rust's legacy mangling is valid C++ too, so it has to be asked first.
    if (raw.starts_with("_R") || raw.starts_with("_ZN") || raw.starts_with("__ZN"))
        && let Ok(symbol) = rustc_demangle::try_demangle(raw)
    {
        let mut out = Bounded::default();
        // An error is the bound: what was written so far is the cut name.
        let _ = fmt::write(&mut out, format_args!("{symbol:#}"));
        return out.finish();
    }
    if raw.starts_with("_Z") || raw.starts_with("__Z") {
        // `.cold`, `.part.0`, `.constprop.1`: clones that the compiler made; mangled names have no dots.
        let (symbol, clone) = raw.split_at(raw.find('.').unwrap_or(raw.len()));
        let symbol = BorrowedSymbol::new(symbol.as_bytes()).ok()?;
        let options = DemangleOptions::new().no_params().no_return_type();
        let mut out = Bounded::default();
        let done = symbol.structured_demangle(&mut out, &options);
        if !out.full {
            // A form that the demangler does not know (some of C++20): the raw name, rather than what it got to.
            done.ok()?;
            let plain = without_qualifiers(&out.text).len();
            out.text.truncate(plain);
            out.text.push_str(clone);
        }
        return out.finish();
    }
    None
}

/// `S::get` of `S::get &&`: the qualifiers that are left of a parameter list.
fn without_qualifiers(name: &str) -> &str {
    name.strip_suffix(" &&")
        .or_else(|| name.strip_suffix(" &"))
        .unwrap_or(name)
}

/// Stops a demangler after a little more than [`MAX_NAME`] bytes: back references can make a short symbol
/// expand to gigabytes.
#[derive(Default)]
struct Bounded {
    text: String,
    full: bool,
}

impl Bounded {
    fn finish(self) -> Option<String> {
        (!self.text.is_empty()).then_some(self.text)
    }
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.text.push_str(part);
        // Four bytes per character at most: `printable` cuts exactly.
        if self.text.len() > MAX_NAME * 4 {
            self.full = true;
            return Err(fmt::Error);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(raw: &str) -> String {
        function(raw.as_bytes()).to_string()
    }

    #[test]
    fn cpp_names_lose_parameters_and_keep_clone_suffixes() {
        assert_eq!(name("_ZN2ns6WidgetIiE4spinEv"), "ns::Widget<int>::spin");
        assert_eq!(name("_Z3fooIcEiv"), "foo<char>");
        assert_eq!(name("_Z4burnmb.cold"), "burn.cold");
    }

    /// What `cpp_demangle` knows of C++20 has its name; the rest is raw, not half of it.
    #[test]
    fn names_of_newer_cpp_are_whole_or_raw() {
        assert_eq!(name("_Z4nttpIXtl1PLi3EEEEiv"), "nttp<P{3}>");
        assert_eq!(name("_ZNKR1S1mIiEEiT_"), "S::m<int>");
        assert_eq!(name("_ZNO1S3getEv.cold"), "S::get.cold");
        for raw in [
            "_Z2dlIUliE0_Eiv",               // a lambda in a template's default argument
            "_ZW4shopW4cart5totalv",         // attached to a module
            "_Z3addIiQ8integralIT_EES0_S0_", // a constraint
            "_ZN4shop",                      // cut off
            "_Z4burnmb_and_more",
        ] {
            assert_eq!(name(raw), raw);
        }
    }

    #[test]
    fn signs_within_names_stay() {
        for raw in [
            "$s4main4burnyyF",
            "LazyCompile:*hot /srv/node_modules/@acme/hot/index.js:7",
            "a@b",
        ] {
            assert_eq!(name(raw), raw);
        }
    }

    #[test]
    fn rust_names_lose_their_hash() {
        assert_eq!(
            name("_ZN4core3ptr42drop_in_place$LT$alloc..string..String$GT$17h0123456789abcdefE"),
            "core::ptr::drop_in_place<alloc::string::String>"
        );
        assert_eq!(name("_RNvC6_123foo3bar"), "123foo::bar");
    }

    #[test]
    fn other_names_stay_but_become_printable() {
        assert_eq!(name("main"), "main");
        assert_eq!(name("_Znonsense"), "_Znonsense");
        assert_eq!(name("a\x1b[2Jb\n"), "a?[2Jb?");
        assert_eq!(name("main.(*T).run·f"), "main.(*T).run·f");
    }

    #[test]
    fn go_type_arguments_are_left_out() {
        let name = |raw: &str| go_function(raw.as_bytes()).to_string();
        assert_eq!(name("a.B[go.shape.int].C[x,y]-range1"), "a.B[...]-range1");
        assert_eq!(name("main.(*T).run"), "main.(*T).run");
        assert_eq!(name("odd]["), "odd][");
    }

    #[test]
    fn long_names_are_cut() {
        let long = "x".repeat(100_000);
        assert_eq!(name(&long).chars().count(), MAX_NAME + 1);
        // Each template argument refers back to the one before, twice: 2^20 names from 200 bytes.
        let bomb = format!(
            "_Z1fI1SIiiE{}EvT_",
            (0..20)
                .map(|i| {
                    let id = if i == 0 {
                        "S_".to_owned()
                    } else {
                        format!("S{}_", i - 1)
                    };
                    format!("1TI{id}{id}E")
                })
                .collect::<String>()
        );
        assert!(name(&bomb).chars().count() <= MAX_NAME + 1);
    }

    #[test]
    fn base_names() {
        assert_eq!(base_name("/usr/bin/redis-server"), "redis-server");
        assert_eq!(base_name("/"), "/");
        assert_eq!(base_name("memfd:x"), "memfd:x");
    }
}
