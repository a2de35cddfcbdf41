//! Windows for tests of rules: ten seconds of one container, put together by hand.

use std::sync::Arc;

use super::Finding;
use crate::analysis::View;
use crate::model::{
    CfsFigures, Container, ContainerIdentity, Culprit, Delay, Figures, Frame, FrameId, FrameKind,
    Ledger, Module, Runtime, Stack, State, Stolen, Window,
};

pub(super) const SECOND: u64 = 1_000_000_000;

/// Ten seconds of the container `app` on two CPUs.
pub(super) struct Made {
    window: Window,
}

impl Made {
    pub(super) fn new() -> Self {
        let app = Container {
            identity: ContainerIdentity {
                name: "app".to_owned(),
                runtime: Runtime::Docker,
                id: "0123456789abcdef".to_owned(),
                cgroup: "/docker/app".to_owned(),
                ..ContainerIdentity::default()
            },
            ledger: Some(Ledger::default()),
            threads: Some(4),
            ..Container::default()
        };
        let window = Window {
            duration_ns: 10 * SECOND,
            cpus: 2,
            frequency_hz: 99,
            rows: vec![app],
            ..Window::default()
        };
        Self { window }
    }

    pub(super) fn row(&mut self) -> &mut Container {
        &mut self.window.rows[0]
    }

    fn frame(&mut self, name: &str) -> FrameId {
        let (name, file) = name.split_once('@').unwrap_or((name, "app"));
        let kernel = name.strip_suffix("[k]");
        let module = Module {
            path: format!("/bin/{file}").into(),
            build_id: Arc::from(""),
        };
        let module = self.window.frames.intern_module(module);
        self.window.frames.intern(Frame {
            function: kernel.unwrap_or(name).into(),
            kind: if kernel.is_some() {
                FrameKind::Kernel
            } else {
                FrameKind::User
            },
            module: Some(module),
            address: 0,
            inlined: false,
            file: None,
            line: 0,
        })
    }

    /// Time of a thread with this stack, the innermost function first: `f@libx.so` is in a library, `f[k]` in the kernel.
    pub(super) fn stack(
        mut self,
        thread: &str,
        (state, call): (State, &str),
        frames: &[&str],
        (count, time_ns): (u64, u64),
    ) -> Self {
        let frames = frames.iter().map(|name| self.frame(name)).collect();
        let row = self.row();
        let pid = 100 + row.stacks.len() as u32;
        row.stacks.push(Stack {
            state,
            pid,
            thread: thread.into(),
            frames,
            count,
            time_ns,
            syscall: (!call.is_empty()).then(|| call.into()),
            burnt_quota: false,
        });
        *row.time_ns.entry(state).or_default() += time_ns;
        self
    }

    /// Time on the CPU.
    pub(super) fn runs(self, thread: &str, frames: &[&str], ns: u64) -> Self {
        self.stack(thread, (State::OnCpuUser, ""), frames, (100, ns))
    }

    /// What a view measured.
    pub(super) fn with(mut self, figures: impl Figures) -> Self {
        self.row().measured.insert(figures);
        self
    }

    /// Who had the CPU meanwhile.
    pub(super) fn delayed_by(mut self, culprit: Culprit, ns: u64) -> Self {
        let ledger = self.row().ledger.get_or_insert_default();
        ledger.delayed_by.push(Delay { culprit, ns });
        self
    }

    /// CPU time of the host that was taken from all threads.
    pub(super) fn stolen(mut self, hypervisor_ns: u64, interrupts_ns: u64) -> Self {
        self.window.stolen = Some(Stolen {
            hypervisor_ns,
            interrupts_ns,
        });
        self
    }

    pub(super) fn periods(mut self, throttled_periods: u64, periods: u64) -> Self {
        self.row().cfs = Some(CfsFigures {
            periods,
            throttled_periods,
            ..CfsFigures::default()
        });
        self
    }

    /// What is found, the worst first.
    pub(super) fn findings(self) -> Vec<Finding> {
        let (view, order) = View::of(&self.window);
        let app = order.iter().position(|index| *index == 0).unwrap();
        view.findings[app].clone()
    }

    /// The finding of this rule.
    pub(super) fn finding(self, id: &str) -> Option<Finding> {
        self.findings().into_iter().find(|it| it.id == id)
    }
}
