//! The files in config/ against the model.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::key::{KEYS, Kind};
use super::{Config, Sources, load};

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

/// `section.key` and value of everything in a document.
fn leaves(document: Table) -> BTreeMap<String, Value> {
    let mut leaves = BTreeMap::new();
    for (name, value) in document {
        match value {
            Value::Table(section) => {
                leaves.extend(section.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)));
            }
            value => drop(leaves.insert(name, value)),
        }
    }
    leaves
}

fn defaults() -> BTreeMap<String, Value> {
    leaves(Table::try_from(Config::default()).unwrap())
}

#[test]
fn the_reference_file_has_every_key_with_its_default_and_no_other() {
    let text = std::fs::read_to_string(shipped("floe.toml")).unwrap();
    assert_eq!(leaves(text.parse().unwrap()), defaults());
}

#[test]
fn every_key_of_the_reference_file_has_a_comment_of_its_own() {
    let text = std::fs::read_to_string(shipped("floe.toml")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for pair in lines.windows(2) {
        if pair[1].contains(" = ") && !pair[1].starts_with('#') {
            assert!(pair[0].starts_with('#'), "no comment above {:?}", pair[1]);
        }
    }
}

#[test]
fn the_list_of_keys_is_that_of_the_model() {
    let kind = |value: &Value| match value {
        Value::String(_) => Some(Kind::Text),
        Value::Integer(_) => Some(Kind::Number),
        Value::Boolean(_) => Some(Kind::Switch),
        Value::Array(_) => Some(Kind::List),
        Value::Table(_) => Some(Kind::Table),
        Value::Float(_) | Value::Datetime(_) => None,
    };
    let listed: BTreeMap<_, _> = KEYS.iter().map(|key| (key.path.to_owned(), Some(key.kind))).collect();
    let modelled: BTreeMap<_, _> = defaults().into_iter().map(|(path, value)| (path, kind(&value))).collect();
    assert_eq!(listed, modelled);
}

#[test]
fn the_shipped_files_are_right() {
    for name in ["floe.toml", "minimal.toml", "strict.toml"] {
        let loaded = load(&Sources { file: Some(shipped(name)), ..Sources::default() }).unwrap();
        assert_eq!(loaded.warnings, [], "{name}");
    }
}

#[test]
fn the_reference_file_changes_nothing() {
    let sources = Sources { file: Some(shipped("floe.toml")), ..Sources::default() };
    assert_eq!(load(&sources).unwrap().config, Config::default());
}

#[test]
fn the_strict_file_follows_the_rfc() {
    let sources = Sources { file: Some(shipped("strict.toml")), ..Sources::default() };
    let config = load(&sources).unwrap().config;
    assert!(!config.relay.compat_permission_lifetime);
    assert!(config.auth.strict_expiry);
}
