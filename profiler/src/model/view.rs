//! The views: what each thing that ctprof measures is called.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

/// What a view, or a probe that gives a part of one, is called everywhere: `ledger`, `throttled.exact`, `syscalls`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ViewId(Cow<'static, str>);

impl ViewId {
    /// The time ledger.
    pub const LEDGER: Self = Self::new("ledger");
    /// Time that a quota stopped threads for.
    pub const THROTTLED: Self = Self::new("throttled");
    /// The same, to the nanosecond.
    pub const THROTTLED_EXACT: Self = Self::new("throttled.exact");
    /// Why threads are blocked.
    pub const BLOCKED_REASONS: Self = Self::new("blocked_reasons");
    /// Cgroups outside ctprof's own cgroup namespace.
    pub const CGROUPS: Self = Self::new("cgroups");
    /// What processes that are gone had mapped.
    pub const MAPPINGS: Self = Self::new("mappings");

    /// The view with this id.
    #[must_use]
    pub const fn new(id: &'static str) -> Self {
        Self(Cow::Borrowed(id))
    }

    /// A view that a file names.
    #[must_use]
    pub const fn read(id: String) -> Self {
        Self(Cow::Owned(id))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ViewId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A view that could not be measured, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unavailable {
    /// The view.
    pub view: ViewId,
    /// One line: cause and remedy.
    pub cause: String,
}
