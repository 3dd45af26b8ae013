//! What CONFORMANCE ids A, B, F and H ask of a server, asked over sockets: one
//! file per behaviour, and above each test the ids it proves. What needs hours
//! (lifetimes) is proven by the engine's own tests, on a clock of their own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod access_tokens;
mod address_family;
mod allocate;
mod amplification;
mod attributes;
mod binding;
mod challenge;
mod channels;
mod even_port;
mod exhaustion;
mod five_tuple;
mod hairpin;
mod header;
mod indications;
mod integrity;
mod login_attacks;
mod long_term;
mod nonce;
mod password_algorithms;
mod peer_policy;
mod permissions;
mod quota;
mod real_clients;
mod records;
mod refresh;
mod relay_ports;
mod replies;
mod rest_credentials;
mod strangers;
mod stream;
mod userhash;
