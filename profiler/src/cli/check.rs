//! `ctprof check`: what works on this host, what does not, and what to do about it.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Format;
use super::output_error;
use crate::bpf::probes::{self, Hook};
use crate::bpf::{Kernel, LoadPlan, ProbeState, Sampler, SamplingEvent, Slots};
use crate::collect::view_settings;
use crate::host::btf::{Btf, FIELDS, Layout};
use crate::host::cgroup::{Hierarchy, Version};
use crate::host::{Host, kernel};
use crate::model::StateGroup;
use crate::requirements::{self, Requirement, Verdict};
use crate::symbolize::debuginfod::Settings;
use crate::{Error, Result, views};

/// Say what works on this host, and what to do about the rest.
///
/// Loads and attaches every probe for a moment. Exits with 0 if recording works, with 4 if it does not.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// How to print the result.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// The kernel's type information, for kernels that do not publish it at /sys/kernel/btf/vmlinux.
    #[arg(long, value_name = "PATH")]
    btf: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Ok,
    /// Recording works, with less to show.
    Limited,
    Failed,
}

#[derive(Debug, Serialize)]
struct Finding {
    id: &'static str,
    status: Status,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl From<Requirement> for Finding {
    fn from(requirement: Requirement) -> Self {
        Self {
            id: requirement.id,
            status: match requirement.verdict {
                Verdict::Met => Status::Ok,
                Verdict::Limited => Status::Limited,
                Verdict::Unmet => Status::Failed,
            },
            detail: requirement.detail,
            remedy: requirement.remedy,
        }
    }
}

#[derive(Serialize)]
struct Findings {
    schema_version: u32,
    ctprof_version: &'static str,
    recording_works: bool,
    checks: Vec<Finding>,
}

/// Runs every check and prints it.
///
/// # Errors
/// [`Error::Unsupported`] if recording does not work here; the output cannot be written.
pub fn run(args: &CheckArgs) -> Result<()> {
    let checks = findings(args.btf.as_deref());
    let recording_works = checks.iter().all(|check| check.status != Status::Failed);
    let failed = checks
        .iter()
        .filter(|check| check.status == Status::Failed)
        .count();
    let findings = Findings {
        schema_version: 1,
        ctprof_version: env!("CARGO_PKG_VERSION"),
        recording_works,
        checks,
    };
    match args.format {
        Format::Json => super::print_json(&findings)?,
        Format::Text => print(&findings).map_err(|error| output_error(&error))?,
    }
    if recording_works {
        return Ok(());
    }
    Err(Error::Unsupported(format!(
        "recording does not work on this host: {failed} of {} checks failed",
        findings.checks.len()
    )))
}

fn print(findings: &Findings) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for check in &findings.checks {
        let status = match check.status {
            Status::Ok => "ok",
            Status::Limited => "limited",
            Status::Failed => "FAILED",
        };
        writeln!(out, "{:<15} {status:<8} {}", check.id, check.detail)?;
        if let Some(remedy) = &check.remedy {
            writeln!(out, "{:<15} {:<8} -> {remedy}", "", "")?;
        }
    }
    if findings.recording_works {
        writeln!(out, "\nctprof record works on this host")?;
    }
    Ok(())
}

fn findings(btf_path: Option<&Path>) -> Vec<Finding> {
    let host = Host::default();
    let (all, hierarchy) = requirements::all(&host);
    let mut all: Vec<Finding> = all.into_iter().map(Finding::from).collect();
    let are_met = all.iter().all(|it| it.status != Status::Failed);
    let hierarchy = hierarchy.ok();
    let layout = types(btf_path, hierarchy.as_ref(), &mut all);
    all.push(kernel_symbols(&host));
    all.push(debug_servers());
    match (hierarchy, layout) {
        (Some(hierarchy), Some(layout)) if are_met => {
            programs(&host, btf_path, &hierarchy, &layout, &mut all);
        }
        _ => all.extend(probes::all().map(|probe| {
            failed(
                probe.id,
                "not tried: it needs what failed above".to_owned(),
                None,
            )
        })),
    }
    all
}

fn types(
    path: Option<&Path>,
    hierarchy: Option<&Hierarchy>,
    all: &mut Vec<Finding>,
) -> Option<Layout> {
    let path = path.unwrap_or(Path::new(kernel::BTF_PATH));
    let v1 = hierarchy.is_some_and(|hierarchy| hierarchy.version() == Version::V1);
    let resolved = Btf::from_file(path)
        .map_err(|error| error.to_string())
        .and_then(|btf| Layout::resolve(&btf, v1).map_err(|error| error.to_string()));
    match resolved {
        Ok(layout) => {
            all.push(ok(
                "btf",
                format!(
                    "{}: {} of {} fields",
                    path.display(),
                    layout.offsets.len(),
                    FIELDS.len()
                ),
            ));
            Some(layout)
        }
        Err(cause) => {
            let remedy = "use a kernel with CONFIG_DEBUG_INFO_BTF=y, or --btf with a BTF file for this kernel";
            all.push(failed("btf", cause, Some(remedy.to_owned())));
            None
        }
    }
}

