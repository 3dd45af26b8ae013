//! Any text as a configuration file, and its lines as environment variables: a
//! mistake is told in words, and what is taken in reads the same when it is written
//! down again.
#![cfg_attr(fuzzing, no_main)]
#![allow(clippy::unwrap_used)]

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use floe::config::{Invalid, Loaded, Sources, load};
use toml::{Table, Value};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));

/// Stands where a secret was.
const REDACTED: &str = "…";

pub(crate) fn check(data: &[u8]) {
    let loaded = load_file(data);
    judge(&loaded);
    if let Ok(loaded) = loaded {
        check_written(&loaded);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let variables = text.lines().filter_map(|line| line.split_once('='));
    let variables = variables.map(|(name, value)| {
        let name = name.trim().to_uppercase().replace('.', "__").replace('-', "_");
        (OsString::from(format!("FLOE_{name}")), OsString::from(value))
    });
    // Whose value is the name of a file, the test may not read.
    let environment = variables.filter(|(name, _)| !name.to_string_lossy().ends_with("__FILE")).collect();
    judge(&load(&Sources { environment, ..Sources::default() }));
}

/// One file a thread: tests run in parallel.
fn load_file(text: &[u8]) -> Result<Loaded, Invalid> {
    static PLACE: LazyLock<PathBuf> = LazyLock::new(|| {
        let place = std::env::temp_dir().join(format!("floe-config-{}", std::process::id()));
        std::fs::create_dir_all(&place).unwrap();
        place
    });
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static PATH: PathBuf = PLACE.join(format!("{}.toml", NEXT.fetch_add(1, Relaxed)));
    }
    let path = PATH.with(Clone::clone);
    std::fs::write(&path, text).unwrap();
    load(&Sources { file: Some(path), ..Sources::default() })
}

fn judge(loaded: &Result<Loaded, Invalid>) {
    match loaded {
        Ok(loaded) => {
            assert!(loaded.warnings.iter().all(|problem| !problem.message.is_empty()));
            assert!(!loaded.effective().is_empty());
        }
        Err(Invalid(problems)) => {
            assert!(!problems.is_empty(), "refused without a word");
            assert!(problems.iter().all(|problem| !problem.message.is_empty()));
        }
    }
}

/// Every value that is in effect, written down: nothing changes. Secrets are not
/// shown, so what has some in it is left out, with all that depends on them.
fn check_written(loaded: &Loaded) {
    let effective = loaded.effective();
    if effective.iter().any(|one| one.value.to_string().contains(REDACTED)) {
        return;
    }
    let mut file = Table::new();
    for one in &effective {
        let section = match one.section {
            "" => &mut file,
            section => file.entry(section).or_insert_with(|| Table::new().into()).as_table_mut().unwrap(),
        };
        section.insert(one.name.into(), one.value.clone());
    }
    let text = toml::to_string(&file).unwrap();
    let again = load_file(text.as_bytes()).unwrap_or_else(|problems| panic!("{problems:?} in\n{text}"));
    let values =
        |loaded: &Loaded| -> Vec<Value> { loaded.effective().into_iter().map(|one| one.value).collect() };
    assert_eq!(values(&again), values(loaded), "{text}");
}
