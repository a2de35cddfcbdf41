//! Building the programs of the virtual machine: linked statically, because there is nothing else in it.

use std::path::PathBuf;

use anyhow::Result;

use crate::{cmd, static_build};

/// What the machine runs.
pub(crate) struct Programs {
    /// The kernel tests, which are init and workload too.
    pub(crate) tests: PathBuf,
    /// `ctprof` itself.
    pub(crate) ctprof: PathBuf,
}

/// Builds them.
pub(crate) fn programs() -> Result<Programs> {
    println!("building the tests for the virtual machine");
    let messages = static_build::cargo(&["test", "--no-run", "--test", "kernel"])?;
    Ok(Programs {
        tests: cmd::built(&messages, "kernel")?,
        ctprof: cmd::built(&messages, "ctprof")?,
    })
}
