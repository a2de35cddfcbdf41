//! Kernel functions and the vDSO.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use ctprof::model::{FrameKind, FrameTable, ProcessKey};
use ctprof::symbolize::{Options, Problem, Symbolizer};
use object::{Object as _, ObjectSymbol as _};

use crate::support::{names, skip, symbolizer};

#[test]
fn functions_of_the_running_kernel() {
    let text = std::fs::read_to_string("/proc/kallsyms").unwrap();
    let address = |wanted: &str| {
        let line = text
            .lines()
            .find(|line| line.split_whitespace().nth(2) == Some(wanted));
        line.and_then(|line| u64::from_str_radix(line.split(' ').next()?, 16).ok())
    };
    let wanted = ["schedule", "vfs_read", "ret_from_fork_asm"];
    let known: Vec<_> = wanted
        .iter()
        .filter_map(|name| Some((*name, address(name).filter(|address| *address != 0)?)))
        .collect();
    if known.is_empty() {
        skip!("/proc/kallsyms has no addresses for this user");
    }
    let mut symbolizer = symbolizer();
    let mut table = FrameTable::default();
    let addresses: Vec<u64> = known.iter().map(|(_, address)| address + 1).collect();
    let resolved = symbolizer.kernel(&addresses, &mut table);
    for ((name, address), resolved) in known.iter().zip(&resolved) {
        let frame = table.frame(resolved.frames[0]);
        assert_eq!(frame.function.as_ref(), *name);
        assert_eq!(frame.kind, FrameKind::Kernel);
        assert_eq!(frame.address, address + 1);
        assert_eq!(
            table.module(frame.module.unwrap()).path.as_ref(),
            "[kernel]"
        );
        assert_eq!(resolved.is_root, *name == "ret_from_fork_asm");
    }
    assert!(symbolizer.problems().is_empty());
}

#[test]
fn hidden_kernel_addresses_are_said_once() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("kallsyms"), "0000000000000000 T schedule\n").unwrap();
    let mut symbolizer = Symbolizer::new(Options {
        proc_root: dir.path().to_owned(),
        ..Options::default()
    });
    let mut table = FrameTable::default();
    for _ in 0..2 {
        let resolved = symbolizer.kernel(&[0xffff_ffff_8100_0010], &mut table);
        let frame = table.frame(resolved[0].frames[0]);
        assert_eq!(frame.function.as_ref(), "[kernel+0xffffffff81000010]");
    }
    assert_eq!(
        symbolizer.problems().iter().collect::<Vec<_>>(),
        [(Problem::KernelAddressesHidden, 1)]
    );
}

/// Every function of the vDSO, as another parser finds them.
#[test]
fn vdso_functions() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let Some(line) = maps.lines().find(|line| line.ends_with("[vdso]")) else {
        skip!("no vDSO here");
    };
    let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
    let (start, end) = (
        u64::from_str_radix(start, 16).unwrap(),
        u64::from_str_radix(end, 16).unwrap(),
    );
    let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
    File::open("/proc/self/mem")
        .unwrap()
        .read_exact_at(&mut bytes, start)
        .unwrap();
    let file = object::File::parse(bytes.as_slice()).unwrap();
    let key = ProcessKey {
        pid: std::process::id(),
        exec_id: 0,
    };
    let mut symbolizer = symbolizer();
    let mut seen = 0;
    for symbol in file.dynamic_symbols().filter(|symbol| symbol.size() > 0) {
        let name = symbol.name().unwrap();
        if !name.starts_with("__vdso_") && !name.starts_with("__kernel_") {
            continue;
        }
        // `time` and `__vdso_time` are one function: the plain name is shown.
        let found = names(&mut symbolizer, key, start + symbol.address() + 1);
        let plain = name.trim_start_matches("__vdso_");
        assert!(found == [name] || found == [plain], "{name}: {found:?}");
        seen += 1;
    }
    assert!(seen >= 3, "{seen}");
}
