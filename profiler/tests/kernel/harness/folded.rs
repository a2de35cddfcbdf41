//! Folded stacks: `container;state;thread;frame;frame… ns`, one a line.

use super::Result;

/// Parsed `stacks.folded`.
#[derive(Debug)]
pub(crate) struct Folded {
    stacks: Vec<(Vec<String>, u64)>,
}

impl Folded {
    /// Parses the whole file; a malformed line is an error.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut stacks = Vec::new();
        for line in text.lines() {
            let (frames, count) = line
                .rsplit_once(' ')
                .ok_or_else(|| format!("folded line without a count: {line:?}"))?;
            let frames = frames.split(';').map(str::to_owned).collect();
            stacks.push((frames, count.parse()?));
        }
        Ok(Self { stacks })
    }

    /// Time of stacks that have `frame` anywhere, in ns.
    pub(crate) fn with(&self, frame: &str) -> u64 {
        self.count(|frames| frames.iter().any(|name| name == frame))
    }

    /// Time of stacks with a frame that `wanted` accepts, in ns.
    pub(crate) fn matching(&self, wanted: impl Fn(&str) -> bool) -> u64 {
        self.count(|frames| frames.iter().any(|name| wanted(name)))
    }

    /// Time of stacks that have these frames side by side, in ns.
    pub(crate) fn with_all(&self, wanted: &[&str]) -> u64 {
        self.count(|frames| frames.windows(wanted.len()).any(|some| some == wanted))
    }

    /// The stacks of one state.
    pub(crate) fn state(&self, name: &str) -> Self {
        let stacks = self.stacks.iter();
        let wanted = stacks.filter(|(frames, _)| frames.get(1).is_some_and(|state| state == name));
        Self {
            stacks: wanted.cloned().collect(),
        }
    }

    /// The stacks of one system call, which is the first frame in `syscalls.folded`.
    pub(crate) fn call(&self, name: &str) -> Self {
        let stacks = self.stacks.iter();
        let wanted = stacks.filter(|(frames, _)| frames.get(3).is_some_and(|call| call == name));
        Self {
            stacks: wanted.cloned().collect(),
        }
    }

    /// The stacks of one container, by its label.
    pub(crate) fn container(&self, label: &str) -> Self {
        let stacks = self.stacks.iter();
        let wanted = stacks.filter(|(frames, _)| frames[0] == label);
        Self {
            stacks: wanted.cloned().collect(),
        }
    }

    /// The stacks of one thread, by its name.
    pub(crate) fn thread(&self, name: &str) -> Self {
        let stacks = self.stacks.iter();
        let wanted = stacks.filter(|(frames, _)| frames.get(2).is_some_and(|it| it == name));
        Self {
            stacks: wanted.cloned().collect(),
        }
    }

    /// Each stack, the outermost frame first, and its time in ns.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&[String], u64)> {
        let stacks = self.stacks.iter();
        stacks.map(|(frames, ns)| (frames.get(3..).unwrap_or_default(), *ns))
    }

    /// Time of all stacks, in ns.
    pub(crate) fn total(&self) -> u64 {
        self.count(|_| true)
    }

    fn count(&self, wanted: impl Fn(&[String]) -> bool) -> u64 {
        let wanted = self.stacks.iter().filter(|(frames, _)| wanted(frames));
        wanted.map(|(_, count)| count).sum()
    }
}
