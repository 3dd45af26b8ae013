//! What the fuzz targets of `fuzz/` have in their corpora passes here too, with
//! the ordinary toolchain.

// Clippy counts helpers of tests as production code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

// What targets have in common with the engine's tests; under the fuzzer each has
// its own.
#[path = "engine/client.rs"]
#[allow(dead_code)] // the engine's tests use the rest
mod client;
#[path = "engine/model.rs"]
mod model;
#[path = "engine/sequences.rs"]
mod sequences;
#[path = "engine/tcp_sequences.rs"]
mod tcp_sequences;
#[path = "engine/world.rs"]
#[allow(dead_code)] // the engine's tests use the rest
mod world;

#[path = "../fuzz/fuzz_targets/access_token.rs"]
mod access_token;
#[path = "../fuzz/fuzz_targets/admin_http.rs"]
mod admin_http;
#[path = "../fuzz/fuzz_targets/classic_stun.rs"]
mod classic_stun;
#[cfg(feature = "client")]
#[path = "../fuzz/fuzz_targets/client_framing.rs"]
mod client_framing;
#[path = "../fuzz/fuzz_targets/config_file.rs"]
mod config_file;
#[path = "../fuzz/fuzz_targets/control_messages.rs"]
mod control_messages;
#[path = "../fuzz/fuzz_targets/engine_requests.rs"]
mod engine_requests;
#[path = "../fuzz/fuzz_targets/engine_sequences.rs"]
mod engine_sequences;
#[path = "../fuzz/fuzz_targets/engine_tcp_sequences.rs"]
mod engine_tcp_sequences;
#[path = "../fuzz/fuzz_targets/proxy_header.rs"]
mod proxy_header;
#[cfg(feature = "client")]
#[path = "../fuzz/fuzz_targets/signaling.rs"]
mod signaling;
#[path = "../fuzz/fuzz_targets/stream_framing.rs"]
mod stream_framing;
#[cfg(feature = "client")]
#[path = "../fuzz/fuzz_targets/turn_url.rs"]
mod turn_url;
#[path = "../fuzz/fuzz_targets/usernames.rs"]
mod usernames;
#[path = "../fuzz/fuzz_targets/wire_decode.rs"]
mod wire_decode;

type Check = fn(&[u8]);

/// Every target, by name, and what it does with an input.
const TARGETS: &[(&str, Check)] = &[
    ("access_token", access_token::check),
    ("admin_http", admin_http::check),
    ("classic_stun", classic_stun::check),
    #[cfg(feature = "client")]
    ("client_framing", client_framing::check),
    ("config_file", config_file::check),
    ("control_messages", control_messages::check),
    ("engine_requests", engine_requests::check),
    ("engine_sequences", engine_sequences::check),
    ("engine_tcp_sequences", engine_tcp_sequences::check),
    ("proxy_header", proxy_header::check),
    #[cfg(feature = "client")]
    ("signaling", signaling::check),
    ("stream_framing", stream_framing::check),
    #[cfg(feature = "client")]
    ("turn_url", turn_url::check),
    ("usernames", usernames::check),
    ("wire_decode", wire_decode::check),
];

#[test]
fn every_corpus_file_passes() {
    for &(name, check) in TARGETS {
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
    let run: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, run);
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
