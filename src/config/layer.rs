//! The three places where values are given, each read into the same form: a key
//! that exists, a TOML value, and where it stood. What a value means is not
//! looked at here.
//!
//! The file's lines come from `toml`'s own spanned tables: `toml_edit` offers
//! the same spans, but is made for writing files back and would be a second
//! parser.

use std::ffi::OsString;
use std::fs;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use toml::de::{DeTable, DeValue, ValueDeserializer};
use toml::{Spanned, Value};
use zeroize::Zeroizing;

use super::key::{self, Key, Kind};
use super::problem::{Origin, Report};

/// The variable that names the configuration file where no argument does.
pub const FILE_VARIABLE: &str = "FLOE_CONFIG";

/// What is for `tests/run` and no key of ours.
const TEST_PREFIX: &str = "FLOE_TEST_";

/// What to read, from the weakest to the strongest.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The configuration file; `None` is none.
    pub file: Option<PathBuf>,
    /// Environment variables; those that do not begin with `FLOE_` are passed
    /// over.
    pub environment: Vec<(OsString, OsString)>,
    /// From the command line, the last one of a key counts.
    pub flags: Vec<Flag>,
}

/// A value from the command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flag {
    /// As the user knows it: `--realm`.
    pub name: String,
    /// The key it sets.
    pub key: String,
    /// One text, read as TOML where it is TOML; several are a list of texts.
    pub values: Vec<String>,
}

/// A value of a known key, and where it stood.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) key: &'static Key,
    pub(super) value: Value,
    pub(super) origin: Origin,
    /// Where each entry of a list or table stood, when it is known.
    pub(super) entries: Vec<Origin>,
}

/// Reads a file. Unknown keys are reported, and so is a file that others can
/// read although it holds secrets.
pub(super) fn from_file(path: &Path, report: &mut Report) -> Vec<Given> {
    let whole = Origin::File { path: path.to_owned(), line: None };
    let text = match fs::read(path).map(String::from_utf8) {
        // It may hold passwords, and the memory of this process is to hold none.
        Ok(Ok(text)) => Zeroizing::new(text),
        Ok(Err(_)) => {
            report.error(whole, "is not UTF-8 text");
            return Vec::new();
        }
        Err(error) => {
            report.error(whole, format!("cannot be read: {error}"));
            return Vec::new();
        }
    };
    let given = from_text(path, &text, report);
    let open_to_all = fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0);
    if open_to_all && given.iter().any(|given| given.key.secret && !is_empty(&given.value)) {
        report.warn(
            whole,
            format!(
                "holds secrets, and every user of this machine can read it: chmod o-r {}",
                path.display()
            ),
        );
    }
    given
}

/// Reads the text of a file called `path`. Unknown keys are reported.
pub(super) fn from_text(path: &Path, text: &str, report: &mut Report) -> Vec<Given> {
    let source = Source { path, text };
    let (document, mistakes) = DeTable::parse_recoverable(text);
    for mistake in &mistakes {
        report.error(source.at(mistake.span().unwrap_or_default()), mistake.message().replace('\n', " "));
    }
    match mistakes.is_empty() {
        true => source.document(document.into_inner(), report),
        false => Vec::new(),
    }
}

/// A file's text and name.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn at(&self, span: Range<usize>) -> Origin {
        let before = self.text.as_bytes().iter().take(span.start);
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        Origin::File { path: self.path.to_owned(), line: Some(line) }
    }

    fn document(&self, document: DeTable<'_>, report: &mut Report) -> Vec<Given> {
        let mut given = Vec::new();
        for (name, value) in document {
            let origin = self.at(name.span());
            let name = name.into_inner();
            if !key::is_section(&name) {
                let is_section = value.get_ref().is_table() && Key::find(&name).is_none();
                match is_section {
                    true => report.error(origin, unknown_section(&name)),
                    false => given.extend(self.value(&name, value, origin, report)),
                }
                continue;
            }
            match value.into_inner() {
                DeValue::Table(section) => {
                    for (key, value) in section {
                        let origin = self.at(key.span());
                        let path = format!("{name}.{}", key.get_ref());
                        given.extend(self.value(&path, value, origin, report));
                    }
                }
                DeValue::Array(_) => {
                    report.error(
                        origin,
                        format!("{name}: is a section of its own; write it once, as [{name}]"),
                    );
                }
                _ => report
                    .error(origin, format!("{name}: is a section; write [{name}], and its keys below it")),
            }
        }
        given
    }

    fn value(
        &self,
        path: &str,
        value: Spanned<DeValue<'_>>,
        origin: Origin,
        report: &mut Report,
    ) -> Option<Given> {
        let Some(key) = Key::find(path) else {
            report.error(origin, unknown_key(path));
            return None;
        };
        let entries = match value.get_ref() {
            DeValue::Array(list) => list.iter().map(|entry| self.at(entry.span())).collect(),
            DeValue::Table(table) => table.keys().map(|name| self.at(name.span())).collect(),
            _ => Vec::new(),
        };
        match Value::deserialize(ValueDeserializer::from(value)) {
            Ok(value) => Some(Given { key, value, origin, entries }),
            Err(error) => {
                report.error(origin, format!("{path}: {}; write {}", error.message(), key.write));
                None
            }
        }
    }
}

