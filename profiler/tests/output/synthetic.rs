//! Profiles whose every number is known: `small` has on-CPU samples alone, `rich` a whole ledger, `large` many stacks,
//! `layered` what isolation costs.

mod large;
mod layered;
mod ledger;
mod rich;
mod slices;

use std::collections::BTreeMap;
use std::sync::Arc;

use ctprof::model::{
    CfsFigures, Container, ContainerIdentity, Cuts, Frame, FrameId, FrameKind, Loss, Module,
    ModuleId, Pod, Runtime, Stack, StackQuality, State, Unavailable, ViewId, Window,
};

pub(crate) use large::large;
pub(crate) use layered::layered;
pub(crate) use rich::rich;

/// A sample at 99 Hz stands for this long.
pub(crate) const PERIOD_NS: u64 = 10_101_010;

/// Builds a window frame by frame.
pub(crate) struct Maker {
    pub(crate) window: Window,
    program: ModuleId,
    kernel: ModuleId,
    next_address: u64,
}

impl Maker {
    pub(crate) fn new() -> Self {
        let mut window = Window {
            ctprof_version: "0.1.0".into(),
            kernel: "6.18.44".into(),
            start_unix_ns: 1_767_225_599_000_000_000,
            duration_ns: 10_000_000_000,
            frequency_hz: 99,
            event: "cpu-clock".into(),
            cpus: 2,
            lost: BTreeMap::from([(Loss::StackMapFull, 0), (Loss::ThreadUntracked, 0)]),
            ..Window::default()
        };
        let program = window.frames.intern_module(Module {
            path: "/usr/bin/server".into(),
            build_id: "0123456789abcdef0123456789abcdef01234567".into(),
        });
        let kernel = window.frames.intern_module(Module {
            path: "[kernel]".into(),
            build_id: "".into(),
        });
        Self {
            window,
            program,
            kernel,
            next_address: 0x1000,
        }
    }

    fn frame(&mut self, function: &str, kind: FrameKind, inlined: bool) -> FrameId {
        let module = match kind {
            FrameKind::User | FrameKind::StandIn => self.program,
            FrameKind::Kernel => self.kernel,
        };
        // One address for each name, so that a name is one frame.
        let known = self
            .window
            .frames
            .frames()
            .iter()
            .position(|f| &*f.function == function && f.kind == kind && f.inlined == inlined);
        if let Some(known) = known {
            return FrameId(known as u32);
        }
        self.next_address += 0x10;
        self.window.frames.intern(Frame {
            function: function.into(),
            kind,
            module: Some(module),
            address: self.next_address,
            inlined,
            file: None,
            line: 0,
        })
    }

    pub(crate) fn user(&mut self, function: &str) -> FrameId {
        self.frame(function, FrameKind::User, false)
    }

    pub(crate) fn stand_in(&mut self, name: &'static str) -> FrameId {
        self.frame(name, FrameKind::StandIn, false)
    }

    pub(crate) fn inlined(&mut self, function: &str) -> FrameId {
        self.frame(function, FrameKind::User, true)
    }

    pub(crate) fn kernel(&mut self, function: &str) -> FrameId {
        self.frame(function, FrameKind::Kernel, false)
    }

    /// Adds a container; its totals are sums over its stacks.
    pub(crate) fn container(&mut self, identity: ContainerIdentity) -> &mut Container {
        self.window.rows.push(Container {
            identity,
            threads: Some(1),
            ..Container::default()
        });
        self.window.rows.last_mut().unwrap()
    }

    /// A stack, root first as people read it, in the container added last.
    pub(crate) fn stack(&mut self, pid: u32, thread: &str, root_first: &[FrameId], samples: u64) {
        let kernel = root_first
            .last()
            .is_some_and(|leaf| self.window.frames.frame(*leaf).kind == FrameKind::Kernel);
        let state = if kernel {
            State::OnCpuKernel
        } else {
            State::OnCpuUser
        };
        let container = self.window.rows.last_mut().unwrap();
        container.stacks.push(Stack {
            state,
            pid,
            thread: Arc::from(thread),
            frames: root_first.iter().rev().copied().collect(),
            count: samples,
            time_ns: samples * PERIOD_NS,
            syscall: None,
            burnt_quota: false,
        });
        container.samples += samples;
        container.quality.complete += samples;
        *container.time_ns.entry(state).or_default() += samples * PERIOD_NS;
    }

