//! Any sequence of what can happen around TCP allocations (RFC 6062): Connect,
//! connections of peers, ConnectionBind with any CONNECTION-ID at any shard, ends of
//! every kind. The engine does what a simple model says and gives everything back.
//!
//! The first byte of the input chooses the world, each six bytes after it one step.
#![cfg_attr(fuzzing, no_main)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[cfg(fuzzing)]
#[path = "../../tests/engine/client.rs"]
#[allow(dead_code)] // the engine's tests use the rest
mod client;
#[cfg(fuzzing)]
#[path = "../../tests/engine/tcp_sequences.rs"]
mod tcp_sequences;
#[cfg(fuzzing)]
#[path = "../../tests/engine/world.rs"]
#[allow(dead_code)] // the engine's tests use the rest
mod world;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));

pub(crate) fn check(data: &[u8]) {
    crate::tcp_sequences::run(data);
}
