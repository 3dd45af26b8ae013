//! Where a value comes from, and what is wrong with it.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

/// Where a value was given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Nowhere.
    Default,
    /// In the configuration file.
    File {
        /// As it was named on the command line.
        path: PathBuf,
        /// From 1; `None` is the file as a whole.
        line: Option<usize>,
    },
    /// In the environment.
    Variable(String),
    /// On the command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => path.display().fmt(f),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// As a map: `from` (default, file, environment, flag) and where in it.
impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::Default => map.serialize_entry("from", "default")?,
            Self::File { path, line } => {
                map.serialize_entry("from", "file")?;
                map.serialize_entry("file", &path.to_string_lossy())?;
                map.serialize_entry("line", line)?;
            }
            Self::Variable(name) => {
                map.serialize_entry("from", "environment")?;
                map.serialize_entry("name", name)?;
            }
            Self::Flag(name) => {
                map.serialize_entry("from", "flag")?;
                map.serialize_entry("name", name)?;
            }
        }
        map.end()
    }
}

/// How bad a problem is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration can't be used.
    Error,
    /// It can, but is probably not what was meant.
    Warning,
}

/// Something wrong with the configuration, in words for people.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Problem {
    /// How bad.
    pub severity: Severity,
    /// Where.
    pub origin: Origin,
    /// What is wrong and what to write instead; begins with the key.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        if self.origin != Origin::Default {
            write!(f, "{}: ", self.origin)?;
        }
        f.write_str(&self.message)
    }
}

/// A configuration that can't be used: every problem found, warnings among
/// them, and at least one error.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}", .0.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Invalid(pub Vec<Problem>);

/// Problems as they are found.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) problems: Vec<Problem>,
}

impl Report {
    pub(super) fn error(&mut self, origin: Origin, message: impl Into<String>) {
        self.push(Severity::Error, origin, message);
    }

    pub(super) fn warn(&mut self, origin: Origin, message: impl Into<String>) {
        self.push(Severity::Warning, origin, message);
    }

    pub(super) fn push(&mut self, severity: Severity, origin: Origin, message: impl Into<String>) {
        self.problems.push(Problem { severity, origin, message: message.into() });
    }

    pub(super) fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }
}
