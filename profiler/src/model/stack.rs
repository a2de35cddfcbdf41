//! Symbolized stacks, stored once and referred to by number.

use std::cmp::Ordering;
use std::sync::Arc;

use foldhash::HashMap;

use super::State;

/// Names of frames that stand for stacks which are not known, so that their time stays in every view.
pub mod stand_in {
    /// The wait was too short for its stack to be kept.
    pub const SHORT: &str = "[shorter than --min-block]";
    /// The wait began before the recording, and ended before the user half of its stack could be read.
    pub const BEFORE: &str = "[since before the recording]";
    /// There is time, and no stack for it.
    pub const NO_STACK: &str = "[no stack]";
    /// Functions between the two frames beside it: they are known to be missing.
    pub const SKIPPED: &str = "[skipped]";
    /// There is time on the CPU, and no sample fell into it.
    pub const NOT_SAMPLED: &str = "[not sampled]";

    /// All of them.
    pub const ALL: [&str; 5] = [SHORT, BEFORE, NO_STACK, NOT_SAMPLED, SKIPPED];
}

/// One program image: a process between two `execve` calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessKey {
    /// Process id in the initial PID namespace.
    pub pid: u32,
    /// The kernel's count of `execve` calls of this process and its ancestors.
    pub exec_id: u32,
}

/// Number of a [`Frame`] in a [`FrameTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrameId(pub u32);

/// Number of a [`Module`] in a [`FrameTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModuleId(pub u32);

/// Where a frame's code lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FrameKind {
    /// The program, its libraries, its JIT-compiled code, the vDSO.
    User,
    /// The kernel and its modules.
    Kernel,
    /// No code: its name, one of [`stand_in`]'s, says why frames are not there.
    StandIn,
}

/// A mapped file: executable, library, vDSO, JIT region or the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Module {
    /// Path as the process sees it, or `[kernel]`, `[vdso]`, `[jit]`. Free of control characters.
    pub path: Arc<str>,
    /// GNU build id in lower-case hex, empty if the file has none.
    pub build_id: Arc<str>,
}

/// One line of a stack. Two frames are the same when all fields are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    /// Demangled function name, or `[file+0xoffset]` where there is no symbol. Free of control characters.
    pub function: Arc<str>,
    /// User or kernel code.
    pub kind: FrameKind,
    /// The file that holds the code.
    pub module: Option<ModuleId>,
    /// Address within the module (ELF virtual address), or the absolute address without a module.
    pub address: u64,
    /// The function was inlined into the next frame towards the root.
    pub inlined: bool,
    /// Source file, where debug information names it.
    pub file: Option<Arc<str>>,
    /// Line in `file`; 0 if not known.
    pub line: u32,
}

/// What one address turned into: innermost inlined function first, the real function last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// At least one frame.
    pub frames: Vec<FrameId>,
    /// The function is one where threads begin (`_start`, `clone`, `runtime.goexit`, …): a stack that
    /// ends here is complete.
    pub is_root: bool,
    /// The address can be code. Unwinding by frame pointers runs into data where code has none; what it
    /// finds from there on is noise.
    pub is_code: bool,
    /// Where the function has the address that it returns to.
    pub caller: CallerAt,
}

/// Where a function, at some address within it, has the address that it returns to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallerAt {
    /// It is not known.
    #[default]
    Unknown,
    /// Beside the frame pointer, where unwinding by frame pointers finds it.
    FramePointer,
    /// So many bytes above the stack pointer, while the frame pointer is still one of its callers': unwinding by frame
    /// pointers goes on with the caller of *that* function, and skips those between.
    Stack(u32),
}

/// Every distinct frame and module of a recording.
#[derive(Clone, Debug, Default)]
pub struct FrameTable {
    frames: Vec<Frame>,
    frame_ids: HashMap<Frame, FrameId>,
    modules: Vec<Module>,
    module_ids: HashMap<Module, ModuleId>,
}

impl FrameTable {
    /// The number of this frame, new or known.
    pub fn intern(&mut self, frame: Frame) -> FrameId {
        if let Some(id) = self.frame_ids.get(&frame) {
            return *id;
        }
        let id = FrameId(u32::try_from(self.frames.len()).unwrap_or(u32::MAX));
        self.frames.push(frame.clone());
        self.frame_ids.insert(frame, id);
        id
    }

    /// The number of this module, new or known.
    pub fn intern_module(&mut self, module: Module) -> ModuleId {
        if let Some(id) = self.module_ids.get(&module) {
            return *id;
        }
        let id = ModuleId(u32::try_from(self.modules.len()).unwrap_or(u32::MAX));
        self.modules.push(module.clone());
        self.module_ids.insert(module, id);
        id
    }

    /// The frame with this number. Panics if the number is from another table.
    #[must_use]
    pub fn frame(&self, id: FrameId) -> &Frame {
        &self.frames[id.0 as usize]
    }

    /// The module with this number. Panics if the number is from another table.
    #[must_use]
    pub fn module(&self, id: ModuleId) -> &Module {
        &self.modules[id.0 as usize]
    }

    /// All frames, in the order of their numbers.
    #[must_use]
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// All modules, in the order of their numbers.
    #[must_use]
    pub fn modules(&self) -> &[Module] {
        &self.modules
    }
}

/// One distinct stack of one container, with what was counted on it.
#[derive(Clone, Debug)]
pub struct Stack {
    /// What the thread was doing.
    pub state: State,
    /// Process id in the initial PID namespace.
    pub pid: u32,
    /// Thread name. Free of control characters.
    pub thread: Arc<str>,
    /// Leaf first: kernel frames, then user frames, inlined functions as frames of their own.
    pub frames: Vec<FrameId>,
    /// Samples if on-CPU, else intervals that began with this stack.
    pub count: u64,
    /// On-CPU: the share of the container's exact CPU time that its samples stand for. Else: time, exact.
    pub time_ns: u64,
    /// The system call that the thread is in, by name: runs in the kernel for, is blocked in, or waits in.
    pub syscall: Option<Arc<str>>,
    /// On-CPU in a quota period that ended throttled: this stack burnt the quota.
    pub burnt_quota: bool,
}

impl Stack {
    /// The order in which stacks are equal that are one: everything counts but what was counted on them.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        let key = |it: &Self| (it.state, it.pid, it.burnt_quota);
        key(self)
            .cmp(&key(other))
            .then_with(|| self.thread.cmp(&other.thread))
            .then_with(|| self.syscall.cmp(&other.syscall))
            .then_with(|| self.frames.cmp(&other.frames))
    }
}
