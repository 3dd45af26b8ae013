//! What the fuzz targets of `fuzz/` have in their corpora passes here too, with
//! the ordinary toolchain.

// Clippy counts helpers of tests as production code.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../fuzz/fuzz_targets/engine_sequences.rs"]
mod engine_sequences;
#[path = "../fuzz/fuzz_targets/stream_framing.rs"]
mod stream_framing;
#[path = "../fuzz/fuzz_targets/wire_decode.rs"]
mod wire_decode;

type Check = fn(&[u8]);

/// Every target, by name, and what it does with an input.
const TARGETS: [(&str, Check); 3] = [
    ("engine_sequences", engine_sequences::check),
    ("stream_framing", stream_framing::check),
    ("wire_decode", wire_decode::check),
];

#[test]
fn every_corpus_file_passes() {
    for (name, check) in TARGETS {
        let files = entries(&fuzz("corpus").join(name));
        assert!(!files.is_empty(), "{name} has no corpus");
        for file in files {
            let input = fs::read(&file).unwrap();
            // The name of a file that fails, above the panic's own message.
            println!("{}", file.display());
            check(&input);
        }
    }
}

#[test]
fn every_target_is_run_here() {
    let mut names: Vec<_> = entries(&fuzz("fuzz_targets"))
        .iter()
        .map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert_eq!(names, TARGETS.map(|(name, _)| name));
    let manifest = fs::read_to_string(fuzz("Cargo.toml")).unwrap();
    for name in names {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} has no [[bin]]");
    }
}

fn fuzz(directory: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(directory)
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    entries.map(|entry| entry.unwrap().path()).collect()
}
