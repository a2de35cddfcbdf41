//! What `ctprof syscalls --format json` says.

use serde_json::Value;

use super::{Result, ensure};

/// A document.
pub(crate) struct Calls(Value);

impl Calls {
    /// Parses what `ctprof syscalls` writes.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        Self::of_schema(text, 1)
    }

    /// Parses a recording's `summary.json`.
    pub(crate) fn of_recording(text: &str) -> Result<Self> {
        Self::of_schema(text, 3)
    }

    fn of_schema(text: &str, version: u64) -> Result<Self> {
        let document: Value = serde_json::from_str(text)?;
        ensure!(
            document["schema_version"] == version,
            "another schema: {document}"
        );
        Ok(Self(document))
    }

    /// A figure of the whole.
    pub(crate) fn number(&self, key: &str) -> u64 {
        self.0[key].as_u64().unwrap_or_default()
    }

    /// Lost by one cause.
    pub(crate) fn lost_to(&self, cause: &str) -> u64 {
        self.0["lost"][cause].as_u64().unwrap_or_default()
    }

    /// The container whose cgroup this is.
    pub(crate) fn row(&self, cgroup: &str) -> Result<Row<'_>> {
        let rows = self.0["containers"].as_array().into_iter().flatten();
        let row = rows.into_iter().find(|row| row["cgroup"] == cgroup);
        Ok(Row(row.ok_or_else(|| format!("no row of {cgroup}"))?))
    }

    /// Every container.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.0["containers"]
            .as_array()
            .into_iter()
            .flatten()
            .map(Row)
    }
}

/// A container.
pub(crate) struct Row<'a>(&'a Value);

impl<'a> Row<'a> {
    /// A figure of the container.
    pub(crate) fn number(&self, key: &str) -> u64 {
        self.0[key].as_u64().unwrap_or_default()
    }

    /// A call by its name, on the machine's own numbers; all zero if there was none.
    pub(crate) fn call(&self, name: &str) -> Call<'a> {
        self.call_by(name, None)
    }

    /// A call by its name and whose numbers it has.
    pub(crate) fn call_by(&self, name: &str, abi: Option<&str>) -> Call<'a> {
        let calls = self.0["syscalls"].as_array().into_iter().flatten();
        let mut calls = calls.into_iter();
        Call(calls.find(|call| call["name"] == name && call["abi"].as_str() == abi))
    }
}

impl<'a> Row<'a> {
    /// Every call.
    pub(crate) fn calls(&self) -> impl Iterator<Item = Call<'a>> {
        let calls = self.0["syscalls"].as_array().into_iter().flatten();
        calls.map(|call| Call(Some(call)))
    }
}

/// A call.
pub(crate) struct Call<'a>(Option<&'a Value>);

impl Call<'_> {
    /// Its name; empty if there was none.
    pub(crate) fn name(&self) -> &str {
        self.0.and_then(|call| call["name"].as_str()).unwrap_or("")
    }

    /// A figure; 0 where it is absent.
    pub(crate) fn number(&self, key: &str) -> u64 {
        self.0.and_then(|call| call[key].as_u64()).unwrap_or(0)
    }

    /// How many calls ended.
    pub(crate) fn count(&self) -> u64 {
        self.number("count")
    }

    /// How many ended with this error.
    pub(crate) fn errors(&self, name: &str) -> u64 {
        self.0
            .and_then(|call| call["errors"][name].as_u64())
            .unwrap_or(0)
    }

    /// How many ended with any error.
    pub(crate) fn failed(&self) -> u64 {
        let errors = self.0.and_then(|call| call["errors"].as_object());
        errors
            .into_iter()
            .flatten()
            .filter_map(|(_, count)| count.as_u64())
            .sum()
    }
}
