//! What a thread waits for, by the functions that it waits in: the kernel knows that it sleeps on a futex, its stack whether that
//! is a lock that somebody holds or work that has not come.

use crate::model::State;

/// What a function of a stack says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// It takes a lock.
    Lock,
    /// It waits for work: runtimes' own threads, pools, timers.
    ForWork,
    /// It waits for events of a runtime's own, which nobody is kept from.
    Aside,
    /// It waits on a condition: for work as well, and then for the lock that belongs to the condition.
    Condition,
    /// It collects garbage.
    Collects,
    /// It compiles code at run time.
    Compiles,
    /// It asks for the address of a name.
    Resolves,
}

/// Functions by how they begin.
const FUNCTIONS: &[(&str, Says)] = &[
    // glibc, musl, libstdc++.
    ("__lll_lock_wait", Says::Lock),
    ("lll_lock_wait", Says::Lock),
    ("pthread_mutex_lock", Says::Lock),
    ("pthread_mutex_timedlock", Says::Lock),
    ("__pthread_mutex", Says::Lock),
    ("___pthread_mutex", Says::Lock),
    ("pthread_rwlock", Says::Lock),
    ("__pthread_rwlock", Says::Lock),
    ("___pthread_rwlock", Says::Lock),
    // Rust.
    ("std::sys::sync::mutex", Says::Lock),
    ("<std::sys::sync::mutex", Says::Lock),
    ("std::sys::sync::rwlock", Says::Lock),
    ("<std::sys::sync::rwlock", Says::Lock),
    ("std::sys::unix::locks::futex_mutex", Says::Lock),
    ("std::sys_common::mutex", Says::Lock),
    ("parking_lot::raw_mutex", Says::Lock),
    ("<parking_lot::raw_mutex", Says::Lock),
    ("parking_lot::raw_rwlock", Says::Lock),
    ("<parking_lot::raw_rwlock", Says::Lock),
    ("tokio::runtime", Says::ForWork),
    ("tokio::park", Says::ForWork),
    ("rayon_core::sleep", Says::ForWork),
    ("rayon_core::registry::WorkerThread::wait", Says::ForWork),
    // Go: threads without a goroutine to run.
    ("runtime.lock2", Says::Lock),
    ("runtime.findRunnable", Says::ForWork),
    ("runtime.findrunnable", Says::ForWork),
    ("runtime.stopm", Says::ForWork),
    ("runtime.startlockedm", Says::ForWork),
    ("runtime.stoplockedm", Says::ForWork),
    ("runtime.sysmon", Says::ForWork),
    ("runtime.templateThread", Says::ForWork),
    ("runtime.notetsleep", Says::ForWork),
    ("runtime.gcBgMarkWorker", Says::Collects),
    ("runtime.gcDrain", Says::Collects),
    ("runtime.gcAssistAlloc", Says::Collects),
    ("runtime.bgsweep", Says::Collects),
    ("runtime.bgscavenge", Says::Collects),
    ("runtime.gcStart", Says::Collects),
    ("runtime.gcMark", Says::Collects),
    ("runtime.scanobject", Says::Collects),
    ("runtime.(*sweepLocked)", Says::Collects),
    ("runtime.(*gcWork)", Says::Collects),
    // HotSpot.
    ("ObjectMonitor::enter", Says::Lock),
    ("ObjectMonitor::EnterI", Says::Lock),
    ("ObjectMonitor::TrySpin", Says::Lock),
    ("ObjectMonitor::ReenterI", Says::Lock),
    ("WatcherThread::", Says::ForWork),
    ("ConcurrentGCThread", Says::ForWork),
    ("VMThread::wait", Says::ForWork),
    ("VMThread::loop", Says::ForWork),
    ("CompileQueue::get", Says::ForWork),
    ("GangWorker::loop", Says::ForWork),
    ("WorkerThread::run", Says::ForWork),
    ("MonitorDeflationThread", Says::ForWork),
    ("ServiceThread::", Says::ForWork),
    ("NotificationThread::", Says::ForWork),
    ("os::signal_wait", Says::ForWork),
    ("Unsafe_Park", Says::ForWork),
    ("JVM_WaitForReferencePendingList", Says::ForWork),
    ("JVM_MonitorWait", Says::Condition),
    ("G1ParEvacuate", Says::Collects),
    ("G1CollectedHeap::", Says::Collects),
    ("SerialHeap::", Says::Collects),
    ("GenCollectedHeap::", Says::Collects),
    ("PSParallelCompact", Says::Collects),
    ("ZMark", Says::Collects),
    ("VM_GC", Says::Collects),
    ("VM_G1", Says::Collects),
    ("VM_Gen", Says::Collects),
    ("C2Compiler::", Says::Compiles),
    ("Compiler::compile_method", Says::Compiles),
    ("CompileBroker::invoke_compiler", Says::Compiles),
    // Node.js.
    ("node::TaskQueue", Says::ForWork),
    (
        "node::WorkerThreadsTaskRunner::DelayedTaskScheduler",
        Says::Aside,
    ),
    ("uv_cond_wait", Says::Condition),
    ("uv_sem_wait", Says::ForWork),
    ("v8::internal::Heap::CollectGarbage", Says::Collects),
    ("v8::internal::ScavengerCollector", Says::Collects),
    ("v8::internal::MarkCompactCollector", Says::Collects),
    ("v8::internal::OptimizingCompileDispatcher", Says::Compiles),
    // CPython.
    ("take_gil", Says::Lock),
    ("gc_collect_main", Says::Collects),
    // Ruby: its interpreter's lock under its names from 2.7 to 3.4.
    ("gvl_acquire", Says::Lock),
    ("thread_sched_to_running", Says::Lock),
    ("thread_sched_wait_running_turn", Says::Lock),
    ("gc_start", Says::Collects),
    ("gc_marks", Says::Collects),
    // jemalloc.
    ("background_thread_entry", Says::ForWork),
    // Conditions: who waits on one says that something has not come.
    ("pthread_cond_", Says::Condition),
    ("__pthread_cond_", Says::Condition),
    ("___pthread_cond_", Says::Condition),
    ("std::condition_variable", Says::Condition),
    ("std::sys::sync::condvar", Says::Condition),
    ("parking_lot::condvar", Says::Condition),
    ("std::thread::park", Says::ForWork),
    ("std::sync::mpmc", Says::ForWork),
    ("sem_wait", Says::ForWork),
    ("__new_sem_wait", Says::ForWork),
    // Names.
    ("getaddrinfo", Says::Resolves),
    ("gethostbyname", Says::Resolves),
    ("__res_", Says::Resolves),
    ("res_n", Says::Resolves),
    ("res_msend", Says::Resolves),
    ("name_from_dns", Says::Resolves),
    ("send_dg", Says::Resolves),
    ("net.(*Resolver)", Says::Resolves),
    ("net.cgoLookup", Says::Resolves),
    ("uv__getaddrinfo", Says::Resolves),
];

