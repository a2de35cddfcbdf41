//! What the kernel half is told of processes: tables and mappings that agree, and taken back when they are gone.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ctprof::model::ProcessKey;
use ctprof::symbolize::{Options, Symbolizer};
use ctprof::unwind::{News, Table};
use ctprof_ebpf::abi::unwind::{Mapped, cfa, table};

/// Longest that tables of a small program may take.
const WHILE: Duration = Duration::from_secs(60);

/// What the kernel half would have.
#[derive(Default)]
struct Told {
    tables: BTreeMap<u32, Table>,
    images: BTreeMap<u32, Vec<Mapped>>,
}

impl Told {
    fn take(&mut self, news: Vec<News>) {
        for news in news {
            match news {
                News::Anew => *self = Self::default(),
                News::Table(number, table, _) => {
                    assert!(self.tables.insert(number, table).is_none(), "{number}");
                }
                News::NoTable(number) => assert!(self.tables.remove(&number).is_some()),
                News::Mapped(process, mapped) => {
                    self.images.insert(process.pid, mapped);
                }
                News::Gone(process) => assert!(self.images.remove(&process.pid).is_some()),
            }
        }
        // No image refers to a table that is not there.
        let used = self.images.values().flatten().map(|mapped| mapped.table);
        let used: BTreeSet<u32> = used.filter(|it| *it < table::NONE).collect();
        assert!(used.iter().all(|number| self.tables.contains_key(number)));
    }

    fn until(&mut self, symbolizer: &mut Symbolizer, is_so: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            assert!(begun.elapsed() < WHILE, "it never came");
            self.take(symbolizer.unwind_news());
            sleep(Duration::from_millis(5));
        }
    }

    /// Whether everything is told of these processes.
    fn is_whole(&self, pids: &[u32]) -> bool {
        pids.iter().all(|pid| {
            let mapped = self.images.get(pid);
            mapped.is_some_and(|all| all.iter().all(|it| it.table != table::NOT_YET))
        })
    }

    /// How the frame of code at this address is left.
    fn rule(&self, pid: u32, address: u64) -> u8 {
        let all = &self.images[&pid];
        let mapped = all.iter().find(|it| (it.start..it.end).contains(&address));
        let mapped = mapped.unwrap();
        let table = &self.tables[&mapped.table];
        assert_eq!(mapped.pages, table.pages());
        table.find(address - mapped.origin + table.origin()).cfa
    }
}

const fn key(pid: u32) -> ProcessKey {
    ProcessKey { pid, exec_id: 0 }
}

fn symbolizer() -> Symbolizer {
    Symbolizer::new(Options {
        unwind: true,
        ..Options::default()
    })
}

/// A program that waits for its input to end.
fn waiting() -> Child {
    let mut cat = Command::new("cat");
    let cat = cat.stdin(Stdio::piped()).stdout(Stdio::null());
    cat.spawn().unwrap()
}

#[test]
fn a_process_is_told_with_the_tables_of_its_files() {
    let mut symbolizer = symbolizer();
    let mut told = Told::default();
    let pid = std::process::id();
    symbolizer.notice(key(pid), None);
    told.until(&mut symbolizer, |told| told.is_whole(&[pid]));
    let own = a_process_is_told_with_the_tables_of_its_files as fn();
    for function in [
        own as usize,
        libc_function(),
        std::env::args as fn() -> _ as usize,
    ] {
        let rule = told.rule(pid, function as u64 + 1);
        assert!([cfa::SP, cfa::BP].contains(&rule), "{rule}");
    }
    // Sorted, or the kernel half would not find them.
    let all = &told.images[&pid];
    assert!(all.is_sorted_by(|one, next| one.end <= next.start));
}

fn libc_function() -> usize {
    libc::qsort as *const () as usize
}

#[test]
fn tables_are_shared_and_go_with_their_last_process() {
    let mut symbolizer = symbolizer();
    let mut told = Told::default();
    let (mut first, mut second) = (waiting(), waiting());
    let pids = [first.id(), second.id()];
    // They may not have called `execve` yet.
    sleep(Duration::from_millis(200));
    symbolizer.notice(key(pids[0]), None);
    told.until(&mut symbolizer, |told| told.is_whole(&pids[..1]));
    let alone = told.tables.len();
    assert!(alone >= 3, "the program, its loader and its C library");
    symbolizer.notice(key(pids[1]), None);
    told.until(&mut symbolizer, |told| told.is_whole(&pids));
    assert_eq!(told.tables.len(), alone);

    symbolizer.forget(key(pids[0]));
    told.until(&mut symbolizer, |told| !told.images.contains_key(&pids[0]));
    assert_eq!(told.tables.len(), alone, "the other one has them");
    // Nobody says that this one is gone.
    second.kill().unwrap();
    second.wait().unwrap();
    told.until(&mut symbolizer, |told| told.images.is_empty());
    // The next process may have the same files: a shell loop has.
    assert_eq!(told.tables.len(), alone);
    told.until(&mut symbolizer, |told| told.tables.is_empty());

    // As if it had never been told.
    symbolizer.notice(key(pids[0]), None);
    told.until(&mut symbolizer, |told| told.is_whole(&pids[..1]));
    assert_eq!(told.tables.len(), alone);
    told.take(vec![News::Anew]);
    symbolizer.unwind_anew();
    told.until(&mut symbolizer, |told| told.is_whole(&pids[..1]));
    assert_eq!(told.tables.len(), alone);
    first.kill().unwrap();
    first.wait().unwrap();
}
