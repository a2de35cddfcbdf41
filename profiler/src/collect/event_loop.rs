//! The event loop that a session runs on: one thread.

use crate::{Error, Result};

/// Threads for what would block it: each has memory of its own, which stays.
const POOL: usize = 2;

/// Runs a future to its end, on this thread.
///
/// # Errors
/// Those of the future; the system refuses the descriptors that an event loop needs.
pub fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(POOL)
        .build()
        .map_err(|error| Error::Failed(format!("cannot start the event loop: {error}")))?
        .block_on(future)
}
