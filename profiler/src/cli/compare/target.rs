//! What is compared, as it was typed: a recording, or something that runs.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use crate::collect::Environment;
use crate::host::cgroup::is_at_or_below;
use crate::host::containers::Containers;
use crate::model::text::printable;
use crate::model::{ContainerIdentity, Grouping};
use crate::target::{Resolved, TargetArgs, resolve};
use crate::{Error, Result};

/// What A or B is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Spec {
    /// A folder that `ctprof record` wrote.
    Recording(PathBuf),
    /// Something on this host: how it was typed, and which it is.
    Live(String, Live),
}

/// Something on this host.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Live {
    /// By the options that `ctprof record` has for it.
    Chosen(TargetArgs),
    /// The kernel namespace with this inode number.
    Namespace(Grouping, u64),
}

const FORMS: &str = "container=NAME, cgroup=PATH, pod=NAMESPACE/NAME, pid=PID, netns=INODE or the folder of a recording";

impl Spec {
    /// What this means.
    ///
    /// # Errors
    /// Nothing.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Error::Usage(format!(
                "cannot compare {:?}: {why}; give {FORMS}",
                printable(text, 200)
            ))
        };
        let Some((kind, value)) = text.split_once('=') else {
            return Ok(Self::Recording(PathBuf::from(text)));
        };
        // A folder may have any name.
        if PathBuf::from(text).is_dir() {
            return Ok(Self::Recording(PathBuf::from(text)));
        }
        if value.is_empty() {
            return Err(wrong("nothing stands behind ="));
        }
        let mut args = TargetArgs::default();
        match kind {
            "container" => args.container.push(value.to_owned()),
            "cgroup" => args.cgroup.push(value.to_owned()),
            "pod" => args.pod.push(value.to_owned()),
            "pid" => args
                .pid
                .push(value.parse().map_err(|_| wrong("a pid is a number"))?),
            kind => {
                let grouping = Grouping::from_name(kind).filter(|it| it.namespace().is_some());
                let grouping = grouping.ok_or_else(|| wrong(&format!("there is no {kind:?}")))?;
                let inode = inode(value).ok_or_else(|| {
                    wrong("a namespace is its inode number, or a file such as /proc/PID/ns/net or /run/netns/NAME")
                })?;
                return Ok(Self::Live(
                    text.to_owned(),
                    Live::Namespace(grouping, inode),
                ));
            }
        }
        Ok(Self::Live(text.to_owned(), Live::Chosen(args)))
    }
}

fn inode(value: &str) -> Option<u64> {
    let number = value.parse().ok();
    number.or_else(|| Some(std::fs::metadata(value).ok()?.ino()))
}

/// A target that was found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) name: String,
    live: Live,
    pub(super) resolved: Resolved,
}

impl Found {
    /// Looks for it on this host.
    ///
    /// # Errors
    /// It is not there.
    pub(super) fn look(
        name: &str,
        live: &Live,
        env: &Environment,
        containers: &mut Containers,
    ) -> Result<Self> {
        let everything = TargetArgs::default();
        let args = match live {
            Live::Chosen(args) => args,
            Live::Namespace(..) => &everything,
        };
        Ok(Self {
            name: name.to_owned(),
            live: live.clone(),
            resolved: resolve(args, &env.host, &env.hierarchy, containers)?,
        })
    }

    /// By what rows have to be told apart.
    pub(super) const fn grouping(&self) -> Grouping {
        match self.live {
            Live::Chosen(_) => Grouping::Container,
            Live::Namespace(grouping, _) => grouping,
        }
    }

    /// Whether a row is a part of it.
    pub(super) fn has(&self, row: &ContainerIdentity) -> bool {
        if let Live::Namespace(grouping, inode) = self.live {
            let name = format!("{} {inode}", grouping.name());
            let rest = row.name.strip_prefix(&name);
            return rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
        }
        if row.is_process() {
            let mut processes = self.resolved.processes.iter();
            return processes.any(|it| it.identity.name == row.name);
        }
        let path = row.cgroup.as_str();
        let mut roots = self.resolved.roots.iter();
        let mut rules = self.resolved.rules.iter();
        !path.is_empty()
            && (roots.any(|root| is_at_or_below(path, &root.cgroup))
                || rules.any(|rule| rule.root(path, row).is_some()))
    }

    /// Whether anything would be on both sides.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let below = |one: &Self, other: &Self| {
            let roots = one.resolved.roots.iter();
            roots
                .flat_map(|root| other.resolved.roots.iter().map(move |it| (root, it)))
                .any(|(one, other)| is_at_or_below(&one.cgroup, &other.cgroup))
        };
        let is_one = matches!(self.live, Live::Namespace(..)) && self.live == other.live;
        let mut processes = self.resolved.processes.iter();
        is_one
            || below(self, other)
            || below(other, self)
            || processes.any(|it| other.resolved.processes.contains(it))
    }
}

#[cfg(test)]
mod tests {
    use super::{Live, Spec};
    use crate::model::Grouping;

    #[test]
    fn forms() {
        let live = |text: &str| match Spec::parse(text) {
            Ok(Spec::Live(_, live)) => live,
            other => panic!("{text}: {other:?}"),
        };
        assert!(matches!(Spec::parse("a/b"), Ok(Spec::Recording(_))));
        let Live::Chosen(args) = live("container=web") else {
            panic!()
        };
        assert_eq!(args.container, ["web"]);
        let Live::Chosen(args) = live("cgroup=/a=b") else {
            panic!()
        };
        assert_eq!(args.cgroup, ["/a=b"]);
        assert_eq!(
            live("netns=4026531840"),
            Live::Namespace(Grouping::NetworkNamespace, 4_026_531_840)
        );
        for (text, says) in [
            ("container=", "nothing stands behind ="),
            ("pid=x", "a pid is a number"),
            ("web=1", "there is no \"web\""),
            ("netns=/nowhere", "a namespace is"),
        ] {
            let said = Spec::parse(text).unwrap_err().to_string();
            assert!(said.contains(says), "{text}: {said}");
        }
    }
}
