//! The configuration that comes out: keys with the lines they were made of, and
//! what was left out.

use serde::Serialize;
use toml::Value;

use super::lines::Line;
use crate::config::key::KEYS;

/// Characters of a line that are shown.
const LONGEST: usize = 200;

/// A translated configuration.
#[derive(Clone, PartialEq, Debug)]
pub struct Imported {
    /// The text of a `floe.toml`.
    pub toml: String,
    /// Lines of the original that were taken over, or ask for what is so anyway.
    pub taken: usize,
    /// Lines that have no counterpart, in the order of the original.
    pub left_out: Vec<Unlike>,
    /// What differs though no line shows it, and which secrets are new; one sentence
    /// each.
    pub notes: Vec<String>,
}

/// A line with no counterpart.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Unlike {
    /// From 1.
    pub line: usize,
    /// coturn's name of the key.
    pub key: String,
    /// Why, and what to do instead.
    pub why: String,
}

#[derive(Debug)]
struct Written {
    path: &'static str,
    value: Value,
    from: Vec<(usize, String)>,
    /// What there is to say of the value.
    remarks: Vec<String>,
}

/// Collects what [`Imported`] is made of.
#[derive(Debug)]
pub(super) struct Draft {
    name: String,
    written: Vec<Written>,
    as_is: Vec<(usize, String, String)>,
    left_out: Vec<Unlike>,
    notes: Vec<String>,
}

impl Draft {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: printable(name),
            written: Vec::new(),
            as_is: Vec::new(),
            left_out: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Gives `path` a value made of these lines.
    pub(super) fn write<'a>(
        &mut self,
        path: &'static str,
        value: impl Into<Value>,
        from: impl IntoIterator<Item = &'a Line<'a>>,
    ) {
        let from = from.into_iter().map(shown).collect();
        self.written.push(Written { path, value: value.into(), from, remarks: Vec::new() });
    }

    /// Something to know of what was [written](Self::write) last, beside it and among
    /// the notes.
    pub(super) fn remark(&mut self, text: &str) {
        if let Some(written) = self.written.last_mut() {
            written.remarks.push(printable(text));
        }
    }

    /// What the line asks for is so without a key.
    pub(super) fn as_is(&mut self, line: &Line<'_>, why: &str) {
        let (number, text) = shown(line);
        self.as_is.push((number, text, why.to_owned()));
    }

    pub(super) fn leave_out(&mut self, line: &Line<'_>, why: impl Into<String>) {
        self.left_out.push(Unlike { line: line.number, key: printable(line.key), why: why.into() });
    }

    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    pub(super) fn finish(mut self) -> Imported {
        self.left_out.sort_by_key(|unlike| unlike.line);
        self.as_is.sort();
        let taken = self.as_is.len() + {
            let mut numbers: Vec<_> =
                self.written.iter().flat_map(|w| w.from.iter().map(|(number, _)| *number)).collect();
            numbers.sort_unstable();
            numbers.dedup();
            numbers.len()
        };
        let toml = self.text();
        // Last, where they are not overlooked.
        let remarks = self
            .written
            .iter()
            .flat_map(|written| written.remarks.iter().map(|remark| format!("{}: {remark}", written.path)));
        self.notes.extend(remarks);
        Imported { toml, taken, left_out: self.left_out, notes: self.notes }
    }

    fn text(&self) -> String {
        let mut text = format!("# Taken over from {} by `floe config import-coturn`.\n", self.name);
        text.push_str("# Check it with `floe config check`; config/floe.toml explains every key.\n");
        let mut section = "";
        for key in KEYS {
            let Some(written) = self.written.iter().find(|written| written.path == key.path) else {
                continue;
            };
            if key.section() != section {
                section = key.section();
                text.push_str(&format!("\n[{section}]\n"));
            } else if section.is_empty() {
                text.push('\n');
            }
            for (number, line) in &written.from {
                text.push_str(&format!("# line {number}: {line}\n"));
            }
            for remark in &written.remarks {
                text.push_str(&format!("# {remark}\n"));
            }
            text.push_str(&format!("{} = {}\n", key.name(), written.value));
        }
        self.list(
            &mut text,
            "So without a key",
            self.as_is.iter().map(|(n, l, why)| (*n, l.as_str(), why.as_str())),
        );
        let left_out = self.left_out.iter().map(|u| (u.line, u.key.as_str(), u.why.as_str()));
        self.list(&mut text, "Left out", left_out);
        if !self.notes.is_empty() {
            text.push_str("\n# Different from coturn:\n");
            for note in &self.notes {
                text.push_str(&format!("# - {note}\n"));
            }
        }
        text
    }

    fn list<'a>(
        &self,
        text: &mut String,
        title: &str,
        lines: impl ExactSizeIterator<Item = (usize, &'a str, &'a str)>,
    ) {
        if lines.len() == 0 {
            return;
        }
        text.push_str(&format!("\n# {title}:\n"));
        for (number, line, why) in lines {
            text.push_str(&format!("# line {number}: {line}: {why}\n"));
        }
    }
}

/// A line as a comment may show it: without what is secret in it.
fn shown(line: &Line<'_>) -> (usize, String) {
    let secret = match line.key {
        "static-auth-secret" | "stateless-nonce-secret" | "cli-password" | "pkey-pwd" | "redis-statsdb" => {
            Some("")
        }
        // With the database's password in it.
        key if key.ends_with("-userdb") => Some(""),
        "user" => Some(line.value.split_once(':').map_or("", |(name, _)| name)),
        _ => None,
    };
    let text = match secret {
        Some(kept) => format!("{}={kept}{}…", line.key, if kept.is_empty() { "" } else { ":" }),
        None => line.text.to_owned(),
    };
    (line.number, printable(&text))
}

/// As a comment takes it: one line, of bounded length.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect()
}
