//! What a session finds on this host before anything is loaded, looked up once: every command that measures begins here.

use std::path::{Path, PathBuf};

use crate::host::btf::{Btf, Layout};
use crate::host::cgroup::{Hierarchy, Version};
use crate::host::containers::Containers;
use crate::host::{Host, kernel};
use crate::target::{self, Resolved, TargetArgs};
use crate::{Error, Result, requirements};

/// This host: its cgroups, and where its kernel has the fields that the kernel half reads.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Where the host's files are.
    pub host: Host,
    /// The watched hierarchy.
    pub hierarchy: Hierarchy,
    /// Offsets of kernel fields.
    pub layout: Layout,
    /// The kernel's type information, if not where the kernel publishes it.
    pub btf: Option<PathBuf>,
}

impl Environment {
    /// Asks for everything that measuring needs. `what` is for errors: what cannot be done without it. `btf` is the kernel's
    /// type information, if it is not to be found where the kernel publishes it.
    ///
    /// # Errors
    /// A requirement is not met, or a kernel field that cannot be done without is not known.
    pub fn detect(what: &str, btf: Option<&Path>) -> Result<Self> {
        let host = Host::default();
        let hierarchy = requirements::require(&host, what)?;
        let layout = layout(btf, &hierarchy)?;
        Ok(Self {
            host,
            hierarchy,
            layout,
            btf: btf.map(Path::to_owned),
        })
    }

    /// What container runtimes say of this host's cgroups.
    #[must_use]
    pub fn containers(&self) -> Containers {
        Containers::new(&self.host, &self.hierarchy)
    }

    /// What was chosen, and the names by which it was found.
    ///
    /// # Errors
    /// Those of [`target::resolve`].
    pub fn resolve(&self, args: &TargetArgs) -> Result<(Resolved, Containers)> {
        let mut containers = self.containers();
        let resolved = target::resolve(args, &self.host, &self.hierarchy, &mut containers)?;
        Ok((resolved, containers))
    }

    /// How many cgroups there are.
    ///
    /// # Errors
    /// The hierarchy cannot be read.
    pub fn cgroups(&self) -> Result<usize> {
        Ok(self.hierarchy.walk("/")?.len())
    }
}

/// Where this kernel has the fields that the kernel half reads.
fn layout(path: Option<&Path>, hierarchy: &Hierarchy) -> Result<Layout> {
    let path = path.unwrap_or(Path::new(kernel::BTF_PATH));
    let btf = Btf::from_file(path).map_err(|error| Error::Unsupported(error.to_string()))?;
    Layout::resolve(&btf, hierarchy.version() == Version::V1)
        .map_err(|error| Error::Unsupported(error.to_string()))
}
