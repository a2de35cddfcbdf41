//! Stripped programs with their debug information in files of their own, as distributions ship them: of C++ and Rust, and the
//! C library of this host.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use ctprof::model::ProcessKey;
use object::{Object as _, ObjectSymbol as _};

use crate::support::{Program, frames, has, module, needs, run, skip, symbolizer};

/// A method that is inlined into a function that nobody exports: it prints where it is.
const CPP: &str = r#"
#include <cstdio>
namespace shop {
template <typename T> struct Cart {
    T items;
    inline __attribute__((always_inline)) unsigned long add(T more) {
        unsigned long here;
        items += more;
        __asm__ volatile("lea 0(%%rip), %0" : "=r"(here) : "r"(items));
        return here;
    }
};
namespace {
__attribute__((noinline)) unsigned long checkout(int more) {
    Cart<int> cart{more};
    unsigned long here = cart.add(more);
    __asm__ volatile("" : "+r"(here));
    return here;
}
}
}
int main(int argc, char **) {
    std::printf("here=%lx\nready\n", shop::checkout(argc));
    std::fflush(stdout);
    return std::getchar();
}
"#;

const RUST: &str = r#"
use std::io::{Read as _, Write as _};
pub struct Cart<T> { items: T }
impl<T: std::ops::AddAssign> Cart<T> {
    #[inline(always)]
    fn add(&mut self, more: T) -> u64 {
        let here: u64;
        self.items += more;
        unsafe { std::arch::asm!("lea {}, [rip]", out(reg) here) };
        std::hint::black_box(&self.items);
        here
    }
}
mod shop {
    #[inline(never)]
    pub fn checkout(more: u32) -> u64 {
        let mut cart = super::Cart { items: more };
        std::hint::black_box(cart.add(more))
    }
}
fn main() {
    println!("here={:x}\nready", shop::checkout(3));
    std::io::stdout().flush().unwrap();
    let _ = std::io::stdin().read(&mut [0]);
}
"#;

/// What is missing to run these tests.
fn missing() -> Option<&'static str> {
    if !cfg!(target_arch = "x86_64") {
        return Some("the programs are for x86_64");
    }
    if !has("objcopy") || !has("strip") {
        return Some("no binutils");
    }
    needs()
}

/// The program without symbols, beside its debug information.
fn stripped(dir: &Path, source: &str, name: &str, compiler: &[&str]) -> PathBuf {
    let (code, path) = (dir.join(name), dir.join("program"));
    let debug = dir.join("program.debug");
    std::fs::write(&code, source).unwrap();
    let mut compile = Command::new(compiler[0]);
    run(compile.args(&compiler[1..]).arg("-o").arg(&path).arg(&code));
    let mut keep = Command::new("objcopy");
    run(keep.arg("--only-keep-debug").arg(&path).arg(&debug));
    run(Command::new("strip").arg("-s").arg(&path));
    let link = format!("--add-gnu-debuglink={}", debug.display());
    run(Command::new("objcopy").arg(link).arg(&path));
    path
}

/// Functions at the place that a program prints, innermost first, each with its file and whether it is inlined.
fn here(path: &Path) -> Vec<(String, String, bool)> {
    let program = Program::start(path);
    let mut symbolizer = symbolizer();
    let (frames, _) = frames(&mut symbolizer, program.key(), program.value("here") - 1);
    assert!(symbolizer.problems().is_empty());
    let all = frames.iter().map(|frame| {
        assert!(frame.line > 0, "{frame:?}");
        let file = frame.file.as_deref().unwrap_or_default();
        let file = Path::new(file).file_name().unwrap_or_default();
        let file = file.to_string_lossy().into_owned();
        (frame.function.to_string(), file, frame.inlined)
    });
    all.collect()
}

fn expect(found: &[(String, String, bool)], file: &str, names: [&str; 2]) {
    let expected = names.map(|name| (name.to_owned(), file.to_owned(), name == names[0]));
    assert_eq!(found, expected);
}

#[test]
fn inlined_methods_of_stripped_cpp() {
    if let Some(reason) = missing() {
        skip!("{reason}");
    }
    if !has("c++") {
        skip!("no C++ compiler");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = stripped(dir.path(), CPP, "shop.cc", &["c++", "-O2", "-g"]);
    let names = [
        "shop::Cart<int>::add",
        "shop::(anonymous namespace)::checkout",
    ];
    expect(&here(&path), "shop.cc", names);
}

#[test]
fn inlined_methods_of_stripped_rust() {
    if let Some(reason) = missing() {
        skip!("{reason}");
    }
    if !has("rustc") {
        skip!("no rustc");
    }
    let dir = tempfile::tempdir().unwrap();
    let rustc = ["rustc", "--edition=2021", "-O", "-g", "--crate-name=market"];
    let path = stripped(dir.path(), RUST, "shop.rs", &rustc);
    let names = ["market::Cart<T>::add", "market::shop::checkout"];
    expect(&here(&path), "shop.rs", names);
}

/// Functions of the C library that it does not export: this host has them from a package.
#[test]
fn local_functions_of_this_hosts_c_library() {
    if let Some(reason) = needs() {
        skip!("{reason}");
    }
    let key = ProcessKey {
        pid: std::process::id(),
        exec_id: 1,
    };
    let exported = libc_malloc();
    let (path, build_id) = module(&mut symbolizer(), key, exported);
    let (first, rest) = build_id.split_at(2);
    let debug = format!("/usr/lib/debug/.build-id/{first}/{rest}.debug");
    let Ok(bytes) = std::fs::read(&debug) else {
        skip!("no {debug}: the package libc6-dbg, or whatever has it, is not installed");
    };
    let file = object::File::parse(&*bytes).unwrap();
    let symbols: BTreeMap<&str, u64> = file
        .symbols()
        .filter_map(|symbol| Some((symbol.name().ok()?, symbol.address())))
        .collect();
    let base = exported - symbols["malloc"];
    let program = std::fs::read(&path).unwrap();
    let own = object::File::parse(&*program).unwrap();
    for (name, source) in [
        ("_int_malloc", "malloc.c"),
        ("arena_get2", "arena.c"),
        ("malloc_consolidate", "malloc.c"),
    ] {
        assert!(own.symbols().all(|symbol| symbol.name() != Ok(name)));
        let mut symbolizer = symbolizer();
        let (frames, _) = frames(&mut symbolizer, key, base + symbols[name]);
        let real = frames.last().unwrap();
        assert_eq!(&*real.function, name);
        let file = real.file.as_deref().unwrap_or_default();
        assert!(file.ends_with(source) && real.line > 0, "{real:?}");
    }
}

/// Where the C library has `malloc`.
fn libc_malloc() -> u64 {
    unsafe extern "C" {
        fn malloc(size: usize) -> *mut std::ffi::c_void;
    }
    malloc as *const () as u64
}
