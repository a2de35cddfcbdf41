//! The thread that fetches: several files at once, each settled whatever becomes of it.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::known::{Known, MOST_IN_MEMORY, Missing};
use super::store::{Draft, Store};
use super::{Keep, Shared, client};

/// Files that are fetched at once.
const AT_ONCE: usize = 8;

/// Fetches what is wanted, until nobody can want anything any more.
pub(super) fn serve(shared: &Arc<Shared>, mut wanted: mpsc::UnboundedReceiver<Arc<str>>) {
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

impl Shared {
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
            Ok(()) => self.state().take_in(build_id, draft.file),
            Err(error) => {
                tracing::debug!("debug information of {build_id} is not kept: {error}");
                Known::missing(Missing::Failed)
            }
        }
    }
}
