//! Whole deployments in virtual time: the sans-IO engines of a server, many clients
//! that behave as real ones do, their peers, and hostile senders, over a network that
//! loses, repeats and reorders. Everything follows from a seed, which is printed when
//! a story fails; [`story`] says how to tell it again.
//!
//! What is held against each packet: the model of RFC 8656 that the engine's own
//! tests have ([`referee`]), an account of every copy of every payload ([`letters`]),
//! and in the end the state of a server before its first packet.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../engine/client.rs"]
#[allow(dead_code)] // the engine's tests use the rest
mod client;
#[path = "../engine/model.rs"]
#[allow(dead_code)] // the engine's tests use the rest
mod model;
#[path = "../engine/world.rs"]
#[allow(dead_code)] // the engine's tests use the rest
mod world;

mod attackers;
mod caller;
mod deployment;
mod doorkeeper;
mod letters;
mod manners;
mod network;
mod peers;
mod referee;
mod story;
mod tally;

mod bad_networks;
mod calls;
mod clocks;
mod everything;
mod hairpins;
mod hostile_senders;
mod moves;
mod running_out;
mod streams;
mod tcp_relays;
