//! Mobility (RFC 8016) over sockets: clients on many loopback addresses keep
//! their allocations as they move, from shard to shard as the kernel's hash has
//! it. What needs time is proven by the engine's own tests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod away;
mod hostile;
mod moves;
mod party;
