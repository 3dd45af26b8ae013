//! What floe does with the layers below: ICMP, the fields of IP headers, large
//! datagrams, bandwidth.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod alternate;
mod bandwidth;
mod headers;
mod icmp;
mod nat_discovery;
mod packets;
