//! From the three sources to a [`Config`]: the strongest value of each key is
//! kept, read into its type, and the whole is judged. Every mistake that can be
//! found is found, not only the first.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize as _;
use toml::{Table, Value};
use zeroize::Zeroizing;

use super::change;
use super::check;
use super::key::{self, KEYS, Key, Kind};
use super::layer::{self, Given, Sources};
use super::model::Config;
use super::problem::{Invalid, Origin, Problem, Report};
use crate::auth;

/// A configuration that can be used.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// What is probably not as it was meant; no errors.
    pub warnings: Vec<Problem>,
    origins: BTreeMap<&'static str, Origin>,
    /// A hash of each secret that is given; see [`change`].
    pub(super) secrets: BTreeMap<&'static str, u64>,
}

/// One key's value in effect, for people to look at.
#[derive(Clone, PartialEq, Debug)]
pub struct Effective<'a> {
    /// Empty for a top-level key.
    pub section: &'static str,
    /// The key within its section.
    pub name: &'static str,
    /// Secrets in it are redacted.
    pub value: Value,
    /// Where it was given.
    pub origin: &'a Origin,
}

impl Loaded {
    /// Where the value of `key` (`section.key`) was given.
    pub fn origin(&self, key: &str) -> &Origin {
        self.origins.get(key).unwrap_or(&Origin::Default)
    }

    /// Nobody has given `key` a value: what the host can't do of a default is
    /// left out, what it can't do of a wish is an error.
    pub fn is_default(&self, key: &str) -> bool {
        *self.origin(key) == Origin::Default
    }

    /// The configuration file gives a key its value.
    pub fn has_file(&self) -> bool {
        self.origins.values().any(|origin| matches!(origin, Origin::File { .. }))
    }

    /// Every key with its value and origin, in the reference file's order.
    pub fn effective(&self) -> Vec<Effective<'_>> {
        let table = Table::try_from(&self.config).unwrap_or_default();
        let effective = |key: &'static Key| {
            let value = key.of(&table)?.clone();
            Some(Effective { section: key.section(), name: key.name(), value, origin: self.origin(key.path) })
        };
        KEYS.iter().filter_map(effective).collect()
    }
}

/// Reads and judges a configuration. `Err` holds every problem found, in the
/// order of the file where they have one.
pub fn load(sources: &Sources) -> Result<Loaded, Invalid> {
    let mut report = Report::default();
    let layers = [
        sources.file.as_deref().map(|path| layer::from_file(path, &mut report)).unwrap_or_default(),
        layer::from_environment(&sources.environment, &mut report),
        layer::from_flags(&sources.flags, &mut report),
    ];
    judge(layers.into_iter().flatten(), report)
}

/// As [`load`], of a text that is in no file yet; `path` is what problems call it.
pub fn load_text(path: &Path, text: &str) -> Result<Loaded, Invalid> {
    let mut report = Report::default();
    let given = layer::from_text(path, text, &mut report);
    judge(given, report)
}

/// The last value of each key counts.
fn judge(values: impl IntoIterator<Item = Given>, mut report: Report) -> Result<Loaded, Invalid> {
    let given: BTreeMap<&'static str, Given> =
        values.into_iter().map(|value| (value.key.path, value)).collect();

    let before = report.problems.len();
    for value in given.values() {
        type_mistakes(value, &mut report);
    }
    let mut config = None;
    if report.problems.len() == before {
        // Each value alone fits, so all of them together do.
        match Config::deserialize(together(given.values())) {
            Ok(read) => config = Some(read),
            Err(error) => report.error(Origin::Default, error.message()),
        }
    }
    if let Some(config) = &mut config {
        check::check(config, &given, &mut report);
        // As clients send it, who have to prepare it too (RFC 8489 §9.2.3.2).
        if let Ok(normal) = auth::opaque_string(&config.realm) {
            config.realm = normal.into_owned();
        }
        let balancers = &mut config.listen.proxy_protocol_from;
        for prefix in config.peers.allow.iter_mut().chain(&mut config.peers.deny).chain(balancers) {
            *prefix = prefix.trunc();
        }
    }

    let failed = report.has_errors();
    let mut problems = report.problems;
    problems.sort_by_key(|problem| match problem.origin {
        Origin::File { line, .. } => line.unwrap_or(0),
        _ => usize::MAX,
    });
    match config {
        Some(config) if !failed => {
            let secret = given.iter().filter(|(_, given)| given.key.secret && !layer::is_empty(&given.value));
            let secrets =
                secret.map(|(path, given)| (*path, change::hash(&Zeroizing::new(given.value.to_string()))));
            let secrets = secrets.collect();
            let origins = given.into_iter().map(|(key, given)| (key, given.origin)).collect();
            Ok(Loaded { config, warnings: problems, origins, secrets })
        }
        _ => Err(Invalid(problems)),
    }
}

