//! The engine from outside: whole conversations of clients and peers with one
//! engine or two, over a simulated network and clock. One behaviour a file; the
//! ids above a test are those of the conformance catalogue.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access_tokens;
mod allocate;
mod alternate_server;
mod authentication;
mod bandwidth;
mod channels;
mod client;
mod credentials;
mod dont_fragment;
mod failures;
mod families;
mod hairpin;
mod hostile;
mod icmp;
mod lifetimes;
mod mobility;
mod model;
mod nat_discovery;
mod nonces;
mod peer_policy;
mod permissions;
mod ports;
mod properties;
mod quotas;
mod real_clients;
mod reservations;
mod retransmissions;
mod send_and_data;
mod sequences;
mod sessions;
mod tcp_sequences;
mod world;
