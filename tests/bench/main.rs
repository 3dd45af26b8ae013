//! The client side against a real server: floe's own TURN client, and what
//! `floe bench` says of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(feature = "client")]

#[path = "../support/mod.rs"]
mod support;

mod command;
mod faults;
mod login;
mod modes;
mod turn_client;