/// Reports what of a value does not fit its key; each entry of a list or table
/// is tried alone, so that each is reported where it stands.
fn type_mistakes(given: &Given, report: &mut Report) {
    let Given { key, value, origin, entries } = given;
    let entry_origin = |index: usize| entries.get(index).unwrap_or(origin).clone();
    let before = report.problems.len();
    match value {
        Value::Array(list) if key.kind == Kind::List => {
            for (index, entry) in list.iter().enumerate() {
                if let Some(unknown) = unknown_field(key, entry) {
                    report.error(entry_origin(index), unknown);
                } else if !fits(key, Value::Array(vec![entry.clone()])) {
                    report.error(entry_origin(index), mismatch(key, entry));
                }
            }
        }
        Value::Table(table) if key.kind == Kind::Table => {
            for (index, (name, entry)) in table.iter().enumerate() {
                if !fits(key, Table::from_iter([(name.clone(), entry.clone())]).into()) {
                    report.error(entry_origin(index), mismatch(key, entry));
                }
            }
        }
        _ => {}
    }
    if report.problems.len() == before && !fits(key, value.clone()) {
        report.error(origin.clone(), mismatch(key, value));
    }
}

/// Whether the model takes this value for this key.
fn fits(key: &'static Key, value: Value) -> bool {
    let alone = Given { key, value, origin: Origin::Default, entries: Vec::new() };
    Config::deserialize(together([&alone])).is_ok()
}

fn together<'a>(given: impl IntoIterator<Item = &'a Given>) -> Table {
    let mut all = Table::new();
    for Given { key, value, .. } in given {
        let table = match key.section() {
            "" => &mut all,
            section => match all.entry(section).or_insert_with(|| Table::new().into()) {
                Value::Table(table) => table,
                // A top-level key can't have a section's name.
                _ => continue,
            },
        };
        table.insert(key.name().to_owned(), value.clone());
    }
    all
}

fn mismatch(key: &Key, value: &Value) -> String {
    let found = match value {
        Value::String(_) if key.secret => "a text".to_owned(),
        Value::Integer(_) | Value::Float(_) if key.secret => "a number".to_owned(),
        Value::String(text) if text.chars().count() > 60 => {
            format!("the text {:?}…", text.chars().take(60).collect::<String>())
        }
        Value::String(text) => format!("the text {text:?}"),
        Value::Integer(number) if *number > i64::from(u32::MAX) => {
            format!("the number {number}, which is too large")
        }
        Value::Integer(number) => format!("the number {number}"),
        Value::Float(number) => format!("the number {number}"),
        Value::Boolean(switch) => switch.to_string(),
        Value::Datetime(_) => "a date or time".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
    };
    format!("{}: found {found}; write {}", key.path, key.write)
}

fn unknown_field(key: &Key, entry: &Value) -> Option<String> {
    let fields = entry.as_table().filter(|_| !key.fields.is_empty())?;
    let unknown = fields.keys().find(|field| !key.fields.contains(&field.as_str()))?;
    let near =
        key::nearest(unknown, key.fields.iter().copied()).map(|near| format!("; did you mean {near}?"));
    let known = || format!("; it takes {}", key.fields.join(" and "));
    Some(format!("{}: unknown field {unknown}{}", key.path, near.unwrap_or_else(known)))
}

#[cfg(test)]
#[path = "load_test.rs"]
mod tests;
