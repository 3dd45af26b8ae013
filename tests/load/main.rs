//! Many clients and hostile ones: what a server holds at once, gives back
//! afterwards, and stands without a well-behaved client noticing. One file per
//! behaviour.
//!
//! What a test can be strict about decides its shape. The kernel drops
//! datagrams when a socket's queue is full, and that is nobody's fault here; so
//! a test that asks for no loss at all sends no faster than it is answered, and
//! a flood that knows no measure is watched by clients whose packets wait in
//! other queues.
//!
//! What takes long is marked `#[ignore]`; `tests/run --slow` runs that too.
//! Memory is resident memory of the server's process, and each bound stands
//! beside the reason for it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod allocations;
mod bystander;
mod connection_limit;
mod five_tuple_reuse;
mod forged_logins;
mod hostile;
mod listener_flood;
mod noise;
mod out_of_descriptors;
mod process;
mod relay_flood;
mod saturated;
mod slow_reader;
mod slowloris;
mod spoofed_sources;
