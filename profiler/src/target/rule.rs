//! What a target also means: cgroups that appear while the recording goes on.

use crate::model::{ContainerIdentity, Pod};

/// A choice that outlives the cgroups it was first resolved to. A container that is restarted or replaced, another
/// container of a pod, a cgroup that fits a pattern: each is meant from its birth on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Containers of this name; of one pod, if it was named.
    Name {
        /// The container's name.
        name: String,
        /// Its pod.
        pod: Option<Pod>,
    },
    /// The container with this id: runtimes start a stopped one again under its id.
    Id(String),
    /// Every container of a pod.
    Pod(Pod),
    /// Cgroups whose paths fit.
    Pattern(glob::Pattern),
}

/// `*` and `?` stay within a name, `**` crosses names.
pub(super) const PATTERN: glob::MatchOptions = glob::MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

impl Rule {
    /// The cgroup that is meant, with all below it, if `path` is one that this rule is about; `identity` is its owner's.
    #[must_use]
    pub fn root<'a>(&self, path: &'a str, identity: &'a ContainerIdentity) -> Option<&'a str> {
        let is_meant = match self {
            Self::Pattern(pattern) => return pattern.matches_with(path, PATTERN).then_some(path),
            Self::Name { name, pod } => {
                identity.is_container()
                    && identity.name == *name
                    && (pod.is_none() || identity.pod == *pod)
            }
            Self::Id(id) => !identity.id.is_empty() && identity.id == *id,
            Self::Pod(pod) => identity.pod.as_ref() == Some(pod),
        };
        is_meant.then_some(identity.cgroup.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Rule;
    use crate::model::{ContainerIdentity, Pod, Runtime};

    fn app(id: &str, pod: &str) -> ContainerIdentity {
        ContainerIdentity {
            id: id.to_owned(),
            name: "app".to_owned(),
            runtime: Runtime::Containerd,
            pod: Some(of_shop(pod)),
            cgroup: format!("/kubepods/{pod}/{id}"),
            ..ContainerIdentity::default()
        }
    }

    fn of_shop(name: &str) -> Pod {
        Pod {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
        }
    }

    #[test]
    fn a_rule_means_what_comes_later_under_the_same_name() {
        let restarted = app("2", "web-1");
        let path = "/kubepods/web-1/2/init";
        let root = Some("/kubepods/web-1/2");
        let named = |pod: Option<&str>| Rule::Name {
            name: "app".to_owned(),
            pod: pod.map(of_shop),
        };
        assert_eq!(named(None).root(path, &restarted), root);
        assert_eq!(named(Some("web-1")).root(path, &restarted), root);
        assert_eq!(named(Some("web-2")).root(path, &restarted), None);
        assert_eq!(Rule::Pod(of_shop("web-1")).root(path, &restarted), root);
        assert_eq!(Rule::Pod(of_shop("web-2")).root(path, &restarted), None);
        assert_eq!(Rule::Id("2".to_owned()).root(path, &restarted), root);
        assert_eq!(Rule::Id("1".to_owned()).root(path, &restarted), None);
        let service = ContainerIdentity {
            name: "app".to_owned(),
            runtime: Runtime::Systemd,
            ..ContainerIdentity::default()
        };
        assert_eq!(named(None).root("/system.slice/app", &service), None);
        let pattern = Rule::Pattern(glob::Pattern::new("/jobs/*").unwrap());
        assert_eq!(pattern.root("/jobs/7", &service), Some("/jobs/7"));
        assert_eq!(pattern.root("/jobs/7/below", &service), None);
    }
}
