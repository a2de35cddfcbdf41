//! `ctprof ps`: the containers of this host.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use super::Format;
use crate::host::Host;
use crate::host::cgroup::Hierarchy;
use crate::host::containers::Containers;
use crate::model::{Pod, Runtime};
use crate::table::{Align, Table};
use crate::target::inventory::{Inventory, Row};
use crate::{Error, Result};

/// Version of the JSON form.
const SCHEMA_VERSION: u32 = 1;

/// List the containers, services and plain cgroups of this host.
///
/// Reads the files that container runtimes keep; no daemon is asked. Names need root.
#[derive(clap::Args, Clone, Debug)]
pub struct PsArgs {
    /// Form of the output
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,

    /// Services and plain cgroups without threads, too
    #[arg(long)]
    pub all: bool,
}

/// Lists the containers, services and plain cgroups of this host on standard output.
///
/// # Errors
/// When there is no cgroup hierarchy to read, or standard output cannot be written.
pub fn run(args: &PsArgs) -> Result<()> {
    let width = terminal_width();
    list(
        args,
        &Host::default(),
        width,
        &mut io::BufWriter::new(io::stdout().lock()),
        &mut io::stderr().lock(),
    )
}

/// The same for any host and any writers; `talk` gets what is not data.
fn list(
    args: &PsArgs,
    host: &Host,
    width: Option<usize>,
    data: &mut impl Write,
    talk: &mut impl Write,
) -> Result<()> {
    let hierarchy = Hierarchy::detect(host)?;
    let mut containers = Containers::new(host, &hierarchy);
    let mut inventory = Inventory::read(&hierarchy, &mut containers)?;
    inventory
        .rows
        .retain(|row| args.all || row.is_container() || row.threads > 0);
    let written = match args.format {
        Format::Text => write_table(&inventory.rows, &hierarchy, width, data),
        Format::Json => write_json(&inventory.rows, &hierarchy, data),
    };
    written
        .and_then(|()| data.flush())
        .map_err(|error| Error::io("write", Path::new("standard output"), &error))?;

    // Nobody listens on standard error: nothing to do about it.
    if inventory.rows.is_empty() {
        let _ = writeln!(
            talk,
            "no containers, services or cgroups with threads on this host (cgroup {:?}, {}){}",
            hierarchy.version(),
            hierarchy.mount_point().display(),
            if args.all {
                ""
            } else {
                "; see also: ctprof ps --all"
            }
        );
    }
    if containers.is_denied() {
        let _ = writeln!(
            talk,
            "some names are missing: their runtime's files may only be read by root; run as root"
        );
    }
    if hierarchy.is_namespaced() {
        let _ = writeln!(
            talk,
            "ctprof runs in a cgroup namespace: containers outside it are not visible"
        );
    }
    Ok(())
}

fn write_table(
    rows: &[Row],
    hierarchy: &Hierarchy,
    width: Option<usize>,
    out: &mut impl Write,
) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut table = Table::new([
        ("NAME", Align::Left),
        ("ID", Align::Left),
        ("RUNTIME", Align::Left),
        ("IMAGE", Align::Left),
        ("POD", Align::Left),
        ("THREADS", Align::Right),
        ("CPU QUOTA", Align::Right),
        ("CGROUP", Align::Left),
    ]);
    for row in rows {
        let identity = &row.identity;
        let dash = |text: &str| if text.is_empty() { "-" } else { text }.to_owned();
        let quota = hierarchy.quota_cores(&row.cgroup.path);
        table.row([
            identity.name.clone(),
            dash(identity.id.get(..12).unwrap_or(&identity.id)),
            identity.runtime.name().to_owned(),
            dash(&identity.image),
            identity.pod.as_ref().map_or_else(
                || "-".to_owned(),
                |pod| format!("{}/{}", pod.namespace, pod.name),
            ),
            row.threads.to_string(),
            quota.map_or_else(|| "-".to_owned(), cores),
            identity.cgroup.clone(),
        ]);
    }
    table.write(out, width)
}

/// `0.5`, `2`, `0.333`: as many digits as tell something.
fn cores(cores: f64) -> String {
    let text = format!("{cores:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Width of the terminal that standard output is, in character cells; `None` when it is none.
pub(super) fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

#[derive(Serialize)]
struct Listing<'a> {
    schema_version: u32,
    ctprof_version: &'a str,
    containers: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    id: &'a str,
    name: &'a str,
    runtime: Runtime,
    image: &'a str,
    pod: Option<&'a Pod>,
    cgroup: &'a str,
    cgroup_id: u64,
    threads: u64,
    cpu_quota_cores: Option<f64>,
}

fn write_json(rows: &[Row], hierarchy: &Hierarchy, out: &mut impl Write) -> io::Result<()> {
    let listing = Listing {
        schema_version: SCHEMA_VERSION,
        ctprof_version: env!("CARGO_PKG_VERSION"),
        containers: rows
            .iter()
            .map(|row| Entry {
                id: &row.identity.id,
                name: &row.identity.name,
                runtime: row.identity.runtime,
                image: &row.identity.image,
                pod: row.identity.pod.as_ref(),
                cgroup: &row.identity.cgroup,
                cgroup_id: row.cgroup.id,
                threads: row.threads,
                cpu_quota_cores: hierarchy.quota_cores(&row.cgroup.path),
            })
            .collect(),
    };
    serde_json::to_writer_pretty(&mut *out, &listing)?;
    writeln!(out)
}

#[cfg(test)]
mod tests;
