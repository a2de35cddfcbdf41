//! The records of `recording.ctprof`, in the order of the file: a [`Head`], as many strings, [`ModuleRecord`]s and
//! [`FrameRecord`]s as it says, then each row's [`RowRecord`] with its [`StackRecord`]s and [`SliceRecord`]s behind it.
//!
//! Records are apart from the model, so that the model can change without changing what is on disk: a change here is a
//! new [`VERSION`](super::VERSION), and a test holds the bytes of the present one. Numbers of strings, modules and frames
//! are their positions in the file.

use serde::{Deserialize, Serialize};

/// Everything but frames and rows.
#[derive(Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) ctprof_version: String,
    pub(super) kernel: String,
    pub(super) start_unix_ns: u64,
    pub(super) duration_ns: u64,
    pub(super) frequency_hz: u64,
    pub(super) event: String,
    pub(super) cpus: u64,
    /// By the hypervisor, by interrupts.
    pub(super) stolen_ns: Option<(u64, u64)>,
    /// Cause, count.
    pub(super) lost: Vec<(String, u64)>,
    /// View, cause.
    pub(super) unavailable: Vec<(String, String)>,
    /// Cause, count, explanation.
    pub(super) unnamed: Vec<(String, u64, String)>,
    /// Names of the states that rows and stacks refer to by position.
    pub(super) states: Vec<String>,
    pub(super) strings: u32,
    pub(super) modules: u32,
    pub(super) frames: u32,
    pub(super) rows: u32,
    /// Lengths of the slices.
    pub(super) slices_ns: Vec<u64>,
}

/// A module: path and build id, both strings.
#[derive(Serialize, Deserialize)]
pub(super) struct ModuleRecord {
    pub(super) path: u32,
    pub(super) build_id: u32,
}

/// What code a frame is of.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) enum KindRecord {
    User,
    Inlined,
    Kernel,
    KernelInlined,
    StandIn,
}

/// A frame.
#[derive(Serialize, Deserialize)]
pub(super) struct FrameRecord {
    pub(super) function: u32,
    pub(super) kind: KindRecord,
    pub(super) module: Option<u32>,
    pub(super) address: u64,
    pub(super) file: Option<u32>,
    pub(super) line: u32,
}

/// A row, without its stacks.
#[derive(Serialize, Deserialize)]
pub(super) struct RowRecord {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) runtime: String,
    pub(super) image: String,
    /// Namespace, name.
    pub(super) pod: Option<(String, String)>,
    pub(super) cgroup: String,
    pub(super) cpu_quota_cores: Option<f64>,
    pub(super) threads: Option<u64>,
    /// State, time.
    pub(super) time_ns: Vec<(u8, u64)>,
    pub(super) ledger: Option<LedgerRecord>,
    /// Id of the view, its record.
    pub(super) views: Vec<(String, Vec<u8>)>,
    pub(super) cfs: Option<CfsRecord>,
    pub(super) samples: u64,
    /// Of samples.
    pub(super) quality: QualityRecord,
    /// Of waits, in ns.
    pub(super) wait_quality: QualityRecord,
    pub(super) stacks: u32,
    pub(super) slices: u32,
    /// Name and variant of the items that the slices refer to, as their views have them on disk.
    pub(super) items: Vec<(String, String)>,
}

/// How far stacks reach.
#[derive(Serialize, Deserialize)]
pub(super) struct QualityRecord {
    pub(super) complete: u64,
    pub(super) truncated: u64,
    pub(super) unreadable: u64,
    /// Why those that are truncated are: number of the cause, how many.
    pub(super) cut: Vec<(u8, u64)>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct LedgerRecord {
    pub(super) thread_time_ns: u64,
    pub(super) threads_born: u64,
    pub(super) threads_exited: u64,
    pub(super) voluntary_switches: u64,
    pub(super) involuntary_switches: u64,
    pub(super) migrations: u64,
    pub(super) limited_ns: u64,
    pub(super) run_queue_latency: HistogramRecord,
    pub(super) throttle_duration: HistogramRecord,
    pub(super) delayed_by: Vec<(CulpritRecord, u64)>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct HistogramRecord {
    pub(super) count: u64,
    pub(super) sum_ns: u64,
    pub(super) max_ns: u64,
    pub(super) buckets: Vec<BucketRecord>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct BucketRecord {
    pub(super) from_ns: u64,
    pub(super) width_ns: u64,
    pub(super) count: u64,
}

impl BucketRecord {
    pub(super) const fn new(from_ns: u64, to_ns: u64, count: u64) -> Self {
        Self {
            from_ns,
            width_ns: to_ns.saturating_sub(from_ns),
            count,
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) enum CulpritRecord {
    Siblings,
    Row(u32),
    Elsewhere(String),
    Host,
    Kernel,
    Idle,
    Unknown,
}

#[derive(Serialize, Deserialize)]
pub(super) struct CfsRecord {
    pub(super) usage_ns: Option<u64>,
    pub(super) periods: u64,
    pub(super) throttled_periods: u64,
    pub(super) throttled_ns: u64,
    pub(super) throttled_local_ns: Option<u64>,
    pub(super) bursts: u64,
    pub(super) burst_ns: u64,
}

/// A stack. Those of a row are in the order of their frames from the root, so that each shares most with the one
/// before.
#[derive(Serialize, Deserialize)]
pub(super) struct StackRecord<F> {
    pub(super) state: u8,
    pub(super) pid: u32,
    pub(super) thread: u32,
    pub(super) syscall: Option<u32>,
    pub(super) burnt_quota: bool,
    pub(super) count: u64,
    pub(super) time_ns: u64,
    /// Frames from the root that the stack before has as well.
    pub(super) shared: u32,
    /// The others, root first: numbers of frames.
    pub(super) frames: F,
}

/// A piece of a row.
#[derive(Serialize, Deserialize)]
pub(super) struct SliceRecord {
    pub(super) at: u32,
    pub(super) on_cpu_ns: u64,
    /// State, time.
    pub(super) off_cpu_ns: Vec<(u8, u64)>,
    pub(super) voluntary_switches: u64,
    pub(super) involuntary_switches: u64,
    pub(super) migrations: u64,
    pub(super) run_queue_latency: HistogramRecord,
    pub(super) stops: u64,
    pub(super) items: Vec<PartRecord>,
    /// In the order of the row's stacks in this file.
    pub(super) stacks: Vec<PartRecord>,
}

/// What a call or a stack had of a slice: how far its place is behind that of the one before, how often, how long.
pub(super) type PartRecord = (u32, u64, u64);
