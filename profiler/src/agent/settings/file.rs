//! The file of settings: TOML, one key a setting.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::table::{Kind, Setting, TABLE};
use crate::model::text::printable;
use crate::target::nearest::hint;
use crate::{Error, Result};

/// Larger than any file of settings.
const MAX_BYTES: u64 = 1 << 20;

/// A setting as the file has it.
#[derive(Debug)]
pub(super) struct Entry {
    /// Which.
    pub(super) setting: &'static Setting,
    /// Its value, as a flag would have it.
    pub(super) text: String,
    /// Line of its value, from 1.
    pub(super) line: usize,
}

/// Reads the file.
///
/// # Errors
/// One line: the file, the line, the key, and what is wrong with it.
pub(super) fn read(path: &Path) -> Result<Vec<Entry>> {
    let text = read_text(path)?;
    parse(&text).map_err(|(line, message)| at(path, line, &message))
}

/// Text of a small file.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    use std::io::Read;
    let refuse = |cause: &str| Error::Usage(format!("cannot read {}: {cause}", path.display()));
    let file = std::fs::File::open(path).map_err(|error| refuse(&error.to_string()))?;
    let mut text = String::new();
    file.take(MAX_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| refuse(&error.to_string()))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(refuse("it is larger than 1 MiB"));
    }
    Ok(text)
}

/// What is wrong in a line of a file.
pub(crate) fn at(path: &Path, line: usize, message: &str) -> Error {
    let message = printable(&message.trim().replace('\n', "; "), 1000);
    Error::Usage(format!("{}:{line}: {message}", path.display()))
}

fn parse(text: &str) -> Result<Vec<Entry>, (usize, String)> {
    let line = |offset: usize| 1 + text[..offset.min(text.len())].matches('\n').count();
    let table = DeTable::parse(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        (line(offset), error.message().to_owned())
    })?;
    let mut entries = Vec::new();
    for (key, value) in table.get_ref() {
        let name: &str = key.get_ref();
        let setting = Setting::of_key(name).ok_or_else(|| {
            let keys: Vec<String> = TABLE.iter().map(Setting::key).collect();
            let near = hint(
                name,
                keys.iter().map(String::as_str),
                "; see ctprof agent --help",
            );
            (line(key.span().start), format!("no setting '{name}'{near}"))
        })?;
        let line = line(value.span().start);
        let text = text_of(value.get_ref(), setting.kind)
            .map_err(|expected| (line, format!("{name}: expected {expected}")))?;
        entries.push(Entry {
            setting,
            text,
            line,
        });
    }
    // The first mistake is that of the first line.
    entries.sort_by_key(|entry| entry.line);
    Ok(entries)
}

fn text_of(value: &DeValue<'_>, kind: Kind) -> Result<String, String> {
    match (kind, value) {
        (Kind::Switch, DeValue::Boolean(value)) => Ok(value.to_string()),
        (Kind::Switch, _) => Err("true or false".to_owned()),
        (Kind::Value(_) | Kind::List(_), DeValue::String(value)) => Ok(value.to_string()),
        (Kind::Value("N" | "TIME"), DeValue::Integer(value)) => Ok(value.to_string()),
        (Kind::Value("N"), _) => Err("a number".to_owned()),
        (Kind::Value("TIME"), _) => Err("a time in quotes, such as \"5m\"".to_owned()),
        (Kind::Value(_), _) => Err("a text in quotes".to_owned()),
        (Kind::List(_), DeValue::Array(values)) => values
            .iter()
            .map(|value| text_of(value.get_ref(), Kind::Value("")))
            .collect::<Result<Vec<_>, _>>()
            .map(|texts| texts.join(",")),
        (Kind::List(_), _) => Err("a list such as [\"image\"]".to_owned()),
    }
}
