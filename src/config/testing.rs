//! For the tests of this folder: a configuration file of one's own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Flag, Invalid, Loaded, Sources, load};

/// A directory that is removed in the end.
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("floe-config-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// A file only its owner can read.
    pub(super) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        chmod(&path, 0o600);
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Loads this text as a file.
pub(super) fn load_text(text: &str) -> Result<Loaded, Invalid> {
    let directory = Directory::new();
    let file = directory.file("floe.toml", text);
    load(&Sources { file: Some(file), ..Sources::default() })
}

/// Every problem with this text as a file, one a line, the file called
/// `floe.toml`.
pub(super) fn problems(text: &str) -> String {
    let problems = match load_text(text) {
        Ok(loaded) => loaded.warnings,
        Err(invalid) => invalid.0,
    };
    let directory = std::env::temp_dir().join("floe-config-");
    let shown = |problem: &super::Problem| {
        let text = problem.to_string();
        // Every mention of the directory goes, up to the file's own name.
        let mut parts = text.split(directory.to_str().unwrap());
        let first = parts.next().unwrap().to_owned();
        parts.fold(first, |shown, part| shown + part.split_once('/').unwrap().1)
    };
    problems.iter().map(shown).collect::<Vec<_>>().join("\n")
}

/// Loads these variables and flags (`key`, `value`) alone.
pub(super) fn load_given(environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Loaded, Invalid> {
    load(&Sources { file: None, environment: variables(environment), flags: set(flags) })
}

pub(super) fn variables(list: &[(&str, &str)]) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
    list.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

pub(super) fn set(list: &[(&str, &str)]) -> Vec<Flag> {
    list.iter()
        .map(|(key, value)| Flag {
            name: "--set".to_owned(),
            key: (*key).to_owned(),
            values: vec![(*value).to_owned()],
        })
        .collect()
}