    /// The stack added last is of a thread in this system call.
    pub(crate) fn in_call(&mut self, syscall: &str) {
        let container = self.window.rows.last_mut().unwrap();
        container.stacks.last_mut().unwrap().syscall = Some(Arc::from(syscall));
    }

    /// Time in a state other than on-CPU, root first, in the container added last.
    pub(crate) fn off_cpu(
        &mut self,
        thread: &str,
        (state, syscall): (State, &str),
        root_first: &[FrameId],
        count: u64,
        ns: u64,
    ) {
        let container = self.window.rows.last_mut().unwrap();
        container.stacks.push(Stack {
            state,
            pid: 4000,
            thread: Arc::from(thread),
            frames: root_first.iter().rev().copied().collect(),
            count,
            time_ns: ns,
            syscall: (!syscall.is_empty()).then(|| Arc::from(syscall)),
            burnt_quota: false,
        });
        *container.time_ns.entry(state).or_default() += ns;
    }
}

pub(crate) fn named(name: &str, runtime: Runtime, id: &str) -> ContainerIdentity {
    ContainerIdentity {
        id: id.into(),
        name: name.into(),
        runtime,
        cgroup: format!("/{runtime}/{name}"),
        ..ContainerIdentity::default()
    }
}

/// Three containers that ran, one that did not; throttling, losses, a missing view.
pub(crate) fn small() -> Window {
    let mut m = Maker::new();

    m.container(ContainerIdentity {
        image: "redis:7".into(),
        ..named("cache", Runtime::Docker, &"c0ffee".repeat(10))
    });
    let (main, event_loop) = (m.user("main"), m.user("aeProcessEvents"));
    let (command, lookup) = (m.user("processCommand"), m.inlined("lookupKey"));
    let (write, syscall) = (m.user("write"), m.kernel("entry_SYSCALL_64"));
    let (sys_write, tcp) = (m.kernel("ksys_write"), m.kernel("tcp_sendmsg"));
    m.stack(100, "redis-server", &[main, event_loop, command], 120);
    m.stack(
        100,
        "redis-server",
        &[main, event_loop, command, lookup],
        80,
    );
    m.stack(
        100,
        "redis-server",
        &[main, event_loop, write, syscall, sys_write, tcp],
        200,
    );
    let idle = m.user("bioProcessBackgroundJobs");
    m.stack(100, "bio_aof", &[idle], 3);
    m.stack(100, "bio_lazy_free", &[idle], 1);

    m.container(ContainerIdentity {
        image: "shop/web:1.4".into(),
        pod: Some(Pod {
            namespace: "shop".into(),
            name: "web-7f9c".into(),
        }),
        ..named("app", Runtime::Containerd, &"feed".repeat(16))
    });
    let (start, render) = (m.user("_start"), m.user("render"));
    let fact = m.user("factorial");
    m.stack(200, "worker-1", &[start, render], 420);
    m.stack(200, "worker-2", &[start, render], 130);
    // Recursion: `factorial` counts once for its total.
    m.stack(200, "worker-1", &[start, render, fact, fact, fact], 50);
    let app = m.window.rows.last_mut().unwrap();
    app.cpu_quota_cores = Some(0.5);
    app.threads = Some(2);
    app.cfs = Some(CfsFigures {
        usage_ns: Some(6_061_000_000),
        periods: 100,
        throttled_periods: 41,
        throttled_ns: 3_210_000_000,
        throttled_local_ns: None,
        bursts: 0,
        burst_ns: 0,
    });
    app.quality = StackQuality {
        complete: 500,
        truncated: 90,
        unreadable: 10,
        cut: Cuts([70, 0, 20, 0, 0, 0, 0]),
    };
    app.wait_quality = StackQuality {
        complete: 900,
        truncated: 100,
        unreadable: 0,
        cut: Cuts([0, 100, 0, 0, 0, 0, 0]),
    };

    m.container(ContainerIdentity {
        cgroup: String::new(),
        ..named("kernel", Runtime::Kernel, "")
    });
    let (fork, kthread) = (m.kernel("ret_from_fork"), m.kernel("kthread"));
    m.stack(2, "kworker/0:1", &[fork, kthread], 12);
    m.stack(3, "kworker/1:2", &[fork, kthread], 3);

    m.container(named("sleepy", Runtime::Docker, &"aa".repeat(32)));

    m.window.lost.insert(Loss::StackMapFull, 7);
    m.window.unavailable.push(Unavailable {
        view: ViewId::THROTTLED,
        cause: "this kernel has no clock of throttled time; use 6.6 or newer".into(),
    });
    m.window
}
