//! How the rest of the agent asks the core: for a reading, or for a window with stacks.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::looks::Found;
use crate::collect::TakeId;
use crate::model::{Reading, StateGroup};
use crate::recording::{Finished, Opening};
use crate::target::Resolved;
use crate::{Error, Result};

/// Requests that may wait for the core at once; a scrape beyond waits before it asks.
const WAITING: usize = 64;

/// Asks the core. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle(mpsc::Sender<Request>);

/// What the core answers.
#[derive(Debug)]
pub struct Requests(mpsc::Receiver<Request>);

/// One question to the core. Whoever asked may be gone when the answer comes.
pub(super) enum Request {
    /// The figures of now.
    Reading(oneshot::Sender<Arc<Reading>>),
    /// A window is to begin.
    Begin(Box<Begin>),
    /// This was found about containers.
    Found(Vec<Found>),
    /// It is to end.
    End(TakeId, oneshot::Sender<Result<Finished>>),
}

/// A window that is to begin.
pub(super) struct Begin {
    /// Whose.
    pub(super) targets: Resolved,
    /// Of which states it has stacks.
    pub(super) states: &'static [StateGroup],
    /// Names, and what was counted before.
    pub(super) opening: Opening,
    /// Closed when nobody waits for it any more: then it ends by itself.
    pub(super) waited_for: oneshot::Receiver<()>,
    /// Takes the name by which it is to be ended.
    pub(super) answer: oneshot::Sender<Result<TakeId>>,
}

/// A window in the making. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Running {
    id: TakeId,
    _waits: oneshot::Sender<()>,
}

/// A handle, and what the core needs to answer it.
#[must_use]
pub fn channel() -> (Handle, Requests) {
    let (ask, asked) = mpsc::channel(WAITING);
    (Handle(ask), Requests(asked))
}

impl Handle {
    /// The figures of now; those of the last reading where it is younger than the core's shortest interval. `None`
    /// when the core has ended.
    pub async fn reading(&self) -> Option<Arc<Reading>> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Request::Reading(answer)).await.ok()?;
        answered.await.ok()
    }

    /// Has readings tell this of containers from now on, in place of what was found before.
    pub(super) async fn found(&self, found: Vec<Found>) {
        // The core may have ended.
        let _ = self.0.send(Request::Found(found)).await;
    }

    /// Begins a window.
    pub(super) async fn begin(
        &self,
        targets: Resolved,
        states: &'static [StateGroup],
        opening: Opening,
    ) -> Result<Running> {
        let (answer, answered) = oneshot::channel();
        let (waits, waited_for) = oneshot::channel();
        let begin = Box::new(Begin {
            targets,
            states,
            opening,
            waited_for,
            answer,
        });
        self.0
            .send(Request::Begin(begin))
            .await
            .map_err(|_| ended())?;
        let id = answered.await.map_err(|_| ended())??;
        Ok(Running { id, _waits: waits })
    }

    /// Ends a window: what it brought home.
    pub(super) async fn end(&self, running: Running) -> Result<Finished> {
        let (answer, answered) = oneshot::channel();
        self.0
            .send(Request::End(running.id, answer))
            .await
            .map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

fn ended() -> Error {
    Error::Failed("the agent is ending".to_owned())
}

impl Requests {
    /// The next request; `None` when nobody can ask any more. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Request> {
        self.0.recv().await
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Reading(_) => "Reading",
            Self::Begin(_) => "Begin",
            Self::Found(_) => "Found",
            Self::End(..) => "End",
        })
    }
}
