//! Attaching, with an outcome that says why.

use aya::{Btf, Ebpf, programs::BtfTracePoint};

use super::{
    describe,
    probes::{Hook, Probe},
};

/// What became of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeState {
    /// It runs.
    Attached,
    /// The kernel has no such hook.
    Skipped(String),
    /// The kernel refused it.
    Failed(String),
}

pub(super) fn tracepoint(ebpf: &mut Ebpf, btf: &Btf, probe: &Probe) -> ProbeState {
    let Hook::Tracepoint(hook) = probe.hook else {
        return ProbeState::Skipped("not a tracepoint".to_owned());
    };
    let Some(program) = ebpf.program_mut(probe.program) else {
        return ProbeState::Failed(format!("the BPF object has no program {}", probe.program));
    };
    let program: &mut BtfTracePoint = match program.try_into() {
        Ok(program) => program,
        Err(error) => return ProbeState::Failed(describe(&error)),
    };
    match program.load(hook, btf) {
        Ok(()) => {}
        Err(aya::programs::ProgramError::Btf(error)) => {
            return ProbeState::Skipped(format!(
                "no tracepoint {hook} in this kernel: {}",
                describe(&error)
            ));
        }
        Err(error) => {
            tracing::debug!("verifier on {}: {error}", probe.program);
            return ProbeState::Failed(describe_load(&error));
        }
    }
    match program.attach() {
        Ok(_) => ProbeState::Attached,
        Err(error) => ProbeState::Failed(describe(&error)),
    }
}

/// A load error in one line: the system's error and the verifier's last word.
pub(super) fn describe_load(error: &aya::programs::ProgramError) -> String {
    let aya::programs::ProgramError::LoadError {
        io_error,
        verifier_log,
    } = error
    else {
        return describe(error);
    };
    let log = verifier_log.to_string();
    let verdict = log
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty() && !line.starts_with("processed "))
        .unwrap_or("no verifier output");
    format!("{io_error}: {verdict}")
}