/// Reads variables `FLOE_SECTION__KEY`, and `FLOE_SECTION__KEY__FILE` for a
/// value that stands in a file.
pub(super) fn from_environment(environment: &[(OsString, OsString)], report: &mut Report) -> Vec<Given> {
    let mut given: Vec<Given> = Vec::new();
    for (name, text) in environment {
        let Some(name) = name.to_str().filter(|name| name.starts_with("FLOE_")) else { continue };
        if name == FILE_VARIABLE || name.starts_with(TEST_PREFIX) || is_service_link(name) {
            continue;
        }
        let origin = Origin::Variable(name.to_owned());
        let (variable, in_file) = match name.strip_suffix("__FILE") {
            Some(variable) => (variable, true),
            None => (name, false),
        };
        let Some(key) = key::KEYS.iter().find(|key| key.variable() == variable) else {
            report.error(origin, unknown_variable(variable));
            continue;
        };
        let text = match (text.to_str(), in_file) {
            (Some(text), false) => Ok(text.to_owned()),
            (None, false) => Err("is not UTF-8 text".to_owned()),
            (_, true) => {
                let text =
                    fs::read_to_string(text).map_err(|e| format!("{}: {e}", Path::new(text).display()));
                text.map(|text| text.strip_suffix('\n').unwrap_or(&text).trim_end_matches('\r').to_owned())
            }
        };
        if let Some(other) = given.iter().find(|other| other.key.path == key.path) {
            report.error(origin, format!("{} is set too; keep one of them", other.origin));
            continue;
        }
        match text {
            Ok(text) => {
                let value = if in_file { read_file(key, &text) } else { read(key, &text) };
                given.push(Given { key, value, origin, entries: Vec::new() });
            }
            Err(error) => report.error(origin, format!("{}: {error}", key.path)),
        }
    }
    given
}

/// Takes the command line's values.
pub(super) fn from_flags(flags: &[Flag], report: &mut Report) -> Vec<Given> {
    let mut given = Vec::new();
    for flag in flags {
        let origin = Origin::Flag(flag.name.clone());
        let Some(key) = Key::find(&flag.key) else {
            report.error(origin, unknown_key(&flag.key));
            continue;
        };
        let value = match flag.values.as_slice() {
            [text] => read(key, text),
            texts => texts.iter().cloned().map(Value::String).collect::<Vec<_>>().into(),
        };
        given.push(Given { key, value, origin, entries: Vec::new() });
    }
    given
}

/// The value that `text` means for this key: TOML, else the text itself. So
/// that nobody has to quote for TOML inside quotes for a shell, a key that takes
/// text takes `12` as text, and one that takes a list takes a lone entry.
fn read(key: &Key, text: &str) -> Value {
    let parsed = ValueDeserializer::parse(text).and_then(Value::deserialize).ok();
    let plain = || Value::String(text.to_owned());
    match (key.kind, parsed) {
        (Kind::Text, Some(value @ Value::String(_))) => value,
        (Kind::Text, _) => plain(),
        (Kind::List, Some(value @ Value::Array(_))) => value,
        (Kind::List, Some(entry @ (Value::String(_) | Value::Table(_)))) => Value::Array(vec![entry]),
        (Kind::List, _) => Value::Array(vec![plain()]),
        (Kind::Number | Kind::Switch | Kind::Table, parsed) => parsed.unwrap_or_else(plain),
    }
}

/// A list in a file of its own may also stand there one entry a line, text or table,
/// as secrets do while the old one is still good.
fn read_file(key: &Key, text: &str) -> Value {
    match read(key, text) {
        Value::Array(list) if list == [Value::String(text.to_owned())] && text.contains('\n') => {
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            let entry = |line: &str| match ValueDeserializer::parse(line).and_then(Value::deserialize) {
                Ok(table @ Value::Table(_)) => table,
                _ => Value::String(line.to_owned()),
            };
            Value::Array(lines.map(entry).collect())
        }
        value => value,
    }
}

/// Whether Kubernetes has set this variable for a service whose name begins
/// with `floe`: `FLOE_SERVICE_HOST`, `FLOE_PORT_3478_UDP_ADDR` and the like.
fn is_service_link(name: &str) -> bool {
    !name.contains("__")
        && (name.ends_with("_SERVICE_HOST")
            || name.contains("_SERVICE_PORT")
            || name.ends_with("_PORT")
            || name
                .split_once("_PORT_")
                .is_some_and(|(_, rest)| rest.starts_with(|c: char| c.is_ascii_digit())))
}

pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Table(table) => table.is_empty(),
        _ => false,
    }
}

fn unknown_key(path: &str) -> String {
    match key::nearest_key(path) {
        Some(near) => format!("{path}: unknown key; did you mean {near}?"),
        None => format!("{path}: unknown key; `floe config show` lists them all"),
    }
}

fn unknown_section(name: &str) -> String {
    match key::nearest_section(name).or_else(|| key::nearest_key(name)) {
        Some(near) if key::is_section(near) => format!("{name}: unknown section; did you mean [{near}]?"),
        Some(near) => format!("{name}: unknown section; did you mean {near}?"),
        None => format!("{name}: unknown section; `floe config show` lists them all"),
    }
}

fn unknown_variable(name: &str) -> String {
    let variables: Vec<String> = key::KEYS.iter().map(Key::variable).collect();
    match key::nearest(name, variables.iter().map(String::as_str)) {
        Some(near) => format!("names no key; did you mean {near}?"),
        None => "names no key; a variable is FLOE_SECTION__KEY, as FLOE_LISTEN__UDP".to_owned(),
    }
}
