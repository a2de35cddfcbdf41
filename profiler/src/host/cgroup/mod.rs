//! Facts about cgroups, no policy: which hierarchy is watched, what is in it, its CPU figures.
//!
//! - `hierarchy`: where the CPU controller is (v1, v2 or hybrid), paths to folders and back
//! - `walk`: every cgroup with its id, lookups, threads
//! - `cpu`: quota and `cpu.stat`
//! - `fresh`: a new cgroup for a command
//! - `members`: the processes in a cgroup, and signals to them
//!
//! A cgroup that vanishes while it is looked at is `None`, not an error.

pub mod cpu;
pub mod fresh;
pub mod hierarchy;
mod members;
#[cfg(test)]
mod tests;
pub mod walk;

pub use fresh::FreshCgroup;
pub use hierarchy::{Hierarchy, Version};
pub use walk::Cgroup;

/// `path` and all paths above it, `/` last.
pub fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    let mut next = Some(path);
    std::iter::from_fn(move || {
        let path = next?;
        next = match path.rfind('/') {
            Some(0) if path.len() > 1 => Some("/"),
            Some(at) if at > 0 => Some(&path[..at]),
            _ => None,
        };
        Some(path)
    })
}

/// `path` is `root` or below it.
#[must_use]
pub fn is_at_or_below(path: &str, root: &str) -> bool {
    root == "/"
        || path
            .strip_prefix(root)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod path_tests {
    use super::{ancestors, is_at_or_below};

    #[test]
    fn upwards() {
        assert_eq!(
            ancestors("/a/b/c").collect::<Vec<_>>(),
            ["/a/b/c", "/a/b", "/a", "/"]
        );
        assert_eq!(ancestors("/").collect::<Vec<_>>(), ["/"]);
    }

    #[test]
    fn below_is_by_whole_names() {
        assert!(is_at_or_below("/a/b", "/a"));
        assert!(is_at_or_below("/a", "/a"));
        assert!(is_at_or_below("/a", "/"));
        assert!(!is_at_or_below("/ab", "/a"));
        assert!(!is_at_or_below("/a", "/a/b"));
    }
}
