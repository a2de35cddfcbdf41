//! Attaching, with an outcome that says why.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::num::NonZero;
use std::sync::Mutex;
use std::thread;

use aya::{
    Btf, Ebpf,
    programs::{
        BtfTracePoint, FEntry, Iter, KProbe, PerfEvent, Program, ProgramError, RawTracePoint,
        RawTracePointRunOptions, TestRun as _,
    },
};

use aya::programs::tp_btf::BtfTracePointLink;

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

/// Has the kernel verify programs, on all CPUs. That takes long enough for threads to be born and end: so everything
/// is loaded before anything is attached. What takes longest should come first.
pub(super) fn load_all<'a>(
    ebpf: &mut Ebpf,
    btf: &Btf,
    probes: &[&'a Probe],
) -> Vec<(&'a Probe, ProbeState)> {
    let mut programs: HashMap<String, &mut Program> = ebpf
        .programs_mut()
        .map(|(name, program)| (name.to_owned(), program))
        .collect();
    let mut states = Vec::new();
    let mut loads = Vec::new();
    for probe in probes {
        match programs.remove(probe.program) {
            Some(program) => loads.push((*probe, program)),
            None => states.push((*probe, no_program(probe))),
        }
    }
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let next = Mutex::new(loads.into_iter());
    let work = || {
        let mut loaded = Vec::new();
        while let Some((probe, program)) = next.lock().ok().and_then(|mut next| next.next()) {
            loaded.push((probe, load(program, btf, probe)));
        }
        loaded
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(probes.len()))
            // Without another thread this one does it all.
            .filter_map(|_| thread::Builder::new().spawn_scoped(scope, work).ok())
            .collect();
        states.extend(work());
        // One that panicked has no states: its programs are loaded again, one by one.
        states.extend(
            others
                .into_iter()
                .flat_map(|it| it.join().unwrap_or_default()),
        );
    });
    states
}

fn no_program(probe: &Probe) -> ProbeState {
    ProbeState::Failed(format!("the BPF object has no program {}", probe.program))
}

fn load(program: &mut Program, btf: &Btf, probe: &Probe) -> ProbeState {
    let result = match probe.hook {
        Hook::Tracepoint(hook) => {
            typed(program).and_then(|program: &mut BtfTracePoint| program.load(hook, btf))
        }
        Hook::Fentry(function) => {
            typed(program).and_then(|program: &mut FEntry| program.load(function, btf))
        }
        Hook::Kprobe(_) => typed(program).and_then(|program: &mut KProbe| program.load()),
        Hook::Tasks => typed(program).and_then(|program: &mut Iter| program.load("task", btf)),
        Hook::PerfEvent => typed(program).and_then(|program: &mut PerfEvent| program.load()),
        Hook::Call => typed(program).and_then(|program: &mut RawTracePoint| program.load()),
    };
    match result {
        Ok(()) => ProbeState::Attached,
        Err(ProgramError::Btf(error)) => ProbeState::Skipped(format!(
            "this kernel has no {}: {}",
            match probe.hook {
                Hook::Tracepoint(name) | Hook::Fentry(name) | Hook::Kprobe(name) => name,
                Hook::PerfEvent | Hook::Tasks | Hook::Call => probe.program,
            },
            describe(&error)
        )),
        Err(error) => {
            if let ProgramError::LoadError { verifier_log, .. } = &error {
                tracing::debug!("verifier on {}: {verifier_log}", probe.program);
            }
            ProbeState::Failed(describe_load(&error))
        }
    }
}

/// Attaches a loaded program. One that visits threads runs when asked to, and one on perf events goes by CPU.
pub(super) fn attach(ebpf: &mut Ebpf, probe: &Probe) -> ProbeState {
    let Some(program) = ebpf.program_mut(probe.program) else {
        return no_program(probe);
    };
    let result = match probe.hook {
        Hook::Tracepoint(_) => {
            typed(program).and_then(|program: &mut BtfTracePoint| program.attach().map(drop))
        }
        Hook::Fentry(_) => {
            typed(program).and_then(|program: &mut FEntry| program.attach().map(drop))
        }
        Hook::Kprobe(function) => {
            typed(program).and_then(|program: &mut KProbe| program.attach(function, 0).map(drop))
        }
        Hook::Tasks | Hook::Call | Hook::PerfEvent => Ok(()),
    };
    match result {
        Ok(()) => ProbeState::Attached,
        Err(error) => ProbeState::Failed(describe(&error)),
    }
}

/// Attaches a loaded tracepoint, until the link is dropped.
pub(super) fn attach_link(ebpf: &mut Ebpf, probe: &Probe) -> Result<BtfTracePointLink, String> {
    let program = ebpf
        .program_mut(probe.program)
        .ok_or_else(|| format!("the BPF object has no program {}", probe.program))?;
    typed(program)
        .and_then(|program: &mut BtfTracePoint| {
            program.attach().and_then(|id| program.take_link(id))
        })
        .map_err(|error| describe(&error))
}

/// Runs a loaded program for every thread that there is, and returns what it wrote.
pub(super) fn visit(ebpf: &mut Ebpf, probe: &Probe) -> Result<Vec<u8>, String> {
    let mut run = visitor(ebpf, probe)?;
    let mut written = Vec::new();
    run.read_to_end(&mut written)
        .map_err(|error| error.to_string())?;
    Ok(written)
}

/// A file that runs a loaded program for every thread: a read does until the program has written as much, or has come to the
/// end.
pub(super) fn visitor(ebpf: &mut Ebpf, probe: &Probe) -> Result<File, String> {
    let program = ebpf
        .program_mut(probe.program)
        .ok_or_else(|| format!("the BPF object has no program {}", probe.program))?;
    let program: &mut Iter = typed(program).map_err(|error| describe(&error))?;
    let link = program
        .attach()
        .and_then(|id| program.take_link(id))
        .map_err(|error| describe(&error))?;
    link.into_file().map_err(|error| describe(&error))
}

/// Runs a loaded program once, with this as its first argument.
pub(super) fn call(ebpf: &mut Ebpf, probe: &Probe, argument: u64) -> Result<(), String> {
    let program = ebpf
        .program_mut(probe.program)
        .ok_or_else(|| format!("the BPF object has no program {}", probe.program))?;
    let program: &mut RawTracePoint = typed(program).map_err(|error| describe(&error))?;
    let mut options = RawTracePointRunOptions::new();
    options.args[0] = argument;
    let run = program.test_run(options);
    run.map(drop).map_err(|error| describe(&error))
}

fn typed<'a, T>(program: &'a mut Program) -> Result<T, ProgramError>
where
    T: TryFrom<&'a mut Program, Error = ProgramError>,
{
    program.try_into()
}

/// A load error in one line: the system's error and the verifier's last word.
fn describe_load(error: &ProgramError) -> String {
    let ProgramError::LoadError {
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
        .find(|line| {
            !line.trim().is_empty()
                && !["processed ", "stack depth ", "verification time "]
                    .iter()
                    .any(|statistics| line.starts_with(statistics))
        })
        .unwrap_or("no verifier output");
    format!("{io_error}: {verdict}")
}
