//! Identities of an agent's rows, and of who delays them.

use std::borrow::Cow;

use super::Runtime;

/// A row that is no container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fixed {
    /// Processes in no container.
    Host,
    /// Kernel threads.
    Kernel,
    /// Rows beyond the limit, together.
    Other,
}

impl Fixed {
    /// Its label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.runtime().name()
    }

    /// What such a row says of who runs it.
    #[must_use]
    pub const fn runtime(self) -> Runtime {
        match self {
            Self::Host => Runtime::Host,
            Self::Kernel => Runtime::Kernel,
            Self::Other => Runtime::Other,
        }
    }
}

/// Values of the labels `container` and `culprit` that mean one thing only. A container with such a name is shown with
/// its runtime before it: `docker:host`.
pub const RESERVED: [&str; 6] = ["host", "kernel", "other", "siblings", "idle", "former"];

/// What distinguishes a row: its labels. Empty strings where it has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupKey {
    /// It is no container. In a grouping by cgroup, directories of the host are `Host` with their path.
    pub fixed: Option<Fixed>,
    /// Name of the container, service or cgroup; never one of [`RESERVED`]. In a grouping by pod or namespace: empty.
    pub container: String,
    /// Kubernetes pod.
    pub pod: String,
    /// Kubernetes namespace.
    pub namespace: String,
    /// Path of the cgroup, in the grouping by cgroup only.
    pub cgroup: String,
    /// Inode number of the kernel namespace, in a grouping by namespace only.
    pub kernel_namespace: String,
}

impl GroupKey {
    /// The key of a row that is no container.
    #[must_use]
    pub fn fixed(fixed: Fixed) -> Self {
        Self {
            fixed: Some(fixed),
            ..Self::default()
        }
    }

    /// The label `container`.
    #[must_use]
    pub fn container_label(&self) -> &str {
        match self.fixed {
            Some(fixed) => fixed.name(),
            None => &self.container,
        }
    }

    /// What the row is called where a single name has to tell it from all others: `namespace/pod/container`,
    /// `namespace/pod`, the path of a cgroup, the inode of a kernel namespace, or the container's name. Empty where
    /// nothing is known of it yet.
    #[must_use]
    pub fn full_name(&self) -> Cow<'_, str> {
        if !self.cgroup.is_empty() {
            return Cow::Borrowed(&self.cgroup);
        }
        if !self.kernel_namespace.is_empty() {
            return Cow::Borrowed(&self.kernel_namespace);
        }
        let container = self.container_label();
        match (self.pod.as_str(), container) {
            ("", container) => Cow::Borrowed(container),
            (pod, "") => Cow::Owned(format!("{}/{pod}", self.namespace)),
            (pod, container) => Cow::Owned(format!("{}/{pod}/{container}", self.namespace)),
        }
    }
}

/// Who had the CPU while a row's threads waited for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Delayer {
    /// Other threads of the row itself.
    Siblings,
    /// Processes in no container.
    Host,
    /// Kernel threads.
    Kernel,
    /// Nobody: the CPU was on its way out of idle.
    Idle,
    /// Another row, by its [full name](GroupKey::full_name).
    Row(String),
    /// All others, and what nobody can be named for.
    Other,
    /// Rows that were named once and are not any more: what each had up to then. It grows by whole sums when one loses its
    /// place, so its rate means nothing.
    Former,
}

impl Delayer {
    /// The label `culprit`.
    #[must_use]
    pub fn label(&self) -> &str {
        match self {
            Self::Siblings => "siblings",
            Self::Host => Fixed::Host.name(),
            Self::Kernel => Fixed::Kernel.name(),
            Self::Idle => "idle",
            Self::Row(name) => name,
            Self::Other => Fixed::Other.name(),
            Self::Former => "former",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Delayer, Fixed, GroupKey, RESERVED};

    #[test]
    fn labels_of_ours_are_reserved() {
        let rows = [Fixed::Host, Fixed::Kernel, Fixed::Other].map(Fixed::name);
        assert!(rows.iter().all(|name| RESERVED.contains(name)));
        for delayer in [
            Delayer::Siblings,
            Delayer::Host,
            Delayer::Kernel,
            Delayer::Idle,
            Delayer::Other,
            Delayer::Former,
        ] {
            assert!(RESERVED.contains(&delayer.label()), "{delayer:?}");
        }
    }

    #[test]
    fn one_name_tells_a_row_from_all_others() {
        let key = GroupKey {
            container: "app".into(),
            pod: "web-1".into(),
            namespace: "shop".into(),
            ..GroupKey::default()
        };
        assert_eq!(key.full_name(), "shop/web-1/app");
        let pod = GroupKey {
            container: String::new(),
            ..key.clone()
        };
        assert_eq!(pod.full_name(), "shop/web-1");
        let cgroup = GroupKey {
            cgroup: "/a/b".into(),
            ..key
        };
        assert_eq!(cgroup.full_name(), "/a/b");
        assert_eq!(GroupKey::fixed(Fixed::Host).full_name(), "host");
        assert_eq!(GroupKey::default().full_name(), "");
    }
}