fn kernel_symbols(host: &Host) -> Finding {
    if kernel::shows_kernel_addresses(host) {
        return ok("kernel_symbols", "/proc/kallsyms".to_owned());
    }
    let restrict = kernel::sysctl(host, "kernel/kptr_restrict").unwrap_or_default();
    limited(
        "kernel_symbols",
        format!(
            "/proc/kallsyms hides addresses (kernel.kptr_restrict={restrict}): kernel frames have no names"
        ),
        "run with sudo, or sysctl kernel.kptr_restrict=1 and CAP_SYSLOG",
    )
}

/// Whether servers are asked for debug information. That they answer is not tried: nothing leaves this host here.
fn debug_servers() -> Finding {
    let detail = match Settings::from_env() {
        None => "off: DEBUGINFOD_URLS names no server to ask for debug information".to_owned(),
        Some(settings) => {
            let servers = settings.servers.iter().map(ToString::to_string);
            let folders = settings.folders.iter();
            let folders = folders.map(|path| path.display().to_string());
            let all: Vec<String> = servers.chain(folders).collect();
            let kept = settings.cache.map_or_else(
                || "in memory".to_owned(),
                |path| format!("at {}", path.display()),
            );
            format!(
                "asked for debug information, which is kept {kept}: {}",
                all.join(", ")
            )
        }
    };
    ok("debuginfod", detail)
}

fn programs(
    host: &Host,
    btf: Option<&Path>,
    hierarchy: &Hierarchy,
    layout: &Layout,
    all: &mut Vec<Finding>,
) {
    let every_view: Vec<_> = views::hooks().collect();
    let loaded = Kernel::load(&LoadPlan {
        layout,
        btf,
        cgroup_v1: hierarchy.version() == Version::V1,
        hierarchy_id: hierarchy.id(),
        record_host: true,
        processes: 0,
        slots: Slots {
            first_born: 1,
            all: 2,
            share: 1,
        },
        reuse_slots: false,
        throttle: layout.throttle(),
        stack_states: &StateGroup::ALL,
        stacks_by_slot: true,
        unwind: true,
        min_block_ns: 0,
        views: view_settings(&every_view),
        count_rows: 1,
        stacks: 1,
        log: false,
    });
    let mut kernel = match loaded {
        Ok(kernel) => kernel,
        Err(error) => {
            all.push(failed("bpf", error.to_string(), None));
            return;
        }
    };
    let event = SamplingEvent::best();
    for probe in probes::all() {
        let state = match kernel.load_probe(probe) {
            ProbeState::Attached if probe.hook == Hook::PerfEvent => {
                match Sampler::start(&mut kernel, event, 1) {
                    Ok(mut sampler) => {
                        sampler.stop(&mut kernel);
                        ProbeState::Attached
                    }
                    Err(error) => ProbeState::Failed(error.to_string()),
                }
            }
            ProbeState::Attached => kernel.attach(probe),
            refused => refused,
        };
        all.push(match state {
            ProbeState::Attached => ok(probe.id, probe.gives.to_owned()),
            ProbeState::Skipped(cause) | ProbeState::Failed(cause) if probe.required => {
                failed(probe.id, cause, None)
            }
            ProbeState::Skipped(cause) | ProbeState::Failed(cause) => limited(
                probe.id,
                format!("{}: {cause}", probe.without),
                "use a newer kernel",
            ),
        });
    }
    all.push(match event {
        SamplingEvent::Cycles => ok("sampling_event", event.name().to_owned()),
        SamplingEvent::CpuClock => ok(
            "sampling_event",
            format!(
                "{} (no hardware cycles here, usual in virtual machines), at most {} Hz",
                event.name(),
                kernel::sysctl(host, "kernel/perf_event_max_sample_rate").unwrap_or(0)
            ),
        ),
    });
}

fn ok(id: &'static str, detail: String) -> Finding {
    Finding {
        id,
        status: Status::Ok,
        detail,
        remedy: None,
    }
}

fn limited(id: &'static str, detail: String, remedy: &str) -> Finding {
    Finding {
        id,
        status: Status::Limited,
        detail,
        remedy: Some(remedy.to_owned()),
    }
}

fn failed(id: &'static str, detail: String, remedy: Option<String>) -> Finding {
    Finding {
        id,
        status: Status::Failed,
        detail,
        remedy,
    }
}
