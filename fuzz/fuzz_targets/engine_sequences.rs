//! Any sequence of requests, relayed packets, waits and mishaps: the engine does
//! what a simple model of RFC 8656 says, gives everything back, and comes out the
//! same when the same happens again.
//!
//! The first byte of the input chooses the world (shards, ports, IPv6, the life of
//! permissions), each six bytes after it one step.
#![cfg_attr(fuzzing, no_main)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[cfg(fuzzing)]
#[path = "../../tests/engine/client.rs"]
#[allow(dead_code)] // the engine's tests use the rest
mod client;
#[cfg(fuzzing)]
#[path = "../../tests/engine/model.rs"]
mod model;
#[cfg(fuzzing)]
#[path = "../../tests/engine/sequences.rs"]
mod sequences;
#[cfg(fuzzing)]
#[path = "../../tests/engine/world.rs"]
#[allow(dead_code)] // the engine's tests use the rest
mod world;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));

pub(crate) fn check(data: &[u8]) {
    crate::sequences::run(data);
}
