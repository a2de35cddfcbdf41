//! Debug information from servers, by build id (debuginfod), where the environment names some.
//!
//! Nothing is sent but build ids, and only of files in which samples lie, that have no debug information, and of which there
//! is none on this host. Files are fetched beside all else, on a thread of their own: whoever wants one asks, may wait up to
//! a moment of its choice, and gets what has come.
//!
//! - `known`: what is known about the file of a build id
//! - `fetching`: the thread that fetches
//! - `settings`: what the environment says
//! - `client`: one file from the servers
//! - `check`: whether it is the right one
//! - `store`: where it is kept
//! - `ahead`: which files are asked for

pub(super) mod ahead;
mod check;
mod client;
mod fetching;
mod known;
mod settings;
mod store;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use tokio::sync::mpsc;

use self::known::{Known, Missing, State};
pub use self::settings::Settings;
use self::store::{Kept, Store};
use super::binary::Elf;

/// Build ids, in hex digits, that are asked for: a hash, or something like it.
const ID_DIGITS: std::ops::RangeInclusive<usize> = 8..=128;

/// Where what comes is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// On disk for the next time, where that can be.
    OnDisk,
    /// In memory, for as long as this process lives; what is on disk is used all the same.
    InMemory,
}

/// Servers of debug information, and what has come from them.
pub struct Servers {
    shared: Arc<Shared>,
    /// To the thread that fetches, once there is one.
    wanted: Mutex<Option<mpsc::UnboundedSender<Arc<str>>>>,
}

struct Shared {
    settings: Settings,
    store: Option<Store>,
    keep: Keep,
    state: Mutex<State>,
    news: Condvar,
}

impl Servers {
    /// Servers that are asked as these settings say.
    #[must_use]
    pub fn new(settings: Settings, keep: Keep) -> Self {
        let cache = settings.cache.as_deref();
        let store = cache.and_then(|path| Store::open(path, keep == Keep::OnDisk));
        let shared = Shared {
            settings,
            store,
            keep,
            state: Mutex::default(),
            news: Condvar::new(),
        };
        Self {
            shared: Arc::new(shared),
            wanted: Mutex::default(),
        }
    }

    /// Those that the environment names: one and the same for all of this process, so that what has come is there for the
    /// next recording of an agent.
    #[must_use]
    pub fn from_env(keep: Keep) -> Option<Arc<Self>> {
        static SERVERS: OnceLock<Option<Arc<Servers>>> = OnceLock::new();
        let new = || Settings::from_env().map(|settings| Arc::new(Self::new(settings, keep)));
        SERVERS.get_or_init(new).clone()
    }

    /// Has the file of a build id fetched, if it is not there. Reads what is on disk; never waits for a server.
    pub(super) fn ask(&self, build_id: &Arc<str>) {
        if !ID_DIGITS.contains(&build_id.len()) {
            return;
        }
        let is_kept = matches!(self.shared.state().known.get(build_id), Some(Known::Kept));
        if is_kept && self.shared.look(build_id).is_ok() {
            return;
        }
        if !self.shared.state().begin(build_id) {
            return;
        }
        let found = match self.shared.look(build_id) {
            Ok(_) => Known::Kept,
            Err(None) if self.send(build_id) => return,
            Err(cause) => Known::missing(cause.unwrap_or(Missing::Failed)),
        };
        self.shared.settle(build_id, found);
    }

    /// Whether there is a thread that will fetch it.
    fn send(&self, build_id: &Arc<str>) -> bool {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted.is_none() {
            let (sender, receiver) = mpsc::unbounded_channel();
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new().name("ctprof-fetch".to_owned());
            let began = thread.spawn(move || fetching::serve(&shared, receiver));
            if began.is_ok() {
                *wanted = Some(sender);
            }
        }
        let sent = wanted
            .as_ref()
            .map(|wanted| wanted.send(Arc::clone(build_id)));
        matches!(sent, Some(Ok(())))
    }

    /// Waits until none of these is still coming, but no longer than until `deadline`.
    pub(super) fn wait(&self, build_ids: &[Arc<str>], deadline: Instant) {
        let mut state = self.shared.state();
        while build_ids.iter().any(|build_id| state.is_coming(build_id)) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.shared.news.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub(super) fn is_coming(&self, build_id: &str) -> bool {
        self.shared.state().is_coming(build_id)
    }

    /// The file of a build id, if it is there. Why it is not, `None` if nobody has asked.
    pub(super) fn at_hand(&self, build_id: &str) -> Result<Elf, Option<Missing>> {
        if !ID_DIGITS.contains(&build_id.len()) {
            return Err(None);
        }
        match self.shared.state().known.get(build_id) {
            Some(Known::Coming) => return Err(Some(Missing::Late)),
            Some(Known::Missing(cause, _)) => return Err(Some(*cause)),
            Some(Known::InMemory(file)) => {
                return check::elf(file, build_id).ok_or(Some(Missing::Foreign));
            }
            Some(Known::Kept) | None => {}
        }
        // That nobody has it was said to whoever asked.
        self.shared.look(build_id).map_err(|_| None)
    }
}

impl std::fmt::Debug for Servers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Servers")
            .field("settings", &self.shared.settings)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is on disk: in a folder that stands for a server, or kept from the last time. `None` if servers are to be asked.
    fn look(&self, build_id: &str) -> Result<Elf, Option<Missing>> {
        for folder in &self.settings.folders {
            let path = folder.join(format!("buildid/{build_id}/debuginfo"));
            let found = store::open(&path).and_then(|file| check::elf(&file, build_id));
            if let Some(elf) = found {
                return Ok(elf);
            }
        }
        if self.settings.servers.is_empty() {
            return Err(Some(Missing::Absent));
        }
        match self.store.as_ref().map(|store| store.find(build_id)) {
            Some(Kept::File(file)) => check::elf(&file, build_id).ok_or(None),
            Some(Kept::Absent) => Err(Some(Missing::Absent)),
            Some(Kept::Nothing) | None => Err(None),
        }
    }

    fn settle(&self, build_id: &Arc<str>, known: Known) {
        self.state().known.insert(Arc::clone(build_id), known);
        self.news.notify_all();
    }
}
