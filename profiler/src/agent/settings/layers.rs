//! Who sets what: flags before the environment before the file before the default.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::{Settings, TABLE, file};
use crate::{Error, Result};

/// Where settings come from.
#[derive(Clone, Debug)]
pub struct Layers {
    /// Flags that were typed: setting and value.
    pub flags: Vec<(&'static str, String)>,
    /// The file.
    pub config: Option<PathBuf>,
    /// Looks up an environment variable.
    pub environment: fn(&str) -> Option<OsString>,
}

/// The outcome: every setting, as text and as it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    texts: BTreeMap<&'static str, String>,
    /// What the agent is to do.
    pub settings: Settings,
}

/// What a reload does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Settings that have another value from now on.
    pub applied: Vec<&'static str>,
    /// Settings that would have another value after a restart.
    pub after_restart: Vec<&'static str>,
}

impl Layers {
    /// Puts the layers together, lowest first.
    ///
    /// # Errors
    /// [`Error::Usage`], one line: who set what, and what is wrong with it.
    pub fn resolve(&self) -> Result<Resolved> {
        let mut resolved = Resolved::default();
        if let Some(path) = &self.config {
            for entry in file::read(path)? {
                let name = entry.setting.name;
                resolved.set(name, entry.text).map_err(|error| {
                    let key = entry.setting.key();
                    file::at(path, entry.line, &format!("{key}: {error}"))
                })?;
            }
        }
        for setting in TABLE.iter() {
            let variable = setting.variable();
            // An empty one is how compose files and units leave a variable out.
            let Some(value) = (self.environment)(&variable).filter(|value| !value.is_empty())
            else {
                continue;
            };
            let wrong = |error: &str| Error::Usage(format!("{variable}: {error}"));
            let text = value.into_string().map_err(|_| wrong("is not UTF-8"))?;
            resolved
                .set(setting.name, text)
                .map_err(|error| wrong(&error))?;
        }
        for (name, text) in &self.flags {
            resolved.set(name, text.clone()).map_err(|error| {
                Error::Usage(format!("--{name}: {error}; see ctprof agent --help"))
            })?;
        }
        Ok(resolved)
    }
}

impl Default for Resolved {
    fn default() -> Self {
        Self {
            texts: TABLE
                .iter()
                .map(|setting| (setting.name, setting.default.to_owned()))
                .collect(),
            settings: Settings::default(),
        }
    }
}

impl Resolved {
    fn set(&mut self, name: &'static str, text: String) -> Result<(), String> {
        if let Some(setting) = TABLE.iter().find(|setting| setting.name == name) {
            (setting.set)(setting, &mut self.settings, &text)?;
            self.texts.insert(name, text);
        }
        Ok(())
    }

    /// Takes over from `next` what can change while the agent runs.
    pub fn reload(&mut self, next: &Self) -> Changes {
        let mut changes = Changes::default();
        for setting in TABLE.iter() {
            let text = &next.texts[setting.name];
            if self.texts[setting.name] == *text {
                continue;
            }
            if setting.live {
                // It was set with this text before, in `next`.
                let _ = self.set(setting.name, text.clone());
                changes.applied.push(setting.name);
            } else {
                changes.after_restart.push(setting.name);
            }
        }
        changes
    }
}
