//! Which files servers are asked about: those in which samples lie, as soon as one does, each once.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::Servers;
use crate::symbolize::ahead::{FOR_SYMBOLS, Wanted};
use crate::symbolize::binary::guarded;
use crate::symbolize::cache::{Key, Origin};
use crate::symbolize::elf::{Header, Source};
use crate::symbolize::go::GoTable;
use crate::symbolize::pool::Pool;
use crate::symbolize::process::HeldFile;
use crate::symbolize::{Options, separate};

/// What is set aside for reading files that come last: half of the time, within these bounds. Who waits in vain has their
/// symbols to read, too.
const LEAST_FOR_READING: Duration = FOR_SYMBOLS.saturating_mul(2);
const MOST_FOR_READING: Duration = Duration::from_secs(5);

/// Files that were asked about.
#[derive(Debug)]
pub(crate) struct Fetching {
    /// The build id of those that need debug information from a server; `None` for those that do not.
    known: HashMap<Key, Option<Arc<str>>>,
    /// Those that a thread looks at.
    looked_at: HashSet<Key>,
    sender: mpsc::Sender<(Key, Option<Arc<str>>)>,
    receiver: mpsc::Receiver<(Key, Option<Arc<str>>)>,
}

impl Default for Fetching {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel();
        Self {
            known: HashMap::new(),
            looked_at: HashSet::new(),
            sender,
            receiver,
        }
    }
}

impl Fetching {
    /// Has these files looked at, and what they lack fetched. Never waits.
    pub(crate) fn ask(&mut self, wanted: &Wanted, options: &Arc<Options>, pool: &Pool) {
        let Some(servers) = &options.debuginfod else {
            return;
        };
        while let Ok((key, build_id)) = self.receiver.try_recv() {
            self.take(key, build_id);
        }
        for (key, (origin, _)) in &wanted.0 {
            let Origin::Held(file) = origin else {
                continue;
            };
            if self.known.contains_key(key) || !self.looked_at.insert(*key) {
                continue;
            }
            let (file, sender) = (Arc::clone(file), self.sender.clone());
            let (servers, options) = (Arc::clone(servers), Arc::clone(options));
            pool.submit(move || {
                let build_id = guarded(|| lacking(&file, &options)).flatten();
                if let Some(build_id) = &build_id {
                    servers.ask(build_id);
                }
                let _ = sender.send((Some(file.id), build_id));
            });
        }
    }

    fn take(&mut self, key: Key, build_id: Option<Arc<str>>) {
        self.looked_at.remove(&key);
        self.known.insert(key, build_id);
    }

    /// Waits until all that were asked about have been looked at, but no longer than until `deadline`.
    pub(crate) fn settle(&mut self, pool: &Pool, deadline: Instant) {
        while !self.looked_at.is_empty()
            && let Some((key, build_id)) = pool.receive(&self.receiver, deadline)
        {
            self.take(key, build_id);
        }
    }

    /// Takes those out of `wanted` whose debug information is still to come, with their build ids.
    pub(crate) fn coming(&self, wanted: &mut Wanted, servers: &Servers) -> (Wanted, Vec<Arc<str>>) {
        let mut build_ids = Vec::new();
        let is_coming = |key: &Key, _: &mut _| {
            let build_id = self.known.get(key).and_then(Option::as_ref);
            let coming = build_id.filter(|build_id| servers.is_coming(build_id));
            build_ids.extend(coming.cloned());
            coming.is_some()
        };
        let coming = wanted.0.extract_if(is_coming).collect();
        (Wanted(coming), build_ids)
    }
}

/// Until when servers are waited for, where names have to be there by `deadline`: what comes is to be read by then.
pub(crate) fn until(deadline: Instant) -> Instant {
    let now = Instant::now();
    let left = deadline.saturating_duration_since(now);
    let for_reading = (left / 2).clamp(LEAST_FOR_READING, MOST_FOR_READING);
    now + left.saturating_sub(for_reading)
}

/// The build id of a file that needs debug information of which this host has none.
fn lacking(file: &HeldFile, options: &Options) -> Option<Arc<str>> {
    let source = Source::file(file.held.reader().ok()?).ok()?;
    let header = Header::read(&source).ok()?;
    let build_id = header.build_id(&source);
    let is_enough = header.debug_section(".debug_info").is_some()
        || !options.inlined && header.section(".symtab").is_some();
    if build_id.is_empty() || is_enough || GoTable::read(&source, &header).is_some() {
        return None;
    }
    let limit = options.max_debug_bytes;
    let found = separate::find(file, (&source, &header), &build_id, limit, &mut |_| ());
    found.is_none().then(|| Arc::from(build_id))
}
