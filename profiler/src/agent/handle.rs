//! How the rest of the agent asks the core for a reading.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::model::Reading;

/// Requests that may wait for the core at once; a scrape beyond waits before it asks.
const WAITING: usize = 64;

/// Asks the core. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle(mpsc::Sender<oneshot::Sender<Arc<Reading>>>);

/// What the core answers.
#[derive(Debug)]
pub struct Requests(mpsc::Receiver<oneshot::Sender<Arc<Reading>>>);

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
        self.0.send(answer).await.ok()?;
        answered.await.ok()
    }
}

impl Requests {
    /// The next request; `None` when nobody can ask any more. Cancel-safe.
    pub async fn next(&mut self) -> Option<oneshot::Sender<Arc<Reading>>> {
        self.0.recv().await
    }
}
