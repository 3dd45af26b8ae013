use std::path::{Path, PathBuf};

use super::*;
use crate::config::load_text;

fn fingerprint(text: &str) -> Fingerprint {
    load_text(&PathBuf::from("floe.toml"), text).unwrap().fingerprint()
}

/// A new key has to be given its place in [`CHANGES`] and in the documentation,
/// and to be put in force where it says so (`server::reload`).
#[test]
fn every_key_says_what_its_change_takes() {
    let keys: Vec<_> = KEYS.iter().map(|key| key.path).collect();
    let told: Vec<_> = CHANGES.iter().map(|(path, _)| *path).collect();
    assert_eq!(told, keys, "CHANGES in src/config/change.rs lists every key, in the order of the reference");
}

#[test]
fn the_documentation_says_the_same() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let told: Vec<_> = rows.map(|(key, rest)| (key, rest.trim_end_matches(" |"))).collect();
    let known: Vec<_> = CHANGES.iter().map(|(key, change)| (*key, change.name())).collect();
    let unequal = known.iter().find(|row| !told.contains(row));
    assert_eq!(unequal, None, "the table in docs/operations.md has this row");
    for (key, _) in told.iter().filter(|(key, _)| KEYS.iter().any(|known| known.path == *key)) {
        assert_eq!(told.iter().filter(|(other, _)| other == key).count(), 1, "{key}");
    }
}

#[test]
fn only_what_differs_is_named() {
    let before = fingerprint("realm = 'floe'\n[limits]\nallocations = 5");
    let after = fingerprint("[limits]\nallocations = 6\n[peers]\ndeny = ['192.0.2.0/24']");
    assert_eq!(after.differences(&before), ["peers.deny", "limits.allocations"]);
    assert_eq!(after.differences(&after), [""; 0]);
}

#[test]
fn another_secret_is_a_difference_though_none_is_shown() {
    let with = |secret: &str| fingerprint(&format!("[auth]\nsecrets = ['{secret}']\nallow-weak = true"));
    let (one, other) = (with("8c1f9e6d0b7a4533a1f0c2d4e6b8a092"), with("5d0b7a4533a1f0c2d4e6b8a0928c1f9e"));
    assert_eq!(other.differences(&one), ["auth.secrets"]);
    assert!(!format!("{one:?}").contains("8c1f9e"));
}

#[test]
fn a_limit_that_is_given_differs_from_the_same_by_default() {
    let (by_default, given) = (fingerprint(""), fingerprint("[limits]\nallocations-per-user = 64"));
    assert_eq!(given.differences(&by_default), ["limits.allocations-per-user"]);
}

#[test]
fn what_waits_for_a_restart_differs_until_then() {
    let before = fingerprint("");
    let after = fingerprint("realm = 'other'\ndrain-timeout = 5");
    let mut in_force = before.clone();
    in_force.take("drain-timeout", &after);
    assert_eq!(after.differences(&in_force), ["realm"]);
}