/// Threads by how their names begin, which runtimes give them.
const THREADS: &[(&str, Says)] = &[
    ("GC Thread#", Says::Collects),
    ("G1 ", Says::Collects),
    ("ZWorker", Says::Collects),
    ("ZDriver", Says::Collects),
    ("Shenandoah", Says::Collects),
    ("VM Thread", Says::Collects),
    ("C1 CompilerThre", Says::Compiles),
    ("C2 CompilerThre", Says::Compiles),
    ("JVMCI Native", Says::Compiles),
    ("VM Periodic Tas", Says::ForWork),
    ("Reference Handl", Says::ForWork),
    ("Finalizer", Says::ForWork),
    ("Signal Dispatch", Says::ForWork),
    ("Service Thread", Says::ForWork),
    ("Monitor Deflati", Says::ForWork),
    ("Notification Th", Says::ForWork),
    ("Common-Cleaner", Says::ForWork),
    ("jemalloc_bg_thd", Says::ForWork),
];

/// What a function says; `None` if it is one like any other.
pub(super) fn function(name: &str) -> Option<Says> {
    let mut found = FUNCTIONS
        .iter()
        .filter(|(begin, _)| name.starts_with(begin));
    found.next().map(|(_, says)| *says)
}

/// What a thread's name says.
pub(super) fn thread(name: &str) -> Option<Says> {
    let mut found = THREADS.iter().filter(|(begin, _)| name.starts_with(begin));
    found.next().map(|(_, says)| *says)
}

/// What the time of a stack is spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Spent {
    Runs,
    Queues,
    Throttled,
    Disk,
    Fault,
    /// On a lock that somebody holds.
    Lock,
    /// For a peer on the network.
    Network,
    /// For the address of a name.
    Name,
    Sleep,
    Child,
    Pipe,
    Other,
    /// Nothing is to do.
    Idle,
}

impl Spent {
    /// How many there are.
    pub(super) const COUNT: usize = Self::Idle as usize + 1;
}

/// What a thread that sleeps on a futex waits for, if its functions, the innermost first, say this; `None` if they do not tell.
///
/// Runtimes build their locks from conditions (HotSpot's monitors, CPython's and Ruby's locks of the interpreter), so that a
/// condition inside of a lock is that lock. A lock inside of a condition is the condition's: who was woken by it wants its lock
/// back, as all do that were woken with it, and still no work has come.
pub(super) fn waited_for(says: impl Iterator<Item = Says>) -> Option<Says> {
    let mut says = says
        .filter(|it| !matches!(it, Says::Collects | Says::Compiles))
        .peekable();
    let mut first = says.next()?;
    while first == Says::Condition
        && let Some(outer) = says.next_if(|it| matches!(it, Says::Condition | Says::Lock))
    {
        first = outer;
    }
    if first == Says::Lock && says.any(|it| it == Says::Condition) {
        return Some(Says::Condition);
    }
    Some(first)
}

/// What a stack in this state and call is about, if its functions, the innermost first, say this.
pub(super) fn spent(state: State, call: Option<&str>, says: impl Iterator<Item = Says>) -> Spent {
    let mut says = says.peekable();
    match state {
        State::OnCpuUser | State::OnCpuKernel => Spent::Runs,
        State::RunQueue => Spent::Queues,
        State::Throttled => Spent::Throttled,
        State::BlockedDisk => Spent::Disk,
        State::BlockedFault => Spent::Fault,
        State::BlockedSleep => match (says.peek(), call) {
            (Some(Says::ForWork | Says::Aside | Says::Condition), _) => Spent::Idle,
            (_, Some("clock_nanosleep" | "nanosleep")) => Spent::Sleep,
            // For a signal.
            _ => Spent::Idle,
        },
        State::BlockedChild => Spent::Child,
        State::BlockedPipe => Spent::Pipe,
        State::BlockedOther => Spent::Other,
        State::BlockedLock => match waited_for(says) {
            Some(Says::Lock) => Spent::Lock,
            Some(Says::Resolves) => Spent::Name,
            _ => Spent::Idle,
        },
        State::BlockedNet | State::BlockedPoll => {
            let is_for_work = matches!(call, Some("accept" | "accept4"));
            match says.find(|it| matches!(it, Says::Resolves)) {
                Some(_) => Spent::Name,
                None if is_for_work || state == State::BlockedPoll => Spent::Idle,
                None => Spent::Network,
            }
        }
    }
}
