//! TCP allocations (RFC 6062), asked over sockets; above each test the ids of
//! CONFORMANCE that it proves. What takes 30 s is proven on the engine, on a
//! clock of its own (`timers`), and once in real time by a test marked slow.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod access_tokens;
mod allocate;
mod caps;
mod connect;
mod connection_bind;
mod data;
mod ending;
mod inbound;
mod parties;
mod secure;
mod timers;
mod turnutils;
