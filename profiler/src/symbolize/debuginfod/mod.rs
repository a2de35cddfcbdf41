//! Debug information from servers, by build id (debuginfod), where the environment names some.
//!
//! Nothing is sent but build ids, and only of files in which samples lie, that have no debug information, and of which there
//! is none on this host. Files are fetched beside all else, on a thread of their own: whoever wants one asks, may wait up to
//! a moment of its choice, and gets what has come.
//!
//! - `settings`: what the environment says
//! - `client`: one file from the servers
//! - `check`: whether it is the right one
//! - `store`: where it is kept
//! - `ahead`: which files are asked for

pub(super) mod ahead;
mod check;
mod client;
mod settings;
mod store;

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub use self::settings::Settings;
use self::store::{ABSENT_FOR, Draft, Kept, Store};
use super::binary::Elf;
use super::problems::Problem;

/// Files that are fetched at once.
const AT_ONCE: usize = 8;

/// Most files that are waited for, and most build ids that are known about.
const MOST_COMING: usize = 256;
const MOST_KNOWN: usize = 4096;

/// Memory for files that cannot be kept on disk.
const MOST_IN_MEMORY: u64 = 256 << 20;

/// How soon a server that failed is asked again for the same file.
const FAILED_FOR: Duration = Duration::from_secs(60);

/// Build ids, in hex digits, that are asked for: a hash, or something like it.
const ID_DIGITS: std::ops::RangeInclusive<usize> = 8..=128;

/// Why there is no file; whoever asked several servers is told the last of these that any had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Missing {
    /// No server has it.
    Absent,
    /// It is larger than the limit.
    TooLarge,
    /// What came is something else.
    Foreign,
    /// A server could not be reached, or did not send all of it.
    Failed,
    /// It has not come yet.
    Late,
}

impl Missing {
    pub(super) const fn problem(self) -> Problem {
        match self {
            Self::Absent => Problem::ServersHaveNone,
            Self::TooLarge => Problem::ServersTooLarge,
            Self::Foreign => Problem::ServersForeign,
            Self::Failed => Problem::ServersFailed,
            Self::Late => Problem::ServersLate,
        }
    }

    /// How long it is so.
    const fn lasts(self) -> Duration {
        match self {
            Self::Absent | Self::TooLarge => ABSENT_FOR,
            Self::Foreign | Self::Failed => FAILED_FOR,
            Self::Late => Duration::ZERO,
        }
    }
}

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

#[derive(Default)]
struct State {
    known: HashMap<Arc<str>, Known>,
    /// Those in memory, oldest first, and their bytes.
    in_memory: VecDeque<(Arc<str>, u64)>,
}

/// What is known about the file of a build id.
enum Known {
    Coming,
    /// On disk.
    Kept,
    InMemory(Arc<File>),
    Missing(Missing, Instant),
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
            let began = thread.spawn(move || serve(&shared, receiver));
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

impl Known {
    fn missing(cause: Missing) -> Self {
        Self::Missing(cause, Instant::now())
    }
}

impl State {
    /// Whether it is to be looked for now.
    fn begin(&mut self, build_id: &Arc<str>) -> bool {
        match self.known.get(build_id) {
            Some(Known::Missing(cause, since)) if since.elapsed() >= cause.lasts() => {}
            Some(Known::Coming | Known::InMemory(_) | Known::Missing(..)) => return false,
            // Somebody has removed it from there.
            Some(Known::Kept) | None => {}
        }
        if self.known.len() >= MOST_KNOWN {
            let is_needed = |known: &Known| matches!(known, Known::Coming | Known::InMemory(_));
            self.known.retain(|_, known| is_needed(known));
        }
        let all = self.known.values();
        let coming = all.filter(|known| matches!(known, Known::Coming)).count();
        let may_come = coming < MOST_COMING;
        let known = if may_come {
            Known::Coming
        } else {
            Known::missing(Missing::Late)
        };
        self.known.insert(Arc::clone(build_id), known);
        may_come
    }

    fn is_coming(&self, build_id: &str) -> bool {
        matches!(self.known.get(build_id), Some(Known::Coming))
    }

    /// Lets go of the oldest files in memory until there is room.
    fn make_room(&mut self) {
        let bytes = |all: &VecDeque<(Arc<str>, u64)>| all.iter().map(|(_, bytes)| bytes).sum();
        let mut total: u64 = bytes(&self.in_memory);
        while total > MOST_IN_MEMORY
            && let Some((build_id, bytes)) = self.in_memory.pop_front()
        {
            self.known.remove(&build_id);
            total -= bytes;
        }
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

    async fn fetch(&self, build_id: &Arc<str>) -> Known {
        let store = self.store.as_ref().filter(|_| self.keep == Keep::OnDisk);
        let begin = || Draft::new(store, build_id);
        // Whether it is on disk shows when a file is made.
        let on_disk = store.filter(|_| begin().is_ok_and(|draft| !draft.is_in_memory()));
        let room = on_disk.map_or(MOST_IN_MEMORY, Store::room);
        let limit = self.settings.max_bytes.min(room);
        let draft = match client::fetch(&self.settings, build_id, limit, &begin).await {
            Ok(draft) => draft,
            Err(cause) => {
                if let (Missing::Absent, Some(store)) = (cause, store)
                    && let Err(error) = store.keep_absent(build_id)
                {
                    tracing::debug!("that no server has {build_id} is not kept: {error}");
                }
                return Known::missing(cause);
            }
        };
        match draft.keep() {
            Ok(()) if !draft.is_in_memory() => Known::Kept,
            Ok(()) => self.in_memory(build_id, draft.file),
            Err(error) => {
                tracing::debug!("debug information of {build_id} is not kept: {error}");
                Known::missing(Missing::Failed)
            }
        }
    }

    fn in_memory(&self, build_id: &Arc<str>, file: File) -> Known {
        let bytes = file.metadata().map_or(0, |data| data.len());
        let mut state = self.state();
        state.in_memory.push_back((Arc::clone(build_id), bytes));
        state.make_room();
        drop(state);
        Known::InMemory(Arc::new(file))
    }
}

/// Fetches what is wanted, until nobody can want anything any more.
fn serve(shared: &Arc<Shared>, mut wanted: mpsc::UnboundedReceiver<Arc<str>>) {
    let built = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build();
    let runtime = match built {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::warn!("cannot ask servers for debug information: {error}");
            while let Some(build_id) = wanted.blocking_recv() {
                shared.settle(&build_id, Known::missing(Missing::Failed));
            }
            return;
        }
    };
    runtime.block_on(async {
        let mut running = JoinSet::new();
        loop {
            tokio::select! {
                next = wanted.recv(), if running.len() < AT_ONCE => {
                    let Some(build_id) = next else {
                        return;
                    };
                    let shared = Arc::clone(shared);
                    running.spawn(async move {
                        let mut settles = Settles {
                            shared: &shared,
                            build_id: &build_id,
                            known: Some(Known::missing(Missing::Failed)),
                        };
                        settles.known = Some(shared.fetch(&build_id).await);
                    });
                }
                Some(_) = running.join_next() => {}
            }
        }
    });
    // Looking up a name may take longer than anybody waits.
    runtime.shutdown_background();
}

/// Settles a build id whatever becomes of fetching it.
struct Settles<'a> {
    shared: &'a Shared,
    build_id: &'a Arc<str>,
    known: Option<Known>,
}

impl Drop for Settles<'_> {
    fn drop(&mut self) {
        if let Some(known) = self.known.take() {
            self.shared.settle(self.build_id, known);
        }
    }
}
