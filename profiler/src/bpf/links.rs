//! Programs that attach together and detach in order.

use aya::programs::tp_btf::BtfTracePointLink;

use super::Kernel;
use super::probes::Probe;

/// Hooks, attached until dropped: in the order in which they were attached.
pub struct Links(Vec<BtfTracePointLink>);

impl Links {
    /// Attaches these probes, which are loaded.
    ///
    /// # Errors
    /// The kernel refuses one: which, and why.
    pub fn attach<'a>(
        kernel: &mut Kernel,
        probes: impl IntoIterator<Item = &'a Probe>,
    ) -> Result<Self, String> {
        let links = probes.into_iter().map(|probe| {
            kernel
                .attach_link(probe)
                .map_err(|cause| format!("cannot attach {}: {cause}", probe.id))
        });
        links.collect::<Result<_, _>>().map(Self)
    }

    /// Detaches them, the last one first: an end whose beginning was not seen would count as something else.
    pub fn detach(mut self) {
        while let Some(link) = self.0.pop() {
            drop(link);
        }
    }
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Links").field(&self.0.len()).finish()
    }
}
